#pragma once

#include <string>

#include "planner/budget/budget.h"
#include "planner/validation/validation.h"
#include "sim/training/record.h"
#include "sim/training/result.h"

// Results as self-contained SVG pictures, to put into documents.
namespace hourglass::reports {

// Every block of every pipeline rank over the time of the step.
std::string step_svg(const sim::Result& result, const sim::StepRecord& record);
// GPU-hours of every stage, and the whole run with its range.
std::string budget_svg(const planner::Budget& budget);
// Predicted over reported on logarithmic axes, with the band of +-10 %: one dot a row.
std::string validation_svg(const planner::Validation& validation);

}  // namespace hourglass::reports
