#pragma once

#include <array>

#include "base/units.h"
#include "model/counts.h"
#include "sim/training/plan.h"

// The end of a step on one pipeline rank, under ZeRO-1 (Rajbhandari et al. 2020): gradients are reduced and scattered,
// each GPU updates its shard, parameters are gathered.
namespace hourglass::sim {

inline constexpr double gradient_bytes = 4.0, parameter_bytes = 2.0;  // FP32 and BF16, a parameter

// A part (dense, expert) of parameters and the GPUs that share its gradients. `copies` of a stage that the pipeline
// holds (DualPipe: two) average theirs too.
struct GradientGroup {
  double parameters = 0.0;
  std::int64_t ranks = 1;
  model::Group group = model::Group::data;
};
std::array<GradientGroup, 2> gradient_groups(const model::Parallelism& p, const model::ParameterCount& parameters,
                                             int copies);

// What that takes on a rank that holds `parameters` (one GPU's share of its stages, or of some of them).
struct TailTimes {
  base::Time reduce_scatter = 0, optimizer = 0, all_gather = 0;
};
TailTimes tail_times(const Inputs& inputs, const model::ParameterCount& parameters, int copies);

}  // namespace hourglass::sim
