// Stages from a split of the layers: the plan's own, or the balanced ones of sim/training/balance.cpp.
#include "sim/training/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "sim/training/balance.h"

namespace hourglass::sim {

model::ParameterCount stage_parameters(const Inputs& inputs, const StageLayout& layout, std::size_t stage) {
  model::ParameterCount total;
  bool has_head = false;
  const std::vector<Unit>& units = layout.stages[stage];
  for (std::size_t i = 0; i < units.size(); ++i) {
    model::ParameterCount unit;
    switch (units[i].type) {
      case Unit::layer:
        unit = model::layer_parameters(inputs.model, inputs.model.kind(units[i].kind));
        break;
      // After a head comes the MTP module: with one copy it must hold the embedding it shares, unless it is on this
      // stage.
      case Unit::embedding:
        unit.dense = i == 0 || stage > 0 ? model::embedding_parameters(inputs.model) : 0.0;
        break;
      case Unit::mtp_projection:
        unit.dense = model::mtp_parameters(inputs.model).total() -
                     model::layer_parameters(inputs.model, inputs.model.kind(inputs.model.layers.back())).total();
        break;
      case Unit::head:
        unit.dense = std::exchange(has_head, true) ? 0.0 : model::head_parameters(inputs.model);
        break;
    }
    total.dense += unit.dense;
    total.expert += unit.expert;
  }
  return total;
}

namespace {

StageLayout layout_of(const Inputs& inputs, std::vector<std::int64_t> counts) {
  StageLayout layout;
  const std::vector<Unit> last = closing_units(inputs);
  std::size_t next = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    std::vector<Unit> units;
    if (s == 0) units.push_back({Unit::embedding});
    for (std::int64_t i = 0; i < counts[s]; ++i) units.push_back(layer_unit(inputs.model.layers[next++]));
    if (s + 1 == counts.size()) std::copy(last.begin(), last.end(), std::back_inserter(units));
    layout.stages.push_back(std::move(units));
  }
  layout.layers = std::move(counts);
  return layout;
}

}  // namespace

void check_stage_count(const Inputs& inputs, std::size_t stages) {
  refuse(stage_violations(inputs.plan, inputs.model, stages));
}

std::vector<StageLayout> candidate_layouts(const Inputs& inputs, const schedules::Schedule& schedule,
                                           const UnitPrices& prices) {
  const auto stages = static_cast<std::size_t>(schedule.stages);
  check_stage_count(inputs, stages);
  if (!inputs.plan.layers_per_stage.empty()) return {layout_of(inputs, inputs.plan.layers_per_stage)};
  const ContentTable contents(inputs);
  BlockTimes times(contents, prices);
  std::vector<StageLayout> candidates;
  for (std::vector<std::int64_t>& counts : balanced_splits(contents, BalanceProblem(schedule), times))
    candidates.push_back(layout_of(inputs, std::move(counts)));
  return candidates;
}

}  // namespace hourglass::sim
