// Messages by alpha-beta: a start-up, then bytes over the achieved bandwidth of the slowest tier they cross.
//
// Rings. All-gather and reduce-scatter of a buffer of B bytes over n ranks take n-1 steps of B/n bytes; all-reduce is one
// after the other (Thakur et al. 2005). A ring over several nodes crosses each node's NICs once for each GPU pair of
// rings, so the inter-node tier moves at (GPUs of the group on a node) x NIC bandwidth, shared by as many rings: each
// GPU effectively has its own NIC.
//
// MoE dispatch and combine with node-limited routing (DeepSeek-V3 report, section 3.2.2): a token is sent once to each
// remote node that holds one of its experts, to the GPU of the same index there, and forwarded over NVLink to the GPUs
// that need it; both tiers run concurrently, so the slower one sets the time. With e experts in g groups of which a token
// uses t groups and k experts, uniform routing hits a set of x experts (of the e t/g eligible ones) with probability
//     1 - C(E-x, k) / C(E, k),   E = e t / g,
// which gives the expected distinct nodes and GPUs. EP8, 16 and 32 of DeepEP's published H800 figures follow from one
// RDMA and one NVLink efficiency; the flow-level network replaces this later.
#include "hardware/network_cost.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

// Probability that k experts drawn without replacement from `eligible` miss all of `subset` of them.
double miss_probability(double eligible, double subset, std::int64_t k) {
  double miss = 1.0;
  for (std::int64_t i = 0; i < k; ++i) {
    const auto drawn = static_cast<double>(i);
    miss *= std::max(0.0, eligible - subset - drawn) / (eligible - drawn);
  }
  return miss;
}

// Expected number of distinct parts hit when the experts are split over `parts` equal parts (nodes or GPUs).
// A token chooses groups_per_token of `groups` groups uniformly, then k experts inside them. A part no larger than a group is
// eligible with probability t/g; one that spans several groups is eligible through any of them, in proportion.
double expected_distinct(const MoeTraffic& t, double parts) {
  const auto experts = static_cast<double>(t.experts), groups = static_cast<double>(t.groups),
             used_groups = static_cast<double>(t.groups_per_token);
  const double eligible = experts * used_groups / groups;
  const double part = experts / parts;
  const double group = experts / groups;
  if (part <= group) {
    const double hit = 1.0 - miss_probability(eligible, part, t.top_k);
    return parts * (used_groups / groups) * hit;
  }
  // A part holds whole groups: condition on how many of its c groups are among the t chosen (hypergeometric).
  const auto c = static_cast<std::int64_t>(std::llround(part / group));
  double hit = 0.0;
  for (std::int64_t chosen = 1; chosen <= std::min(c, t.groups_per_token); ++chosen) {
    const auto choose = [](std::int64_t n, std::int64_t k) {
      return k < 0 || k > n ? 0.0 : std::exp(std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
                                             std::lgamma(static_cast<double>(n - k) + 1));
    };
    const double probability = choose(c, chosen) * choose(t.groups - c, t.groups_per_token - chosen) / choose(t.groups, t.groups_per_token);
    hit += probability * (1.0 - miss_probability(eligible, static_cast<double>(chosen) * group, t.top_k));
  }
  return parts * hit;
}

double ring_steps(Collective collective, double ranks) {
  return collective == Collective::all_reduce ? 2.0 * (ranks - 1.0) : ranks - 1.0;
}

}  // namespace

double collective_seconds(const Cluster& cluster, const Profile& profile, Collective collective, double bytes, GroupShape group) {
  if (group.ranks <= 1 || bytes <= 0.0) return 0.0;
  const bool one_node = group.per_node >= group.ranks;
  const LinkClass& link = one_node ? profile.nvlink : profile.rdma;
  const double bandwidth = (one_node ? cluster.nvlink_bandwidth : cluster.nic_bandwidth) * link.efficiency;
  const auto ranks = static_cast<double>(group.ranks);
  const double steps = ring_steps(collective, ranks);
  return link.startup_s + steps * link.step_s + steps * bytes / ranks / bandwidth;
}

double send_seconds(const Cluster& cluster, const Profile& profile, double bytes, bool same_node) {
  if (bytes <= 0.0) return 0.0;
  const LinkClass& link = same_node ? profile.nvlink : profile.rdma;
  return link.startup_s + bytes / ((same_node ? cluster.nvlink_bandwidth : cluster.nic_bandwidth) * link.efficiency);
}

MoeCopies expected_copies(const MoeTraffic& traffic, std::int64_t gpus_per_node) {
  MoeCopies copies;
  const auto ranks = static_cast<double>(traffic.ranks);
  const double nodes = std::max(1.0, ranks / static_cast<double>(gpus_per_node));
  copies.all_nodes = nodes > 1.0 ? expected_distinct(traffic, nodes) : 1.0;
  copies.remote_nodes = copies.all_nodes * (nodes - 1.0) / nodes;
  copies.all_gpus = expected_distinct(traffic, ranks);
  copies.other_gpus = copies.all_gpus * (ranks - 1.0) / ranks;
  return copies;
}

double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   Conditions conditions) {
  if (traffic.ranks <= 1) return 0.0;
  const MoeCopies copies = expected_copies(traffic, cluster.gpus_per_node);
  const double bytes = static_cast<double>(traffic.tokens) * traffic.token_bytes;
  const double rdma = copies.remote_nodes * bytes / (cluster.nic_bandwidth * profile.moe_rdma.efficiency);
  const double nvlink = copies.other_gpus * bytes / (cluster.nvlink_bandwidth * profile.moe_nvlink.efficiency);
  const LinkClass& link = copies.remote_nodes > 0.0 ? profile.moe_rdma : profile.moe_nvlink;
  double slowdown = 1.0, skew = 0.0;
  if (conditions.overlapped()) {
    const bool dispatch = direction == MoeDirection::dispatch;
    slowdown = dispatch ? profile.in_situ.dispatch_slowdown : profile.in_situ.combine_slowdown;
    skew = profile.in_situ.skew_s;
  }
  return skew + link.startup_s + std::max(rdma, nvlink) * slowdown;
}

}  // namespace hourglass::hardware
