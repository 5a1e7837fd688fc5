// Memory of a rank over time. What does not move: parameters (of each stage a rank holds; DualPipe holds two), gradients
// and optimizer states as sharding.h says, plus workspace, all-to-all and point-to-point buffers. What moves:
// activations. A micro-batch's are allocated when its forward starts; its input gradient frees all but what the weight
// gradient needs, the weight gradient (or the fused backward) frees the rest. A pair allocates before it frees.
//
// Limits: no allocator fragmentation, no CUDA context and library workspaces (several GiB in practice). The workspace
// of a layer's backward pass is counted as if it were always there.
#include "sim/training/memory.h"

#include <algorithm>

namespace hourglass::sim {

namespace {

double dispatch_buffers(const Inputs& inputs) {
  if (inputs.plan.parallel.expert == 1) return 0.0;
  // Receive buffers for one dispatch and one combine: every token's copies, BF16, for the balanced case.
  const double tokens = static_cast<double>(model::local_tokens(layer_context(inputs)));
  double copies = 0.0;
  for (const model::LayerSpec& kind : inputs.model.kinds) {
    if (const model::MixtureOfExperts* experts = model::experts_of(kind))
      copies = std::max(copies, static_cast<double>(experts->experts_per_token));
  }
  return 2.0 * tokens * copies * static_cast<double>(inputs.model.hidden) * 2.0;
}

double workspace(const Inputs& inputs) {
  const model::LayerContext context = layer_context(inputs);
  double largest = 0.0;
  for (const model::LayerSpec& kind : inputs.model.kinds)
    largest = std::max(largest, model::layer_workspace(context, kind));
  return largest;
}

// What an action allocates when it begins and frees when it ends; freeing less than nothing keeps more (counts.h).
struct Change {
  double allocated = 0.0, freed = 0.0;
};

Change change_of(const schedules::Action& action, const std::vector<model::ActivationBytes>& stages) {
  using schedules::Kind;
  const model::ActivationBytes& own = stages[static_cast<std::size_t>(action.stage)];
  switch (action.kind) {
    case Kind::forward:
      return {own.total, 0.0};
    case Kind::backward_input:
      return {0.0, own.total - own.kept_for_weight};
    case Kind::backward_weight:
      return {0.0, own.kept_for_weight};
    case Kind::backward:
      return {0.0, own.total};
    case Kind::overlapped:
      return {own.total, stages[static_cast<std::size_t>(action.backward_stage)].total};
  }
  return {};
}

}  // namespace

double buffer_bytes(const Inputs& inputs) {
  // Two messages in flight each way.
  return workspace(inputs) + dispatch_buffers(inputs) +
         (inputs.plan.parallel.pipeline > 1 ? 4.0 * model::boundary_bytes(layer_context(inputs)) : 0.0);
}

Memory static_memory(const Plan& plan, const model::ParameterCount& parameters, int copies, double buffers) {
  const StateBytes held = bytes_held(plan.sharding(), plan.parallel, parameters, copies);
  return {held.parameters, held.gradients, held.optimizer, 0.0, buffers};
}

model::ActivationBytes unit_activations(const Inputs& inputs, Unit unit) {
  const model::LayerContext context = layer_context(inputs);
  switch (unit.type) {
    case Unit::embedding:
      return model::embedding_activations(context);
    case Unit::layer:
      return model::layer_activations(context, inputs.model.kind(unit.kind));
    case Unit::mtp_projection:
      return model::mtp_projection_activations(context);
    case Unit::head:
      return model::head_activations(context);
  }
  return {};
}

model::ActivationBytes stage_activations(const Inputs& inputs, const StageLayout& layout, std::size_t stage) {
  model::ActivationBytes total;
  for (const Unit unit : layout.stages[stage]) {
    const model::ActivationBytes bytes = unit_activations(inputs, unit);
    total.total += bytes.total;
    total.kept_for_weight += bytes.kept_for_weight;
  }
  return total;
}

namespace {

// Calls change(bytes, time) for every allocation and every release of activations on a rank, in order.
template <class Change>
void each_change(const schedules::Schedule& schedule, const std::vector<model::ActivationBytes>& stages,
                 const Lowered& lowered, const Timeline& timeline, std::size_t rank, const Change& change) {
  for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
    const ActionTasks& tasks = lowered.actions[rank][i];
    const auto [allocated, freed] = change_of(schedule.actions[rank][i], stages);
    change(allocated, timeline.end[tasks.begin]);
    change(-freed, timeline.start[tasks.end]);
  }
}

std::vector<model::ActivationBytes> all_stage_activations(const Inputs& inputs, const StageLayout& layout) {
  std::vector<model::ActivationBytes> stages;
  for (std::size_t s = 0; s < layout.stages.size(); ++s) stages.push_back(stage_activations(inputs, layout, s));
  return stages;
}

}  // namespace

std::vector<MemoryPeak> measure_memory(const Inputs& inputs, const schedules::Schedule& schedule,
                                       const StageLayout& layout, const Lowered& lowered, const Timeline& timeline) {
  const std::vector<model::ActivationBytes> stages = all_stage_activations(inputs, layout);
  const double buffers = buffer_bytes(inputs);
  const auto fixed = [&](int rank) {
    return static_memory(inputs.plan, rank_parameters(inputs, schedule, layout, rank), schedule.directions, buffers);
  };
  std::vector<MemoryPeak> peaks;
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    MemoryPeak peak{fixed(rank), 0};
    double held = 0.0;
    each_change(schedule, stages, lowered, timeline, static_cast<std::size_t>(rank), [&](double bytes, base::Time at) {
      held += bytes;
      if (held <= peak.memory.activations) return;
      peak.memory.activations = held;
      peak.at = at;
    });
    peaks.push_back(peak);
  }
  return peaks;
}

std::vector<MemoryPoint> memory_curve(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, const Lowered& lowered, const Timeline& timeline) {
  const std::vector<model::ActivationBytes> stages = all_stage_activations(inputs, layout);
  const double buffers = buffer_bytes(inputs);
  std::vector<MemoryPoint> curve;
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    const model::ParameterCount parameters = rank_parameters(inputs, schedule, layout, rank);
    double held = static_memory(inputs.plan, parameters, schedule.directions, buffers).total();
    curve.push_back({rank, 0, held});
    each_change(schedule, stages, lowered, timeline, static_cast<std::size_t>(rank), [&](double bytes, base::Time at) {
      held += bytes;
      if (bytes != 0.0) curve.push_back({rank, at, held});
    });
  }
  return curve;
}

}  // namespace hourglass::sim
