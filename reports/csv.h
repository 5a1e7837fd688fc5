#pragma once

#include <string>

#include "planner/sweep.h"

// Tables for spreadsheets and plots: a header line, then one line a row; numbers in full precision.
namespace hourglass::reports {

// One line for every value and schedule that can run there.
std::string sweep_csv(const planner::Sweep& sweep);
std::string comparison_csv(const planner::Comparison& comparison);

}  // namespace hourglass::reports
