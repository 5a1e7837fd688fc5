#pragma once

#include <string>

#include "base/fields.h"
#include "planner/budget/budget.h"

// What a budget says beyond its stages: range, failures, energy, prices, other runs.
namespace hourglass::reports {

std::string operations_text(const planner::Budget& budget);
// The keys that operations_text tells, added to `out`.
void add_operations(base::Json& out, const planner::Budget& budget);
// Every figure beside the profile's that the budget rests on.
std::string assumptions_text(const planner::Budget& budget);

}  // namespace hourglass::reports
