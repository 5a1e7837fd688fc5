#pragma once

#include <string>

#include "base/fields.h"
#include "base/provenance.h"
#include "planner/budget/solve.h"
#include "planner/compare/clusters.h"

// How many GPUs, and on which cluster.
namespace hourglass::reports {

std::string solution_text(const sim::Inputs& inputs, const planner::GpuSolution& solution);
base::Json solution_json(const sim::Inputs& inputs, const planner::GpuSolution& solution);

std::string clusters_text(const planner::ClusterComparison& comparison);
base::Json clusters_json(const planner::ClusterComparison& comparison);

}  // namespace hourglass::reports
