#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "hardware/network/fair_share.h"
#include "hardware/network/routes.h"

// What collectives and the MoE all-to-all share: a network that flows run on, and the report of a run.
namespace hourglass::hardware {

// Share of the peak bandwidth that a kernel reaches on a wire when nothing contends.
struct TierEfficiency {
  double nvlink = 1.0;
  double rdma = 1.0;  // PCIe, NIC and fabric
};

struct Network {
  const Topology& topology;
  Router router;
  std::vector<double> capacity;  // bytes/s by link

  Network(const Topology& built, RoutePolicy policy, TierEfficiency efficiency, std::uint64_t seed = 0);
};

struct LinkUse {
  std::int32_t link = -1;
  double bytes = 0.0, utilization = 0.0;  // of its capacity, over the whole transfer
};

struct Transfer {
  double seconds = 0.0;
  std::array<double, 4> tier_bytes{};  // sent over all links of a tier, by LinkTier; each link crossed counts
  std::int32_t bottleneck = -1;        // the link that needs longest for its bytes
  double bottleneck_bytes = 0.0, bottleneck_utilization = 0.0;
  std::size_t flows = 0;
  std::vector<LinkUse> hottest;     // fullest first, at most eight
  std::vector<double> utilization;  // of every link
};

// One set of flows after another, each `repeat` times: a ring's steps, the phases of a hierarchical collective.
struct Phase {
  FlowSet flows;
  double repeat = 1.0;
  double latency_s = 0.0;  // the longest path of the phase
};

// Adds a flow from GPU to GPU and keeps the phase's latency.
void add_flow(Network& network, Phase& phase, std::int32_t from, std::int32_t to, Via via, double bytes);
Transfer run(const Network& network, const std::vector<Phase>& phases);

}  // namespace hourglass::hardware
