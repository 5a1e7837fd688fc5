#include <doctest/doctest.h>

#include "base/json.h"
#include "reports/json.h"
#include "reports/run.h"

using namespace hourglass;
using namespace hourglass::reports;

namespace {

RunReport report() {
  RunReport r;
  r.schedule = "dualpipe", r.attention = "MLA";
  r.micro_batches = 4, r.stages = 2, r.directions = 2, r.cores = 2, r.tokens = 128;
  r.parameters = 4.5e6;
  r.layers_per_stage = {2, 1};
  r.loss = r.sequential_loss = 8.25;
  r.tensors = 65, r.identical_tensors = 3, r.largest_of_tolerance = 0.25, r.worst_tensor = "stage1.head";
  r.makespan_s = 0.5;
  r.ranks = {{{0, 1}, 0.4, 3.0, 3.0}, {{1, 0}, 0.3, 2.0, 2.0}};
  return r;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a run says how it agrees with the sequential one, and no times unless compared") {
  RunReport r = report();
  std::string text = run_text(r);
  CHECK(has(text, "two copies of the parameters"));
  CHECK(has(text, "loss       8.25, bit for bit"));
  CHECK(has(text, "within the rounding of another order"));
  CHECK(!has(text, " ms"));
  r.identical_tensors = 65;
  CHECK(has(run_text(r), "65 tensors, bit for bit"));
  r.identical_tensors = 3, r.largest_of_tolerance = 1.5, r.loss = 8.2500001;
  text = run_text(r);
  CHECK(has(text, "not that of the sequential run"));
  CHECK(has(text, "not those of the sequential run"));
}

TEST_CASE("a comparison: errors are of the prediction, in text and JSON") {
  RunReport r = report();
  ExecutedComparison c;
  c.predicted_s = 0.45, c.executed_s = 0.5, c.fastest_s = 0.48, c.message_s = 7e-6, c.core_s = 0.46, c.elapsed_s = 0.49;
  c.runs = 5, c.calibration_threads = 2;
  c.actions = {{"F", 0, -1, 4, 0.010, 0.008, 0.0125}, {"F&BW", 0, 1, 2, 0.03, 0.03, 0.03}};
  r.comparison = c;
  const std::string text = run_text(r);
  CHECK(has(text, "+25.0 %"));
  CHECK(has(text, "-20.0 %"));
  CHECK(has(text, "0, 1"));
  CHECK(has(text, "predicted 450.00 ms, executed 500.00 ms (fastest 480.00 ms): -10.0 %"));
  CHECK(!has(text, "share 2 cores"));
  const base::Json json = run_json(r, {});
  CHECK(json["schema_version"].get<std::string>() == reports::schema_version);
  CHECK(json["gradients"]["within_tolerance"].get<bool>());
  CHECK(json["ranks"][1]["bubble_s"].get<double>() == doctest::Approx(0.2));
  CHECK(json["comparison"]["error"].get<double>() == doctest::Approx(-0.1));
  CHECK(json["comparison"]["actions"][0]["core_error"].get<double>() == doctest::Approx(-0.2));
  CHECK(json["comparison"]["actions"][1]["backward_stage"].get<int>() == 1);
  CHECK(!json["comparison"]["actions"][0].contains("backward_stage"));
  r.cores = 1;
  CHECK(has(run_text(r), "2 ranks share 1 cores"));
}
