#include "sim/simulate.h"

#include <algorithm>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "schedules/validate.h"
#include "sim/blocks.h"
#include "sim/engine.h"
#include "sim/lower.h"
#include "sim/memory.h"
#include "sim/stages.h"

namespace hourglass::sim {

namespace {

// Adds up where a rank's time goes, block by block.
RankResult account(const schedules::Schedule& schedule, const Lowered& lowered, const Timeline& timeline,
                   std::size_t rank) {
  RankResult result;
  result.pipeline_rank = static_cast<int>(rank);
  base::Time by_kind[5] = {}, exposed = 0;
  for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
    const ActionTasks& tasks = lowered.actions[rank][i];
    const base::Time duration = timeline.start[tasks.end] - timeline.end[tasks.begin];
    const schedules::Kind kind = schedule.actions[rank][i].kind;
    by_kind[static_cast<std::size_t>(kind)] += duration;
    exposed += duration - tasks.compute;
    if (kind == schedules::Kind::overlapped) ++result.overlapped_pairs;
  }
  using schedules::Kind;
  const auto of = [&](Kind kind) { return by_kind[static_cast<std::size_t>(kind)]; };
  base::Time optimizer = 0;
  const TailTasks& tail = lowered.tails[rank];
  for (const TaskId task : {tail.reduce_scatter, tail.optimizer, tail.all_gather})
    optimizer += lowered.graph.work[task];
  base::Time busy = optimizer;
  for (const base::Time time : by_kind) busy += time;
  result.forward_s = base::seconds(of(Kind::forward));
  result.backward_s = base::seconds(of(Kind::backward_input) + of(Kind::backward));
  result.weight_s = base::seconds(of(Kind::backward_weight));
  result.overlapped_s = base::seconds(of(Kind::overlapped));
  result.optimizer_s = base::seconds(optimizer);
  result.bubble_s = base::seconds(timeline.makespan - busy);
  result.exposed_communication_s = base::seconds(exposed);
  return result;
}

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
      result.slowest_rank = rank.pipeline_rank;
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
  const schedules::Shape shape{static_cast<int>(plan.parallel.pipeline), static_cast<int>(plan.micro_batches()),
                               plan.chunks};
  schedules::Schedule schedule = schedules::generate(plan.schedule, shape);
  schedules::validate(schedule);
  return schedule;
}

Result simulate(const Inputs& inputs, StepRecord* record) {
  // The order of work on each pipeline rank.
  const schedules::Schedule schedule = plan_schedule(inputs.plan);
  // What each layer costs, and which layers sit where.
  std::optional<ExpertNetwork> network;
  if (inputs.plan.network && inputs.plan.parallel.expert > 1) network = expert_network(inputs);
  const UnitPrices prices(inputs, network ? &*network : nullptr);
  StageLayout layout;
  Lowered lowered;
  Timeline timeline;
  for (StageLayout& candidate : candidate_layouts(inputs, schedule, prices)) {
    // Actions become tasks on streams; then the graph is frozen, and the engine says when everything happens.
    BlockLibrary blocks(candidate.stages, prices);
    Lowered candidate_graph = lower(inputs, schedule, candidate, blocks);
    Timeline candidate_timeline = run(candidate_graph.graph);
    if (!layout.stages.empty() && candidate_timeline.makespan >= timeline.makespan) continue;
    layout = std::move(candidate);
    lowered = std::move(candidate_graph);
    timeline = std::move(candidate_timeline);
  }
  if (record != nullptr) {
    BlockLibrary blocks(layout.stages, prices);
    *record = record_step(inputs, schedule, layout, blocks, lowered, timeline);
  }
  // What it means.
  Result result;
  result.schedule = schedule.name;
  result.micro_batches = schedule.micro_batches;
  result.step_time_s = base::seconds(timeline.makespan);
  result.tasks = lowered.graph.size();
  const std::vector<MemoryPeak> peaks = measure_memory(inputs, schedule, layout, lowered, timeline);
  for (std::size_t rank = 0; rank < lowered.actions.size(); ++rank) {
    RankResult account_of_rank = account(schedule, lowered, timeline, rank);
    account_of_rank.memory = peaks[rank].memory;
    account_of_rank.peak_memory_bytes = peaks[rank].memory.total();
    account_of_rank.peak_memory_at_s = base::seconds(peaks[rank].at);
    result.ranks.push_back(account_of_rank);
  }
  result.layers_per_stage = layout.layers;
  result.network = std::move(network);
  summarise(result, inputs);
  return result;
}

}  // namespace hourglass::sim
