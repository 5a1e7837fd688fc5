// Legal counts: whole data-parallel replicas of every stage's tensor x context x pipeline, as many of them as divide
// the global batch, within the cluster, under every rule of sim/training/plan.cpp and with enough micro-batches for the
// schedule. Layout, batch and schedule stay the plan's. Over those, days on the calendar fall with the number of GPUs
// (more GPUs share the same batch; bubbles grow, but never eat a whole replica), and memory falls too, as optimizer
// states are sharded wider. So bisection finds the fewest in the logarithm of their number of simulations. That the
// next smaller legal count misses is always simulated, never assumed.
#include "planner/budget/solve.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"
#include "planner/budget/budget.h"
#include "sim/training/simulate.h"

namespace hourglass::planner {

namespace {

bool simulated(const sim::TrainingStage& stage) { return stage.tokens > 0.0 || stage.steps > 0.0; }

// Whether every stage can run on so many GPUs; with `scheduled` under the plan's schedule.
bool legal_on(const sim::Inputs& inputs, std::int64_t gpus, bool scheduled) {
  return std::all_of(inputs.plan.stages.begin(), inputs.plan.stages.end(), [&](const sim::TrainingStage& stage) {
    if (!simulated(stage)) return true;
    sim::Plan plan = sim::plan_for_stage(inputs.plan, stage, stage.global_batch);
    plan.gpus = gpus;
    if (!sim::legal(plan, inputs.model, inputs.cluster)) return false;
    plan.parallel.data = sim::data_parallel(plan);
    return !scheduled || !schedules::refusal(plan.schedule, sim::plan_shape(plan));
  });
}

std::vector<std::int64_t> legal_counts(const sim::Inputs& inputs) {
  std::int64_t replica = 1, batch = 1;
  for (const sim::TrainingStage& stage : inputs.plan.stages) {
    if (!simulated(stage)) continue;
    const model::Parallelism& p = inputs.plan.parallel;
    replica = std::lcm(replica, p.tensor * stage.context_parallel * p.pipeline);
    // No more replicas than sequences.
    batch = std::max(batch, stage.global_batch * p.tensor * stage.context_parallel * p.pipeline);
  }
  std::vector<std::int64_t> counts;
  for (std::int64_t gpus = replica; gpus <= std::min(inputs.cluster.gpus, batch); gpus += replica) {
    if (legal_on(inputs, gpus, false)) counts.push_back(gpus);
  }
  // The more GPUs, the fewer micro-batches: what the schedule refuses is at the end.
  while (!counts.empty() && !legal_on(inputs, counts.back(), true)) counts.pop_back();
  return counts;
}

GpuCount budget_of(const sim::Inputs& base, std::int64_t gpus, double max_days) {
  sim::Inputs inputs = base;
  inputs.plan.gpus = gpus;
  const Budget budget = net_budget(inputs, nullptr);
  GpuCount out{gpus,
               budget.days,
               budget.goodput.wall_s / base::seconds_per_day,
               budget.gpu_hours,
               budget.goodput.gross_gpu_hours,
               0.0,
               true,
               false};
  for (const StageBudget& stage : budget.stages) {
    if (!stage.step) continue;
    out.peak_memory_bytes = std::max(out.peak_memory_bytes, stage.step->largest_memory_bytes());
    out.fits = out.fits && stage.step->fits();
  }
  out.in_time = out.wall_days <= max_days;
  return out;
}

}  // namespace

GpuSolution solve_gpus(const sim::Inputs& inputs, double max_days) {
  if (std::none_of(inputs.plan.stages.begin(), inputs.plan.stages.end(), simulated)) {
    throw base::Error("no stage has tokens or steps, so GPUs change nothing", inputs.plan.name,
                      "add \"stages\": [{\"name\": \"pre-training\", \"tokens\": ...}]");
  }
  const std::vector<std::int64_t> counts = legal_counts(inputs);
  if (counts.empty()) {
    throw base::Error(fmt::format("no number of GPUs up to {} suits the plan's layout and batch", inputs.cluster.gpus),
                      inputs.plan.name, "change the parallel sizes, global_batch or cluster.gpus");
  }
  std::map<std::size_t, GpuCount> tried;
  const auto at = [&](std::size_t i) -> const GpuCount& {
    const auto found = tried.find(i);
    return found != tried.end() ? found->second
                                : tried.emplace(i, budget_of(inputs, counts[i], max_days)).first->second;
  };
  const GpuCount& most = at(counts.size() - 1);
  if (!most.in_time || !most.fits) {
    throw base::Error(
        most.fits ? fmt::format("even {} GPUs take {:.1f} days, failures included", most.gpus, most.wall_days)
                  : fmt::format("even {} GPUs run out of memory", most.gpus),
        inputs.plan.name,
        most.fits ? "allow more days, --set cluster.gpus=N, or another layout" : "recompute more, or another layout");
  }
  std::size_t low = 0, high = counts.size() - 1;  // high is good
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const GpuCount& each = at(middle);
    if (each.in_time && each.fits)
      high = middle;
    else
      low = middle + 1;
  }
  if (high > 0) at(high - 1);
  GpuSolution solution{max_days, counts[high], static_cast<std::int64_t>(counts.size()), {}};
  for (const auto& [unused, each] : tried) solution.simulated.push_back(each);
  return solution;
}

}  // namespace hourglass::planner
