#pragma once

#include <cstdint>
#include <vector>

#include "schedules/schedule.h"
#include "sim/training/blocks.h"

// Which layers sit on which pipeline stage.
namespace hourglass::sim {

// A stage is a run of units in forward order. The embedding opens the first stage and the head closes the last; the MTP
// module (embedding lookup, projection, one layer, the shared head again) follows the main head on the last stage,
// since it shares head and embedding (DeepSeek-V3 report, section 3.2.2: with DualPipe the first and last stage share a
// rank).
struct StageLayout {
  std::vector<std::vector<Unit>> stages;
  std::vector<std::int64_t> layers;  // of each stage, the MTP module's not counted
};

// plan.layers_per_stage if given (its sum and length are checked), else contiguous runs of layers balanced under
// several objectives, of which simulate() takes the best. At least one.
std::vector<StageLayout> candidate_layouts(const Inputs& inputs, const schedules::Schedule& schedule,
                                           const UnitPrices& prices);

// Throws base::Error if the model has too few layers for the stages, or the plan's own split does not fit.
void check_stage_count(const Inputs& inputs, std::size_t stages);

// Unsharded parameters of a stage. The MTP module's embedding and head are the main model's: they count once.
model::ParameterCount stage_parameters(const Inputs& inputs, const StageLayout& layout, std::size_t stage);

}  // namespace hourglass::sim
