#include "sim/training/units.h"

#include <algorithm>

#include "hardware/price.h"

namespace hourglass::sim {

namespace {

std::size_t price_index(UnitKind unit, model::Pass pass, bool overlapped) {
  return (static_cast<std::size_t>(unit) * 3 + static_cast<std::size_t>(pass)) * 2 + (overlapped ? 1 : 0);
}

PricedPart price_part(const hardware::Platform& platform, const std::vector<model::Operator>& operators,
                      const hardware::Conditions& conditions) {
  PricedPart part;
  for (const model::Operator& op : operators) {
    const model::Facts facts = model::facts(op.kind);
    const hardware::Cost cost = hardware::cost_of(platform, op.kind, conditions);
    const base::Time work = base::time_from_seconds(cost.seconds);
    if (part.empty() || part.back().communication != facts.communication())
      part.push_back({facts.communication(), 0, {}, 0.0, 0.0, facts.group.value_or(model::Group::tensor)});
    PricedRun& run = part.back();
    run.work += work;
    run.by_class[static_cast<std::size_t>(facts.work)] += work;
    run.nic_bytes += cost.nic_bytes;
    run.launches += cost.launches;
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
  const hardware::Platform platform = inputs.platform();
  const hardware::Conditions alone = conditions_of(network, 0),
                             beside = conditions_of(network, inputs.plan.communication_sms);
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
          priced[part] = price_part(platform, operators[part], overlapped ? beside : alone);
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
