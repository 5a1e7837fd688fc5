#pragma once

#include <string>
#include <vector>

#include "planner/budget/budget.h"

// The same plan on several clusters.
namespace hourglass::planner {

struct ComparedCluster {
  std::string name;     // as asked for
  std::string refused;  // why the plan cannot run there; "" if it can
  std::string gpu, profile;
  sim::Result step;      // of the plan's own batch and sequence length
  bool has_run = false;  // the plan has stages: a budget of the whole run
  Budget budget;         // net_budget
};

struct ClusterComparison {
  std::string plan;
  std::int64_t gpus = 0;
  std::vector<ComparedCluster> clusters;
  base::Provenance provenance;  // of all inputs read
};

// `plan` and `clusters`: names or paths (base/configs.h), as given on the command line; a cluster's name is looked for as
// if it stood in the plan. Each has the profile that its file names, whatever the plan says. Throws base::Error if the
// plan runs on none.
ClusterComparison compare_clusters(const std::string& plan, const std::vector<std::string>& clusters,
                                   const std::vector<std::string>& overrides);

}  // namespace hourglass::planner
