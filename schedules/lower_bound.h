#pragma once

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

namespace hourglass::schedules {

// No order of the schedule's work on its placement can have a shorter makespan, whatever its memory. In the unit of the
// costs. With `activation_cap` > 0 (whole micro-batches of a rank) no order that keeps it can be shorter either.
double lower_bound(const Schedule& schedule, const Costs& costs, double activation_cap = 0.0);

}  // namespace hourglass::schedules
