#pragma once

#include "base/units.h"
#include "hardware/price.h"
#include "model/counts.h"
#include "sim/training/plan.h"
#include "sim/training/sharding.h"

// The end of a step on one pipeline rank: gradients are reduced, each GPU updates its shard, parameters are gathered.
namespace hourglass::sim {

// Throws base::Error for GPUs that are no neighbours in their group: no price is known for them yet.
hardware::Cost move_cost(const hardware::Platform& on, const Move& move);

// What a step takes but for its passes on a rank that holds `parameters` (one GPU's share of its stages), which the
// pipeline holds in `copies` copies. What moves with every micro-batch is not in it.
struct TailTimes {
  base::Time reduce_scatter = 0, optimizer = 0, all_gather = 0;
};
TailTimes tail_times(const Inputs& inputs, const Sharding& sharding, const model::ParameterCount& parameters,
                     int copies);

}  // namespace hourglass::sim
