#include "sim/training/units.h"

#include <algorithm>

#include "sim/training/price.h"

namespace hourglass::sim {

namespace {

std::size_t price_index(UnitKind unit, model::Pass pass, bool overlapped) {
  return (static_cast<std::size_t>(unit) * 3 + static_cast<std::size_t>(pass)) * 2 + (overlapped ? 1 : 0);
}

struct ClassOf {
  WorkClass operator()(const model::Gemm&) const { return WorkClass::gemm; }
  WorkClass operator()(const model::GroupedGemm&) const { return WorkClass::grouped_gemm; }
  WorkClass operator()(const model::AttentionCore&) const { return WorkClass::attention; }
  WorkClass operator()(const model::Norm&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Rotary&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Activation&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Router&) const { return WorkClass::router; }
  WorkClass operator()(const model::Permute&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Cast&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Embedding&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Loss&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Residual&) const { return WorkClass::memory_bound; }
  WorkClass operator()(const model::Optimizer&) const { return WorkClass::optimizer; }
  WorkClass operator()(const model::Dispatch&) const { return WorkClass::all_to_all; }
  WorkClass operator()(const model::Combine&) const { return WorkClass::all_to_all; }
  WorkClass operator()(const model::AllReduce&) const { return WorkClass::collective; }
  WorkClass operator()(const model::AllGather&) const { return WorkClass::collective; }
  WorkClass operator()(const model::ReduceScatter&) const { return WorkClass::collective; }
  WorkClass operator()(const model::SendRecv&) const { return WorkClass::point_to_point; }
};

struct GroupOf {
  model::Group operator()(const model::Dispatch&) const { return model::Group::expert; }
  model::Group operator()(const model::Combine&) const { return model::Group::expert; }
  model::Group operator()(const model::AllReduce& c) const { return c.group; }
  model::Group operator()(const model::AllGather& c) const { return c.group; }
  model::Group operator()(const model::ReduceScatter& c) const { return c.group; }
  model::Group operator()(const model::SendRecv& c) const { return c.group; }
  template <class Computation>
  model::Group operator()(const Computation&) const {
    return model::Group::tensor;
  }
};
model::Group group_of(const model::OperatorKind& op) { return std::visit(GroupOf{}, op); }

PricedPart price_part(const Inputs& inputs, const std::vector<model::Operator>& operators, bool overlapped,
                      const ExpertNetwork* network) {
  const hardware::Conditions conditions{overlapped ? inputs.plan.communication_sms : 0};
  PricedPart part;
  for (const model::Operator& op : operators) {
    const bool communication = model::is_communication(op.kind);
    const base::Time work = base::time_from_seconds(price(inputs, op.kind, conditions, network));
    if (part.empty() || part.back().communication != communication)
      part.push_back({communication, 0, {}, 0.0, 0.0, group_of(op.kind)});
    PricedRun& run = part.back();
    run.work += work;
    run.by_class[static_cast<std::size_t>(std::visit(ClassOf{}, op.kind))] += work;
    run.nic_bytes += nic_bytes(inputs, op.kind);
    run.launches += launches(op.kind);
  }
  return part;
}

base::Time computation(const PricedPass& pass) {
  base::Time total = 0;
  for (const PricedPart& part : pass) {
    for (const PricedRun& run : part) total += run.communication ? 0 : run.work;
  }
  return total;
}

// Peers reach an all-to-all at different times: their load differs, and each waits for the last. The wait is the
// profile's share of the computation since the all-to-all before: a fourth of a pair's, half of that of a pass alone.
void add_wait(PricedPass& pass, base::Time since_the_last, double share) {
  const base::Time wait = base::time_from_seconds(base::seconds(since_the_last) * share);
  if (wait == 0) return;
  PricedRun waiting{true, wait, {}, 0.0, 0.0, model::Group::expert};
  waiting.by_class[static_cast<std::size_t>(WorkClass::peer_wait)] = wait;
  for (const model::Part part : {model::dispatch, model::combine}) {
    PricedPart& runs = pass[part];
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (!runs[i].communication) continue;
      runs.insert(runs.begin() + static_cast<std::ptrdiff_t>(i), waiting);
      ++i;
    }
  }
}

}  // namespace

const char* class_name(WorkClass cls) {
  static constexpr const char* names[work_classes] = {
      "gemm",       "grouped_gemm",   "attention",  "memory_bound", "router",    "all_to_all", "peer_wait",
      "collective", "point_to_point", "contention", "launch",       "gradients", "optimizer",  "parameters"};
  return names[static_cast<std::size_t>(cls)];
}

UnitKind layer_unit(model::LayerKind kind) {
  return kind == model::LayerKind::moe ? UnitKind::moe_layer : UnitKind::dense_layer;
}

model::LayerContext layer_context(const Inputs& inputs) {
  model::LayerContext context;
  context.model = &inputs.model;
  context.parallel = inputs.plan.parallel;
  context.micro_batch = inputs.plan.micro_batch;
  context.precision = inputs.plan.precision;
  context.recompute = inputs.plan.recompute;
  return context;
}

model::LayerPass unit_operators(const Inputs& inputs, UnitKind unit, model::Pass pass) {
  const model::LayerContext context = layer_context(inputs);
  switch (unit) {
    case UnitKind::dense_layer:
      return model::layer_operators(context, model::LayerKind::dense, pass);
    case UnitKind::moe_layer:
      return model::layer_operators(context, model::LayerKind::moe, pass);
    case UnitKind::embedding:
      return {{{}, {}, model::embedding_operators(context, pass), {}}};
    case UnitKind::mtp_projection:
      return {{{}, {}, model::mtp_projection_operators(context, pass), {}}};
    case UnitKind::head:
      return {{{}, {}, model::head_operators(context, pass), {}}};
  }
  return {};
}

UnitPrices::UnitPrices(const Inputs& inputs, const ExpertNetwork* network)
    : overlap_weight_gradients_(inputs.plan.overlap_weight_gradients),
      host_launch_s_(inputs.cluster.host_launch_s),
      overlap_order_(inputs.plan.overlap_order),
      prices_(unit_kinds * 3 * 2) {
  for (std::size_t u = 0; u < unit_kinds; ++u) {
    const auto unit = static_cast<UnitKind>(u);
    const bool moe = inputs.model.moe.routed_experts > 0;
    if (unit == UnitKind::moe_layer && !moe) continue;
    const bool any_dense = std::find(inputs.model.layers.begin(), inputs.model.layers.end(), model::LayerKind::dense) !=
                           inputs.model.layers.end();
    if (unit == UnitKind::dense_layer && !any_dense) continue;
    if (unit == UnitKind::mtp_projection && inputs.model.mtp_modules == 0) continue;
    for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
      const model::LayerPass operators = unit_operators(inputs, unit, pass);
      for (const bool overlapped : {false, true}) {
        PricedPass& priced = prices_[price_index(unit, pass, overlapped)];
        for (std::size_t part = 0; part < priced.size(); ++part)
          priced[part] = price_part(inputs, operators[part], overlapped, network);
      }
    }
  }
  add_skew(inputs);
}

void UnitPrices::add_skew(const Inputs& inputs) {
  const double share = inputs.profile.in_situ.skew_share;
  const auto at = [&](model::Pass pass, bool overlapped) -> PricedPass& {
    return prices_[price_index(UnitKind::moe_layer, pass, overlapped)];
  };
  base::Time pair = 0;
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight})
    pair += computation(at(pass, true));
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input}) {
    add_wait(at(pass, true), pair / 4, share);
    add_wait(at(pass, false), computation(at(pass, false)) / 2, share);
  }
}

const PricedPass& UnitPrices::of(UnitKind unit, model::Pass pass, bool overlapped) const {
  return prices_[price_index(unit, pass, overlapped)];
}

}  // namespace hourglass::sim
