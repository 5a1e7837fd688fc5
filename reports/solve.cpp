#include "reports/solve.h"

#include <fmt/format.h>

#include "base/json.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using base::Json;

std::string days(double value) { return fmt::format("{:.1f}", value); }

double wall_days(const planner::Budget& budget) { return budget.goodput.wall_s / base::seconds_per_day; }

}  // namespace

std::string solution_text(const sim::Inputs& inputs, const planner::GpuSolution& solution) {
  std::string out =
      fmt::format("{} on cluster {}: {} GPUs for {} days, the fewest of {} legal numbers up to {}\n\n",
                  inputs.plan.name, inputs.cluster.name, grouped(static_cast<double>(solution.gpus)),
                  days(solution.max_days), solution.legal, grouped(static_cast<double>(inputs.cluster.gpus)));
  Table table({"GPUs", "days", "with failures", "GPU-hours", "gross", "peak GiB", "verdict"});
  for (const planner::GpuCount& each : solution.simulated) {
    table.add({grouped(static_cast<double>(each.gpus)), days(each.net_days), days(each.wall_days),
               grouped(each.net_gpu_hours), grouped(each.gross_gpu_hours), gib(each.peak_memory_bytes),
               !each.fits                   ? "out of memory"
               : !each.in_time              ? "too slow"
               : each.gpus == solution.gpus ? "the fewest"
                                            : "in time"});
  }
  return out + table.text("  ", true) +
         "\n  legal: whole replicas that divide the batch of every stage, with enough micro-batches for the schedule\n";
}

base::Json solution_json(const sim::Inputs& inputs, const planner::GpuSolution& solution) {
  Json out = heading(inputs.provenance);
  out["plan"] = inputs.plan.name;
  out["cluster"] = inputs.cluster.name;
  out["max_days"] = solution.max_days;
  out["gpus"] = solution.gpus;
  out["legal"] = solution.legal;
  Json simulated = Json::array();
  for (const planner::GpuCount& each : solution.simulated) {
    simulated.push_back({{"gpus", each.gpus},
                         {"net_days", each.net_days},
                         {"days", each.wall_days},
                         {"gpu_hours", each.net_gpu_hours},
                         {"gross_gpu_hours", each.gross_gpu_hours},
                         {"peak_memory_bytes", each.peak_memory_bytes},
                         {"fits", each.fits},
                         {"in_time", each.in_time}});
  }
  out["simulated"] = std::move(simulated);
  return out;
}

std::string clusters_text(const planner::ClusterComparison& comparison) {
  std::string out = fmt::format("{} on {} GPUs, cluster by cluster\n\n", comparison.plan,
                                grouped(static_cast<double>(comparison.gpus)));
  Table table({"cluster", "GPU", "profile", "step", "tokens/s a GPU", "MFU", "peak GiB", "fits", "GPU-hours", "days",
               "with failures", "USD"});
  for (const planner::ComparedCluster& each : comparison.clusters) {
    if (!each.refused.empty()) continue;
    const bool run = each.has_run;
    table.add({each.name, each.gpu, each.profile, seconds_text(each.step.step_time_s),
               grouped(each.step.tokens_per_second_per_gpu), percent(each.step.mfu.causal),
               gib(each.step.largest_memory_bytes()), each.step.fits() ? "yes" : "no",
               run ? grouped(each.budget.gpu_hours) : "-", run ? days(each.budget.days) : "-",
               run ? days(wall_days(each.budget)) : "-", run ? shortened(each.budget.cost_usd) : "-"});
  }
  out += table.text();
  for (const planner::ComparedCluster& each : comparison.clusters) {
    if (!each.refused.empty()) out += fmt::format("  {:<8} not run: {}\n", each.name, each.refused);
  }
  return out + "\n  step and memory are those of the plan's own batch; MFU is causal, of the BF16 peak; USD is net\n";
}

base::Json clusters_json(const planner::ClusterComparison& comparison) {
  Json out = heading(comparison.provenance);
  out["plan"] = comparison.plan;
  out["gpus"] = comparison.gpus;
  Json clusters = Json::array(), refused = Json::array();
  for (const planner::ComparedCluster& each : comparison.clusters) {
    if (!each.refused.empty()) {
      refused.push_back({{"name", each.name}, {"reason", each.refused}});
      continue;
    }
    Json row = {{"name", each.name},
                {"gpu", each.gpu},
                {"profile", each.profile},
                {"step_time_s", each.step.step_time_s},
                {"tokens_per_second_per_gpu", each.step.tokens_per_second_per_gpu},
                {"mfu", {{"causal", each.step.mfu.causal}, {"non_causal", each.step.mfu.non_causal}}},
                {"peak_memory_bytes", each.step.largest_memory_bytes()},
                {"fits", each.step.fits()}};
    if (each.has_run) {
      row["gpu_hours"] = each.budget.gpu_hours;
      row["net_days"] = each.budget.days;
      row["days"] = wall_days(each.budget);
      row["gross_gpu_hours"] = each.budget.goodput.gross_gpu_hours;
      row["cost_usd"] = each.budget.cost_usd;
    }
    clusters.push_back(std::move(row));
  }
  out["clusters"] = std::move(clusters);
  out["refused"] = std::move(refused);
  return out;
}

}  // namespace hourglass::reports
