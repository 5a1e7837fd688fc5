// Lowering: schedule x stage layout x prices -> task graph. The passes are
//   1. every action becomes begin, its block's segments on the rank's two streams, end;
//   2. every dependency between ranks becomes a message on the producer's point-to-point stream, started at the
//      producer's end and waited for by the consumer's begin (a dependency on the same rank is an edge);
//   3. the optimizer closes each rank: reduce-scatter of the gradients, one global norm over all ranks (gradient
//   clipping),
//      the update of the rank's shard, all-gather of the parameters (ZeRO-1, Rajbhandari et al. 2020).
// An action begins when the one before it on its rank has ended on both streams: a block is never entered half way,
// which is the timing of SCHEDULES.md, section 1. Messages of one rank queue behind each other on its NIC; they do not
// slow the all-to-all here (the flow-level network will do that).
#include "sim/lower.h"

#include <array>

#include "schedules/dependencies.h"
#include "sim/price.h"

namespace hourglass::sim {

namespace {

std::uint32_t stream_of(int rank, Stream stream) {
  return static_cast<std::uint32_t>(rank) * streams_per_rank + static_cast<std::uint32_t>(stream);
}

ActionTasks add_block(TaskGraphBuilder& builder, int rank, const Block& block) {
  const std::uint32_t compute = stream_of(rank, Stream::compute);
  ActionTasks tasks{builder.add(compute, 0), 0, block.compute};
  std::vector<TaskId> ids;
  for (const Block::Segment& segment : block.segments) {
    const TaskId id =
        builder.add(segment.communication ? stream_of(rank, Stream::communication) : compute, segment.work);
    for (const std::uint32_t earlier : segment.after) builder.depend(id, ids[earlier]);
    if (segment.after.empty() && segment.communication) builder.depend(id, tasks.begin);
    ids.push_back(id);
  }
  tasks.end = builder.add(compute, 0);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (block.segments[i].communication) builder.depend(tasks.end, ids[i]);
  }
  return tasks;
}

void add_messages(TaskGraphBuilder& builder, const Inputs& inputs, const schedules::Schedule& schedule,
                  const std::vector<std::vector<ActionTasks>>& actions) {
  const schedules::Dependencies dependencies = schedules::derive_dependencies(schedule);
  const base::Time transfer = message_time(inputs);
  std::vector<int> rank_of;
  std::vector<ActionTasks> flat;
  for (std::size_t r = 0; r < actions.size(); ++r) {
    for (const ActionTasks& tasks : actions[r]) {
      flat.push_back(tasks);
      rank_of.push_back(static_cast<int>(r));
    }
  }
  // Messages enter the producer's stream in the order in which it produces them, whatever rank consumes them.
  std::vector<std::vector<std::uint32_t>> consumers(flat.size());
  for (std::uint32_t i = 0; i < flat.size(); ++i) {
    for (std::uint32_t d = dependencies.input_begin[i]; d < dependencies.input_begin[i + 1]; ++d) {
      const schedules::Dependency& input = dependencies.inputs[d];
      if (input.remote)
        consumers[input.producer].push_back(i);
      else
        builder.depend(flat[i].begin, flat[input.producer].end);
    }
  }
  for (std::uint32_t producer = 0; producer < flat.size(); ++producer) {
    for (const std::uint32_t consumer : consumers[producer]) {
      const TaskId message = builder.add(stream_of(rank_of[producer], Stream::point_to_point), transfer);
      builder.depend(message, flat[producer].end);
      builder.depend(flat[consumer].begin, message);
    }
  }
}

// A part (dense, expert) of a rank's parameters and the GPUs that share its gradients.
struct GradientGroup {
  double parameters = 0.0;
  std::int64_t ranks = 1;
  model::Group group = model::Group::data;
};

std::array<GradientGroup, 2> gradient_groups(const Inputs& inputs, const model::ParameterCount& parameters,
                                             int copies) {
  const model::Parallelism& p = inputs.plan.parallel;
  // DualPipe's two copies of a stage average their gradients too: twice the GPUs share them.
  const std::int64_t dense = p.data * p.context * copies;
  const std::int64_t expert = p.data * p.context * p.tensor * copies / (p.expert * p.expert_tensor);
  return {{{parameters.dense, dense, model::Group::data}, {parameters.expert, expert, model::Group::expert_data}}};
}

std::vector<TailTasks> add_tails(TaskGraphBuilder& builder, const Inputs& inputs, const schedules::Schedule& schedule,
                                 const StageLayout& layout, const std::vector<std::vector<ActionTasks>>& actions) {
  std::vector<TailTasks> tails(actions.size());
  std::vector<TailTimes> times;
  for (std::size_t r = 0; r < actions.size(); ++r) {
    const int rank = static_cast<int>(r);
    times.push_back(tail_times(inputs, rank_parameters(inputs, schedule, layout, rank), schedule.directions));
    tails[r].reduce_scatter = builder.add(stream_of(rank, Stream::communication), times[r].reduce_scatter);
    if (!actions[r].empty()) builder.depend(tails[r].reduce_scatter, actions[r].back().end);
  }
  for (std::size_t r = 0; r < actions.size(); ++r) {
    const int rank = static_cast<int>(r);
    tails[r].optimizer = builder.add(stream_of(rank, Stream::compute), times[r].optimizer);
    for (const TailTasks& other : tails) builder.depend(tails[r].optimizer, other.reduce_scatter);
    tails[r].all_gather = builder.add(stream_of(rank, Stream::communication), times[r].all_gather);
    builder.depend(tails[r].all_gather, tails[r].optimizer);
  }
  return tails;
}

}  // namespace

base::Time message_time(const Inputs& inputs) {
  const double bytes = model::boundary_bytes(layer_context(inputs));
  return base::time_from_seconds(price(inputs, model::SendRecv{bytes, model::Group::pipeline}, {}));
}

TailTimes tail_times(const Inputs& inputs, const model::ParameterCount& parameters, int copies) {
  constexpr double gradient_bytes = 4.0, parameter_bytes = 2.0;
  // AdamW on FP32 master weights and gradients and BF16 moments reads 4 + 4 + 2 + 2 bytes; it writes master, moments
  // and the BF16 parameter.
  constexpr double optimizer_reads = 12.0, optimizer_writes = 10.0;
  const auto time_of = [&](const model::OperatorKind& op) { return base::time_from_seconds(price(inputs, op, {})); };
  TailTimes times;
  for (const GradientGroup& g : gradient_groups(inputs, parameters, copies)) {
    times.reduce_scatter += time_of(model::ReduceScatter{g.parameters * gradient_bytes, g.group, g.ranks});
    times.optimizer +=
        time_of(model::Optimizer{g.parameters / static_cast<double>(g.ranks), optimizer_reads, optimizer_writes});
    times.all_gather += time_of(model::AllGather{g.parameters * parameter_bytes, g.group, g.ranks});
  }
  return times;
}

model::ParameterCount rank_parameters(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, int rank) {
  model::ParameterCount local;
  for (const std::vector<int>& direction : schedule.placement) {
    for (std::size_t stage = 0; stage < direction.size(); ++stage) {
      if (direction[stage] != rank) continue;
      const model::ParameterCount whole = stage_parameters(inputs, layout, stage);
      const model::ParameterCount part = model::local_parameters(whole, inputs.plan.parallel);
      local.dense += part.dense;
      local.expert += part.expert;
    }
  }
  return local;
}

Lowered lower(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
              BlockLibrary& blocks) {
  TaskGraphBuilder builder(static_cast<std::uint32_t>(schedule.ranks) * streams_per_rank);
  Lowered lowered;
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    std::vector<ActionTasks>& tasks = lowered.actions.emplace_back();
    for (const schedules::Action& action : schedule.actions[static_cast<std::size_t>(rank)]) {
      tasks.push_back(add_block(builder, rank, blocks.of(action)));
    }
  }
  add_messages(builder, inputs, schedule, lowered.actions);
  lowered.tails = add_tails(builder, inputs, schedule, layout, lowered.actions);
  lowered.graph = std::move(builder).freeze();
  return lowered;
}

}  // namespace hourglass::sim
