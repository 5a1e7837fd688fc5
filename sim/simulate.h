#pragma once

#include "schedules/schedule.h"
#include "sim/plan.h"
#include "sim/record.h"
#include "sim/result.h"

namespace hourglass::sim {

// One training step of the plan. Throws base::Error if the schedule cannot run it.
// `record`: filled with what ran when, if given.
Result simulate(const Inputs& inputs, StepRecord* record = nullptr);

// The plan's schedule for its ranks and micro-batches, validated.
schedules::Schedule plan_schedule(const Plan& plan);

}  // namespace hourglass::sim
