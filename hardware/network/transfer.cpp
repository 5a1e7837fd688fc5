// Runs phases of flows one after the other: seconds = sum of repeat x (last flow's end + longest path latency). The
// flows of a phase share links max-min fairly (fair_share.cpp). The bottleneck is the link whose bytes, over all
// phases, need longest at its capacity; its utilization is that time over the whole.
#include "hardware/network/transfer.h"

#include <algorithm>

namespace hourglass::hardware {

namespace {

constexpr std::size_t most_shown = 8;

}  // namespace

Network::Network(const Topology& built, RoutePolicy policy, TierEfficiency efficiency, std::uint64_t seed)
    : topology(built), router(built, policy, seed) {
  capacity.reserve(built.links.size());
  for (const Link& link : built.links)
    capacity.push_back(link.bandwidth * (link.tier == LinkTier::nvlink ? efficiency.nvlink : efficiency.rdma));
}

void add_flow(Network& network, Phase& phase, std::int32_t from, std::int32_t to, Via via, double bytes) {
  if (from == to || bytes <= 0.0) return;
  std::vector<std::int32_t> path;
  network.router.route(from, to, via, phase.flows.size(), bytes, path);
  phase.latency_s = std::max(phase.latency_s, path_latency(network.topology, path));
  phase.flows.add(path, bytes);
}

Transfer run(const Network& network, const std::vector<Phase>& phases) {
  Transfer transfer;
  std::vector<double> bytes(network.capacity.size(), 0.0);
  for (const Phase& phase : phases) {
    transfer.seconds += phase.repeat * (simulate_flows(network.capacity, phase.flows).seconds + phase.latency_s);
    transfer.flows += phase.flows.size();
    const std::vector<double> once = link_bytes(phase.flows, bytes.size());
    for (std::size_t l = 0; l < bytes.size(); ++l) bytes[l] += phase.repeat * once[l];
  }
  double longest = 0.0;
  for (std::size_t l = 0; l < bytes.size(); ++l) {
    transfer.tier_bytes[static_cast<std::size_t>(network.topology.links[l].tier)] += bytes[l];
    const double needed = bytes[l] / network.capacity[l];
    if (needed <= longest * (1.0 + 1e-12)) continue;
    longest = needed;
    transfer.bottleneck = static_cast<std::int32_t>(l);
    transfer.bottleneck_bytes = bytes[l];
  }
  transfer.utilization.assign(bytes.size(), 0.0);
  for (std::size_t l = 0; l < bytes.size(); ++l) {
    if (bytes[l] <= 0.0 || transfer.seconds <= 0.0) continue;
    transfer.utilization[l] = bytes[l] / network.capacity[l] / transfer.seconds;
    transfer.hottest.push_back({static_cast<std::int32_t>(l), bytes[l], transfer.utilization[l]});
  }
  const auto shown = static_cast<std::ptrdiff_t>(std::min(most_shown, transfer.hottest.size()));
  std::partial_sort(transfer.hottest.begin(), transfer.hottest.begin() + shown, transfer.hottest.end(),
                    [](const LinkUse& a, const LinkUse& b) {
                      return a.utilization != b.utilization ? a.utilization > b.utilization : a.link < b.link;
                    });
  transfer.hottest.resize(static_cast<std::size_t>(shown));
  if (transfer.seconds > 0.0) transfer.bottleneck_utilization = longest / transfer.seconds;
  return transfer;
}

}  // namespace hourglass::hardware
