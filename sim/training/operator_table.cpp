// The operators of a step one by one, priced as UnitPrices prices them, for the roofline and for telling what the spans
// of a record are made of. Waits for slower peers, which UnitPrices adds to the all-to-all, belong to no operator and are
// not here.
#include "sim/training/operator_table.h"

#include "hardware/price.h"

namespace hourglass::sim {

std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network) {
  const hardware::Platform platform = inputs.platform();
  const hardware::Conditions alone = conditions_of(network, 0),
                             beside = conditions_of(network, inputs.plan.communication_sms);
  std::vector<OperatorCost> table;
  for (const Unit unit : units_of(inputs)) {
    for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
      const model::LayerPass parts = unit_operators(inputs, unit, pass);
      for (std::size_t part = 0; part < parts.size(); ++part) {
        for (const model::Operator& op : parts[part]) {
          const model::Facts facts = model::facts(op.kind);
          const hardware::Cost cost = hardware::cost_of(platform, op.kind, alone);
          table.push_back({op, unit, static_cast<model::Part>(part), pass, facts.communication(), facts.flops,
                           facts.bytes(), facts.message_bytes, cost.nic_bytes, cost.nvlink_bytes, cost.seconds,
                           hardware::cost_of(platform, op.kind, beside).seconds, cost.profile_class});
        }
      }
    }
  }
  return table;
}

}  // namespace hourglass::sim
