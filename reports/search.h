#pragma once

#include <string>

#include "base/fields.h"
#include "base/provenance.h"
#include "planner/search/search.h"
#include "planner/search/search_files.h"
#include "planner/search/search_sanity.h"

namespace hourglass::reports {

// `plan_file` as the user named it, for the command that repeats the best plan.
std::string search_text(const planner::Search& search, const planner::SearchResult& result,
                        const std::string& plan_file, const planner::Shard& shard);
base::Json search_json(const planner::Search& search, const planner::SearchResult& result,
                       const base::Provenance& provenance, const planner::Shard& shard);

// Where published layouts stand in a search.
std::string sanity_text(const std::vector<planner::SanityRow>& rows);
base::Json sanity_json(const std::vector<planner::SanityRow>& rows, const base::Provenance& provenance);

}  // namespace hourglass::reports
