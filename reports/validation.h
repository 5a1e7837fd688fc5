#pragma once

#include <string>

#include "planner/validation/validation.h"

namespace hourglass::reports {

// Classes with their errors and bounds, then rows; classes of many rows show their worst ones (JSON has all).
std::string validation_text(const planner::Validation& validation);

}  // namespace hourglass::reports
