#pragma once

#include "sim/training/simulate.h"

namespace hourglass::sim {

// simulate() for everyday use. With contention on, simulate() runs every candidate layout of a plan without it and then
// the best one with it; here the fast path does the former, and the result is the same.
Result simulate_plan(const Inputs& inputs, StepRecord* record = nullptr, const SimulateOptions& options = {});

}  // namespace hourglass::sim
