#pragma once

#include <string>

#include "planner/validation/validation.h"

// What runs lost to failures, as published, against the planner's formulas.
namespace hourglass::planner {

// Appends a file's effective training times and interruptions (configs/published/goodput.json).
void add_goodput(Validation& validation, const std::string& file);

}  // namespace hourglass::planner
