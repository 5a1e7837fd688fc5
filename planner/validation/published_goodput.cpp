// The share of a year's wall time that trains, by planner/budget/goodput.cpp, under what each run published of its own
// cluster; and the interruptions that the default rate, Llama 3's, predicts for other clusters. Nothing is fitted to
// either. A run that reports "over 90 %" gives a lower bound, so a small positive error is what agreement looks like.
#include "planner/validation/published_goodput.h"

#include "base/json.h"
#include "base/units.h"
#include "planner/budget/goodput.h"
#include "sim/training/plan_operations.h"

namespace hourglass::planner {

namespace {

constexpr double long_run_s = 365.0 * base::seconds_per_day;

void add_effective_time(Validation& out, base::Fields row) {
  row.text("source");
  GoodputInputs in;
  in.gpus = row.integer("gpus", 1);
  in.parameters = row.number("parameters", 1.0);
  in.net_s = long_run_s;
  in.reliability = sim::read_reliability(row);
  out.rows.push_back(
      {row.text("id"), "effective training time", row.number("share", 0.0, 1.0), goodput(in).effective, ""});
  row.finish();
}

void add_interruptions(Validation& out, base::Fields row) {
  row.text("source");
  const double gpu_days = static_cast<double>(row.integer("gpus", 1)) * row.number("days", 0.0, 1e5);
  out.rows.push_back({row.text("id"), "interruptions", row.number("interruptions"),
                      sim::Reliability{}.failures_per_gpu_day * gpu_days, ""});
  row.finish();
}

}  // namespace

void add_goodput(Validation& out, const std::string& file) {
  const base::JsonFile document = base::load_json(file);
  base::Fields fields(document.value, file);
  fields.text("what");
  for (const base::Fields& row : fields.objects("effective_training_time")) add_effective_time(out, row);
  for (const base::Fields& row : fields.objects("interruptions")) add_interruptions(out, row);
  fields.finish();
}

}  // namespace hourglass::planner
