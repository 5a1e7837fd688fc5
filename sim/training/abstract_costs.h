#pragma once

#include "schedules/evaluate.h"
#include "sim/training/plan.h"

namespace hourglass::sim {

// The plan's layers as the abstract costs of schedules/: milliseconds of an average pipeline rank's work for one
// micro-batch, run alone (F, B, W) and as a pair (FB), and of one message between neighbours (p2p).
schedules::Costs abstract_costs(const Inputs& inputs);

}  // namespace hourglass::sim
