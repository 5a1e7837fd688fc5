// Blocks of the flat layout (one stage a rank), each timed alone on an idle rank, averaged over the ranks. Uneven
// stages and the optimizer are lost in the average: the numbers place a plan among the abstract comparisons, they do
// not replace its simulation.
#include "sim/training/abstract_costs.h"

#include <algorithm>

#include "hardware/price.h"
#include "schedules/catalogue.h"
#include "sim/training/blocks.h"
#include "sim/training/stages.h"

namespace hourglass::sim {

schedules::Costs abstract_costs(const Inputs& inputs) {
  const UnitPrices prices(inputs);
  // Only the placement matters here: one stage a rank.
  const schedules::Schedule flat_schedule =
      schedules::generate("1f1b", {static_cast<int>(inputs.plan.parallel.pipeline), 1, 0});
  const auto stages = static_cast<std::size_t>(flat_schedule.stages);
  Inputs flat = inputs;
  if (flat.plan.layers_per_stage.size() != stages) flat.plan.layers_per_stage.clear();
  const StageLayout layout = candidate_layouts(flat, flat_schedule, prices).front();
  BlockLibrary blocks(layout.stages, prices);
  const auto mean_ms = [&](schedules::Kind kind) {
    base::Time total = 0;
    for (std::int32_t stage = 0; stage < static_cast<std::int32_t>(stages); ++stage) {
      const bool pair = kind == schedules::Kind::overlapped;
      total += duration(blocks.of({kind, stage, 0, pair ? stage : -1, pair ? 1 : -1}));
    }
    return base::seconds(total) * 1e3 / static_cast<double>(stages);
  };
  schedules::Costs costs;
  costs.forward = mean_ms(schedules::Kind::forward);
  costs.backward_input = mean_ms(schedules::Kind::backward_input);
  costs.backward_weight = mean_ms(schedules::Kind::backward_weight);
  costs.overlapped = mean_ms(schedules::Kind::overlapped);
  if (stages > 1) {
    const model::SendRecv message{model::boundary_bytes(layer_context(inputs)), model::Group::pipeline};
    costs.p2p = hardware::cost_of(inputs.platform(), message).seconds * 1e3;
  }
  return costs;
}

}  // namespace hourglass::sim
