#pragma once

#include "sim/engine/contention.h"
#include "sim/training/lower.h"
#include "sim/training/plan.h"

namespace hourglass::sim {

// The GPUs of a plan for the engine: one a pipeline rank if `folded`, else all, with the plan's variation.
Machine machine_of(const Inputs& inputs, const Lowered& lowered, bool folded);

}  // namespace hourglass::sim
