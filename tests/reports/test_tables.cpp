#include <doctest/doctest.h>

#include "base/error.h"
#include "base/json.h"
#include "reports/diff.h"
#include "reports/tabular.h"

using namespace hourglass;
using base::Json;

TEST_CASE("rows of a document become CSV, JSON Lines and Markdown with the same numbers") {
  const Json rows = {{{"name", "a, \"b\""}, {"time_s", 0.1}, {"memory", {{"peak", 3}}}, {"list", {1, 2}}},
                     {{"name", "<b>|*x*"}, {"time_s", 1234567.25}, {"fits", true}}};
  const reports::Tabular table = reports::tabular(rows);
  CHECK(table.columns == std::vector<std::string>{"name", "time_s", "fits", "memory.peak"});
  CHECK(reports::to_csv(table) == "name,time_s,fits,memory.peak\n\"a, \"\"b\"\"\",0.1,,3\n<b>|*x*,1234567.25,true,\n");
  CHECK(reports::to_json_lines(table) ==
        "{\"name\":\"a, \\\"b\\\"\",\"time_s\":0.1,\"memory.peak\":3}\n"
        "{\"name\":\"<b>|*x*\",\"time_s\":1234567.25,\"fits\":true}\n");
  CHECK(reports::to_markdown(table) ==
        "| name | time\\_s | fits | memory.peak |\n| --- | ---: | ---: | ---: |\n"
        "| a, \"b\" | 0.1 |  | 3 |\n| &lt;b>\\|\\*x\\* | 1.23457e+06 | yes |  |\n");
  CHECK(reports::to_csv(reports::tabular(Json{{"schema_version", "1.0.0"}, {"x", 1}})) == "x\n1\n");
}

TEST_CASE("several tables of a document are told apart by name, a missing one is left out") {
  const Json document = {{"schema_version", "1.0.0"},
                         {"provenance", {{"argv", {"hourglass", "x"}}, {"version", "1"}, {"git_commit", "abc"}}},
                         {"total", 0.1 + 0.2},
                         {"none", nullptr},
                         {"ranks", {{{"rank", 0}, {"busy_s", 1.0 / 3.0}}}},
                         {"deep", {{"actions", {{{"name", "F"}, {"less", nullptr}}}}}}};
  const auto tables = reports::tables_of(document, {"", "ranks", "deep.actions", "deep.absent"});
  REQUIRE(tables.size() == 3);
  CHECK(reports::formatted(document, tables, "csv") ==
        "table,name,rank,busy_s,total\nsummary,,,,0.30000000000000004\nranks,,0,0.3333333333333333,\ndeep.actions,F,,,"
        "\n");
  CHECK(reports::formatted(document, tables, "jsonl") ==
        "{\"table\":\"summary\",\"total\":0.30000000000000004}\n"
        "{\"table\":\"ranks\",\"rank\":0,\"busy_s\":0.3333333333333333}\n"
        "{\"table\":\"deep.actions\",\"name\":\"F\"}\n");
  const std::string markdown = reports::formatted(document, tables, "markdown");
  CHECK(markdown.starts_with("`hourglass x` (version 1, commit abc)\n\n**summary**\n\n| total |\n"));
  CHECK(reports::formatted(document, reports::tables_of(document, {"ranks"}), "csv") ==
        "rank,busy_s\n0,0.3333333333333333\n");
}

TEST_CASE("two results are compared number by number, items matched by name; other kinds and majors are refused") {
  const Json a = {{"schema_version", "1.0.0"},
                  {"schedules", {{{"name", "x"}, {"makespan", 4}}, {{"name", "y"}, {"makespan", 6}}}}};
  Json b = {{"schema_version", "1.7.0"}, {"schedules", {{{"name", "y"}, {"makespan", 9}}}}, {"costs", {{"F", 1}}}};
  const auto rows = reports::result_differences(a, "a", b, "b");
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].group == "schedules");
  CHECK(rows[1].name == "y.makespan");
  CHECK(rows[1].b == 9.0);
  CHECK(rows[2].name == "costs.F");
  b["schema_version"] = "2.0.0";
  CHECK_THROWS_AS(reports::result_differences(a, "a", b, "b"), base::Error);
  CHECK_THROWS_AS(reports::result_differences(a, "a", Json{{"schema_version", "1.0.0"}, {"front", Json::array()}}, "b"),
                  base::Error);
  CHECK_THROWS_AS(reports::result_differences(a, "a", Json{{"x", 1}}, "b"), base::Error);
  const std::string text = reports::diff_text("a", "b", rows);
  CHECK(text.find("+50.0 %") != std::string::npos);
}
