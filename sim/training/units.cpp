#include "sim/training/units.h"

#include "hardware/price.h"

namespace hourglass::sim {

namespace {

PricedPart price_part(const hardware::Platform& platform, const std::vector<model::Operator>& operators,
                      const hardware::Conditions& conditions) {
  PricedPart part;
  std::uint32_t place = 0;
  for (const model::Operator& op : operators) {
    const model::Facts facts = model::facts(op.kind);
    const hardware::Cost cost = hardware::cost_of(platform, op.kind, conditions);
    const base::Time work = base::time_from_seconds(cost.seconds);
    if (part.empty() || part.back().communication != facts.communication())
      part.push_back({facts.communication(), 0, {}, 0.0, 0.0, facts.group.value_or(model::Group::tensor), place, 0});
    PricedRun& run = part.back();
    ++place, ++run.operators;
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
  PricedRun waiting{true, wait, {}, 0.0, 0.0, model::Group::expert, 0, 0};
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

std::vector<Unit> units_of(const Inputs& inputs) {
  std::vector<Unit> units = {{Unit::embedding}};
  for (int kind = 0; kind < inputs.model.kind_count(); ++kind) units.push_back(layer_unit(kind));
  if (inputs.plan.mtp && inputs.model.mtp_modules > 0) units.push_back({Unit::mtp_projection});
  units.push_back({Unit::head});
  return units;
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

model::LayerPass unit_operators(const Inputs& inputs, Unit unit, model::Pass pass) {
  const model::LayerContext context = layer_context(inputs);
  switch (unit.type) {
    case Unit::layer:
      return model::layer_operators(context, inputs.model.kind(unit.kind), pass);
    case Unit::embedding:
      return {{{}, {}, model::embedding_operators(context, pass), {}}};
    case Unit::mtp_projection:
      return {{{}, {}, model::mtp_projection_operators(context, pass), {}}};
    case Unit::head:
      return {{{}, {}, model::head_operators(context, pass), {}}};
  }
  return {};
}

UnitPrices::UnitPrices(const Inputs& inputs, const ExpertNetwork* network)
    : overlap_weight_gradients_(inputs.plan.overlap_weight_gradients),
      host_launch_s_(inputs.cluster.host_launch_s),
      overlap_order_(inputs.plan.overlap_order),
      prices_(unit_count(inputs.model) * 3 * 2),
      has_all_to_all_(unit_count(inputs.model), 0) {
  const hardware::Platform platform = inputs.platform();
  const hardware::Conditions alone = conditions_of(network, 0),
                             beside = conditions_of(network, inputs.plan.communication_sms);
  for (const Unit unit : units_of(inputs)) {
    for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
      const model::LayerPass operators = unit_operators(inputs, unit, pass);
      for (const bool overlapped : {false, true}) {
        PricedPass& priced = prices_[index(unit, pass, overlapped)];
        for (std::size_t part = 0; part < priced.size(); ++part)
          priced[part] = price_part(platform, operators[part], overlapped ? beside : alone);
      }
    }
    if (unit.type != Unit::layer || model::experts_of(inputs.model.kind(unit.kind)) == nullptr) continue;
    has_all_to_all_[unit.number()] = 1;
    add_skew(unit, inputs.profile.in_situ.skew_share);
  }
}

void UnitPrices::add_skew(Unit unit, double share) {
  const auto at = [&](model::Pass pass, bool overlapped) -> PricedPass& {
    return prices_[index(unit, pass, overlapped)];
  };
  base::Time pair = 0;
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight})
    pair += computation(at(pass, true));
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input}) {
    add_wait(at(pass, true), pair / 4, share);
    add_wait(at(pass, false), computation(at(pass, false)) / 2, share);
  }
}

}  // namespace hourglass::sim
