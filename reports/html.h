#pragma once

#include <string>

#include "base/provenance.h"
#include "planner/budget/budget.h"
#include "planner/compare/comparison.h"
#include "planner/search/search.h"
#include "planner/search/search_files.h"
#include "planner/validation/validation.h"
#include "sim/training/plan.h"
#include "sim/training/record.h"
#include "sim/training/result.h"

// Results as one self-contained HTML file each (page.h). Every page carries the document of --format json, from which
// all its figures are read, and what the pictures need besides.
namespace hourglass::reports {

std::string step_html(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record);
std::string comparison_html(const planner::Comparison& comparison, const base::Provenance& provenance);
std::string budget_html(const planner::Budget& budget, const sim::Inputs& inputs);
std::string validation_html(const planner::Validation& validation, const base::Provenance& provenance);
std::string search_html(const sim::Inputs& inputs, const planner::Search& search, const planner::SearchResult& result,
                        const planner::Shard& shard);

}  // namespace hourglass::reports
