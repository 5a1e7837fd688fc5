#include "reports/csv.h"

#include <fmt/format.h>

#include <algorithm>

namespace hourglass::reports {

namespace {

constexpr const char* columns =
    "schedule,makespan,span,bubble,bubble_ratio,span_bubble_ratio,peak_activations,parameter_copies,overlapped_pairs,"
    "lower_bound";
constexpr const char* plan_columns = ",step_time_s,step_bubble_ratio,peak_memory_bytes,fits";

bool with_plan(const planner::Comparison& comparison) {
  return std::any_of(comparison.schedules.begin(), comparison.schedules.end(),
                     [](const auto& s) { return s.step.has_value(); });
}

std::string row(const planner::ComparedSchedule& s) {
  const schedules::Evaluation& e = s.evaluation;
  std::string line =
      fmt::format("{},{},{},{},{},{},{},{},{},{}", s.name, e.makespan, e.span, e.bubble, e.bubble_ratio,
                  e.span_bubble_ratio, e.peak_activations, e.parameter_copies, e.overlapped_pairs, s.lower_bound);
  if (s.step)
    line += fmt::format(",{},{},{},{}", s.step->step_time_s, s.step->bubble_ratio, s.step->largest_memory_bytes(),
                        s.step->fits());
  return line + "\n";
}

}  // namespace

std::string comparison_csv(const planner::Comparison& comparison) {
  std::string out = fmt::format("{}{}\n", columns, with_plan(comparison) ? plan_columns : "");
  for (const planner::ComparedSchedule& each : comparison.schedules) out += row(each);
  return out;
}

std::string sweep_csv(const planner::Sweep& sweep) {
  const bool plan = std::any_of(sweep.points.begin(), sweep.points.end(),
                                [](const auto& point) { return with_plan(point.comparison); });
  std::string out = fmt::format("{},{}{}\n", sweep.range.variable, columns, plan ? plan_columns : "");
  for (const planner::SweepPoint& point : sweep.points) {
    for (const planner::ComparedSchedule& each : point.comparison.schedules)
      out += fmt::format("{},{}", point.value, row(each));
  }
  return out;
}

}  // namespace hourglass::reports
