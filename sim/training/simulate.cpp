#include "sim/training/simulate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "schedules/validate.h"
#include "sim/engine/engine.h"
#include "sim/training/accounts.h"
#include "sim/training/blocks.h"
#include "sim/training/lower.h"
#include "sim/training/machine.h"
#include "sim/training/memory.h"
#include "sim/training/operator_table.h"
#include "sim/training/stages.h"

namespace hourglass::sim {

namespace {

void summarise(Result& result, const Inputs& inputs) {
  const Plan& plan = inputs.plan;
  const auto gpus = static_cast<double>(plan.gpus);
  result.gpus = plan.gpus;
  result.tokens_per_step =
      static_cast<double>(plan.global_batch) * static_cast<double>(plan.micro_batch.sequence_length);
  const double rate = result.tokens_per_step / result.step_time_s;
  result.tokens_per_day = rate * base::seconds_per_day;
  result.tokens_per_second_per_gpu = rate / gpus;
  const auto flops = [&](bool causal) {
    return model::training_flops_per_token(inputs.model, plan.micro_batch.sequence_length, causal, plan.mtp) * rate /
           gpus;
  };
  const Flops per_gpu{flops(true), flops(false)};
  result.model_tflops_per_gpu = {per_gpu.causal / base::tera, per_gpu.non_causal / base::tera};
  result.mfu = {per_gpu.causal / inputs.cluster.bf16_flops, per_gpu.non_causal / inputs.cluster.bf16_flops};
  result.memory_capacity_bytes = inputs.cluster.memory_bytes;
  double least = result.step_time_s, most = 0.0;
  for (const RankResult& rank : result.ranks) {
    if (rank.bubble_s < least) {
      least = rank.bubble_s;
      result.busiest_rank = rank.pipeline_rank;
    }
    most = std::max(most, rank.bubble_s);
  }
  result.bubble_ratio = most / result.step_time_s;
}

}  // namespace

bool Result::fits() const { return largest_memory_bytes() <= memory_capacity_bytes; }

double Result::largest_memory_bytes() const {
  double largest = 0.0;
  for (const RankResult& rank : ranks) largest = std::max(largest, rank.peak_memory_bytes);
  return largest;
}

schedules::Schedule plan_schedule(const Plan& plan) {
  schedules::Schedule schedule = schedules::generate(plan.schedule, plan_shape(plan));
  schedules::validate(schedule);
  return schedule;
}

namespace {

struct Step {
  StageLayout layout;
  Lowered lowered;
};

// The layout whose step is shortest while nothing is shared.
Step best_step(const Inputs& inputs, const schedules::Schedule& schedule, const UnitPrices& prices) {
  Step best;
  base::Time shortest = 0;
  std::vector<StageLayout> layouts = candidate_layouts(inputs, schedule, prices);
  for (StageLayout& candidate : layouts) {
    BlockLibrary blocks(candidate.stages, prices);
    Lowered lowered = lower(inputs, schedule, candidate, blocks);
    if (layouts.size() == 1) return {std::move(candidate), std::move(lowered)};
    const base::Time makespan = run(lowered.graph).makespan;
    if (!best.layout.stages.empty() && makespan >= shortest) continue;
    best = {std::move(candidate), std::move(lowered)};
    shortest = makespan;
  }
  return best;
}

bool may_fold(const Inputs& inputs, Fold fold) {
  const std::string reason = inputs.plan.variation ? inputs.plan.variation->reason() : "";
  if (fold == Fold::on && !reason.empty()) {
    throw base::Error("GPUs may not be folded: " + reason, inputs.plan.name + " /variation",
                      "use --fold auto, or leave out the variation");
  }
  return fold != Fold::off && reason.empty();
}

void check_memory(const Lowered& lowered, std::int64_t members, double limit) {
  const double needed = shared_run_bytes(lowered.graph, members);
  if (limit <= 0.0 || needed <= limit) return;
  throw base::Error(
      fmt::format("simulating every GPU takes {:.1f} GiB of memory for {} tasks, this machine has {:.1f}",
                  needed / base::gibi, lowered.graph.size() * static_cast<std::size_t>(members), limit / base::gibi),
      "simulation", "fold equal GPUs (--fold auto), or use fewer micro-batches or GPUs");
}

// Of every pipeline rank the GPU that computes longest; the first of equals.
std::vector<std::int64_t> busiest_members(const Lowered& lowered, const MachineTimeline& all) {
  const auto members = static_cast<std::size_t>(all.members);
  std::vector<base::Time> computed(lowered.actions.size() * members, 0);
  for (std::size_t t = 0; t < lowered.graph.size(); ++t) {
    if (lowered.graph.stream[t] % streams_per_rank != static_cast<std::uint32_t>(Stream::compute)) continue;
    const std::size_t rank = lowered.graph.stream[t] / streams_per_rank;
    for (std::size_t m = 0; m < members; ++m)
      computed[rank * members + m] += all.end[t * members + m] - all.start[t * members + m];
  }
  std::vector<std::int64_t> busiest;
  for (auto at = computed.begin(); at != computed.end(); at += static_cast<std::ptrdiff_t>(members))
    busiest.push_back(std::max_element(at, at + static_cast<std::ptrdiff_t>(members)) - at);
  return busiest;
}

// Whether anything in the step shares what it runs on.
bool shares(const TaskGraph& graph, const Machine& machine) {
  if (machine.members > 1) return true;
  if (!machine.share_nic) return false;
  return std::any_of(graph.use.begin(), graph.use.end(),
                     [&](const TaskUse& use) { return use.slowdown != 1.0F || (use.to >= 0 && use.nic > 0.0F); });
}

Timeline run_step(const Inputs& inputs, const Lowered& lowered, const SimulateOptions& options, Result& result) {
  const bool folded = may_fold(inputs, options.fold);
  const Machine machine = machine_of(inputs, lowered, folded);
  result.simulated_gpus = inputs.plan.parallel.pipeline * machine.members;
  if (!folded) result.not_folded = options.fold == Fold::off ? "as asked" : inputs.plan.variation->reason();
  if (!shares(lowered.graph, machine)) return run(lowered.graph);
  check_memory(lowered, machine.members, options.memory_limit_bytes);
  if (options.announce && machine.members > 1) {
    options.announce(static_cast<double>(lowered.graph.size()) * static_cast<double>(machine.members),
                     shared_run_bytes(lowered.graph, machine.members));
  }
  const MachineTimeline all = run_shared(lowered.graph, streams_per_rank, machine, options.progress);
  return all.of(lowered.graph, streams_per_rank, busiest_members(lowered, all));
}

}  // namespace

Result simulate(const Inputs& inputs, StepRecord* record, const SimulateOptions& options) {
  // The order of work on each pipeline rank.
  const schedules::Schedule schedule = plan_schedule(inputs.plan);
  // What each layer costs, and which layers sit where.
  Result result;
  if (inputs.plan.network && inputs.plan.parallel.expert > 1) result.network = expert_network(inputs);
  const UnitPrices prices(inputs, result.network ? &*result.network : nullptr);
  // Actions become tasks on streams; then the graph is frozen, and the engine says when everything happens.
  const Step step = best_step(inputs, schedule, prices);
  const Timeline timeline = run_step(inputs, step.lowered, options, result);
  if (record != nullptr) {
    BlockLibrary blocks(step.layout.stages, prices);
    *record = record_step(inputs, schedule, step.layout, blocks, step.lowered, timeline,
                          operator_table(inputs, result.network ? &*result.network : nullptr));
  }
  // What it means.
  result.schedule = schedule.name;
  result.micro_batches = schedule.micro_batches;
  result.step_time_s = base::seconds(timeline.makespan);
  result.tasks = step.lowered.graph.size();
  const std::vector<MemoryPeak> peaks = measure_memory(inputs, schedule, step.layout, step.lowered, timeline);
  const Accounts accounts(schedule, step.lowered, timeline);
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    RankResult of_rank = accounts.of_rank(rank);
    const MemoryPeak& peak = peaks[static_cast<std::size_t>(rank)];
    of_rank.memory = peak.memory;
    of_rank.peak_memory_bytes = peak.memory.total();
    of_rank.peak_memory_at_s = base::seconds(peak.at);
    result.ranks.push_back(of_rank);
  }
  result.critical_path = accounts.critical_path();
  if (record != nullptr) record->critical = accounts.critical_pieces();
  result.layers_per_stage = step.layout.layers;
  summarise(result, inputs);
  return result;
}

}  // namespace hourglass::sim
