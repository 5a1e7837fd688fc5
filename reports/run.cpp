#include "reports/run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::string stages_of(const ExecutedAction& action) {
  return action.backward_stage < 0 ? fmt::format("{}", action.stage)
                                   : fmt::format("{}, {}", action.stage, action.backward_stage);
}

std::string signed_percent(double predicted, double executed) {
  return fmt::format("{:+.1f} %", 100.0 * (predicted / executed - 1.0));
}

std::string comparison_text(const RunReport& report) {
  const ExecutedComparison& c = *report.comparison;
  std::string text = fmt::format(
      "\npredicted from costs measured apart, in sequential passes on {} {}; executed {} times, medians\n\n",
      c.calibration_threads, c.calibration_threads == 1 ? "core" : "cores at once", c.runs);
  Table table({"action", "stage", "times", "predicted", "executed", "error", "on the core", "error"});
  for (const ExecutedAction& a : c.actions) {
    table.add({a.name, stages_of(a), fmt::format("{}", a.times), seconds_text(a.predicted_s),
               seconds_text(a.executed_s), signed_percent(a.predicted_s, a.executed_s), seconds_text(a.cpu_s),
               signed_percent(a.predicted_s, a.cpu_s)});
  }
  text += table.text();
  text +=
      fmt::format("\n  makespan  predicted {}, executed {} (fastest {}): {}\n", seconds_text(c.predicted_s),
                  seconds_text(c.executed_s), seconds_text(c.fastest_s), signed_percent(c.predicted_s, c.executed_s));
  text += fmt::format("  by the run's own action times: {} on the core, {} elapsed; a message takes {}\n",
                      seconds_text(c.core_s), seconds_text(c.elapsed_s), seconds_text(c.message_s));
  if (static_cast<int>(report.ranks.size()) > report.cores) {
    text += fmt::format("  {} ranks share {} cores; the prediction gives each rank a core of its own\n",
                        report.ranks.size(), report.cores);
  }
  return text;
}

}  // namespace

std::string run_text(const RunReport& report) {
  std::string text = fmt::format("{}: {} ranks as threads, {} stages{}, {} micro-batches of {} tokens\n",
                                 report.schedule, report.ranks.size(), report.stages,
                                 report.directions == 2 ? " in two directions (two copies of the parameters)" : "",
                                 report.micro_batches, report.tokens);
  text += fmt::format("model: {} parameters, {} attention, layers a stage {}{}\n\n", shortened(report.parameters),
                      report.attention, fmt::join(report.layers_per_stage, " "),
                      report.mtp ? ", MTP module on the last" : "");
  text += fmt::format("  loss       {:.2f}, {}\n", report.loss,
                      report.loss == report.sequential_loss ? "bit for bit that of the sequential run"
                                                            : "not that of the sequential run");
  text += fmt::format("  gradients  {} tensors, {}\n\n", report.tensors,
                      report.identical_tensors == report.tensors ? "bit for bit those of the sequential run"
                      : report.largest_of_tolerance <= 1.0
                          ? "those of the sequential run within the rounding of another order of summation"
                          : "not those of the sequential run");
  Table table({"rank", "stages", "peak activations", "as evaluated"});
  for (std::size_t r = 0; r < report.ranks.size(); ++r) {
    const ExecutedRank& rank = report.ranks[r];
    table.add({fmt::format("{}", r), fmt::format("{}", fmt::join(rank.stages, ", ")),
               fmt::format("{:.4g}", rank.peak_activations), fmt::format("{:.4g}", rank.predicted_peak_activations)});
  }
  text += table.text();
  return report.comparison ? text + comparison_text(report) : text;
}

base::Json run_json(const RunReport& report, const base::Provenance& provenance) {
  base::Json out = {{"schema_version", schema_version}, {"provenance", base::provenance_json(provenance)}};
  out["schedule"] = report.schedule;
  out["backend"] = "cpu";
  out["pipeline_ranks"] = report.ranks.size();
  out["cores"] = report.cores;
  out["micro_batches"] = report.micro_batches;
  out["stages"] = report.stages;
  out["directions"] = report.directions;
  out["model"] = {{"attention", report.attention},
                  {"mtp", report.mtp},
                  {"parameters", report.parameters},
                  {"layers_per_stage", report.layers_per_stage},
                  {"micro_batch_tokens", report.tokens}};
  out["loss"] = report.loss;
  out["sequential_loss"] = report.sequential_loss;
  out["gradients"] = {{"tensors", report.tensors},
                      {"identical_tensors", report.identical_tensors},
                      {"additions", report.additions},
                      {"largest_difference", report.largest_difference},
                      {"largest_difference_over_tolerance", report.largest_of_tolerance},
                      {"worst_tensor", report.worst_tensor},
                      {"within_tolerance", report.largest_of_tolerance <= 1.0}};
  out["makespan_s"] = report.makespan_s;
  for (std::size_t r = 0; r < report.ranks.size(); ++r) {
    const ExecutedRank& rank = report.ranks[r];
    out["ranks"].push_back({{"pipeline_rank", r},
                            {"stages", rank.stages},
                            {"busy_s", rank.busy_s},
                            {"bubble_s", report.makespan_s - rank.busy_s},
                            {"peak_activations", rank.peak_activations},
                            {"predicted_peak_activations", rank.predicted_peak_activations}});
  }
  if (!report.comparison) return out;
  const ExecutedComparison& c = *report.comparison;
  out["comparison"] = {{"predicted_makespan_s", c.predicted_s},
                       {"executed_makespan_s", c.executed_s},
                       {"fastest_makespan_s", c.fastest_s},
                       {"core_time_makespan_s", c.core_s},
                       {"elapsed_time_makespan_s", c.elapsed_s},
                       {"error", c.predicted_s / c.executed_s - 1.0},
                       {"message_s", c.message_s},
                       {"runs", c.runs},
                       {"calibration_threads", c.calibration_threads}};
  for (const ExecutedAction& a : c.actions) {
    base::Json row = {{"action", a.name},
                      {"stage", a.stage},
                      {"times", a.times},
                      {"predicted_s", a.predicted_s},
                      {"executed_s", a.executed_s},
                      {"core_s", a.cpu_s},
                      {"error", a.predicted_s / a.executed_s - 1.0},
                      {"core_error", a.predicted_s / a.cpu_s - 1.0}};
    if (a.backward_stage >= 0) row["backward_stage"] = a.backward_stage;
    out["comparison"]["actions"].push_back(std::move(row));
  }
  return out;
}

}  // namespace hourglass::reports
