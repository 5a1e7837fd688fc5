#pragma once

#include "base/provenance.h"
#include "cli/command.h"
#include "hardware/network/topology.h"

// What `collective` and `topology` share: a cluster, how much of it, and what has failed.
namespace hourglass::cli {

struct NetworkInputs {
  hardware::Cluster cluster;
  hardware::Topology topology;
  std::string cluster_file;
  base::Provenance provenance;
};

void add_network_options(Options& options);
// `gpus`: how many to build if --gpus does not say; 0: the whole cluster.
NetworkInputs read_network(const Invocation& invocation, const Values& values, std::int64_t gpus);

}  // namespace hourglass::cli
