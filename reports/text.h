#pragma once

#include <string>

#include "planner/budget/budget.h"
#include "planner/compare/comparison.h"
#include "schedules/synthesize.h"
#include "sim/training/plan.h"
#include "sim/training/result.h"
#include "sim/training/tune_overlap.h"

// Results as a person wants them, on one screen.
namespace hourglass::reports {

std::string budget_text(const planner::Budget& budget);
// What simulate --tune-overlap tried and found.
std::string tuning_text(const sim::OverlapTuning& tuning);

std::string step_text(const sim::Inputs& inputs, const sim::Result& result);
std::string comparison_text(const planner::Comparison& comparison);
std::string model_text(const model::ModelSpec& model, std::int64_t sequence_length);
std::string synthesis_text(const schedules::Synthesis& synthesis);
// Every class of the profile, with where its figures come from.
std::string explain_text(const hardware::Profile& profile);

}  // namespace hourglass::reports
