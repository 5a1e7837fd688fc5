#pragma once

#include <string>

#include "base/json.h"
#include "base/provenance.h"
#include "planner/search.h"

namespace hourglass::reports {

// `plan_file` as the user named it, for the command that repeats the best plan.
std::string search_text(const sim::Inputs& inputs, const planner::SearchResult& result, const std::string& plan_file);
base::Json search_json(const planner::SearchResult& result, const base::Provenance& provenance);

}  // namespace hourglass::reports
