#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "base/error.h"
#include "reports/reference.h"

using namespace hourglass;

namespace {

std::string content(const std::string& path) {
  std::ifstream stream(std::string(HOURGLASS_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("every key has a meaning, and help that says it") {
  for (const reports::KeyTable& table : reports::key_tables()) {
    CHECK(!table.rows.empty());
    CHECK(reports::help_text(table.name).find(table.what) != std::string::npos);
    for (const base::ReferenceRow& row : table.rows) {
      const std::string key = table.name + "." + row.key;
      CAPTURE(key);
      CHECK(!row.meaning.empty());
      CHECK(reports::help_text(key).find(row.meaning) != std::string::npos);
    }
  }
}

TEST_CASE("help shows what is inside, takes items of lists, and knows the nearest key") {
  CHECK(reports::help_text("plan.reliability").find("plan.reliability.restart_min") != std::string::npos);
  CHECK(reports::help_text("plan.stages.0.tokens") == reports::help_text("plan.stages[].tokens"));
  CHECK(reports::help_text("simulate.ranks.bubble_s").find("waiting") != std::string::npos);
  CHECK_THROWS_WITH_AS(reports::help_text("plan.recompte"),
                       "hourglass help: there is no key 'plan.recompte'; did you mean 'plan.recompute'?",
                       base::UsageError);
  CHECK_THROWS_AS(reports::help_text("nonsense"), base::UsageError);
}

TEST_CASE("the page of reference and the generated schemas are up to date (scripts/docs writes them)") {
  CHECK((reports::reference_page() == content("docs/reference.md")));
  for (const std::string& name : reports::generated_schemas())
    CHECK((reports::generated_schema(name).dump(1) + "\n" == content("configs/schema/" + name + ".schema.json")));
}
