#pragma once

#include <cstdint>

#include "hardware/cluster.h"
#include "hardware/compute_cost.h"
#include "hardware/profile.h"

// Seconds of one message or collective, alpha-beta per tier (NVLink inside a node, RDMA between nodes).
namespace hourglass::hardware {

// A communicator of `ranks` GPUs, `per_node` of them on each node it touches.
struct GroupShape {
  std::int64_t ranks = 1;
  std::int64_t per_node = 1;
};

enum class Collective : std::uint8_t { all_reduce, all_gather, reduce_scatter };

// `bytes`: the full buffer (nccl-tests' size).
double collective_seconds(const Cluster& cluster, const Profile& profile, Collective collective, double bytes, GroupShape group);

// One message between neighbours; `same_node` picks the tier.
double send_seconds(const Cluster& cluster, const Profile& profile, double bytes, bool same_node);

// MoE all-to-all over `ranks` GPUs with node-limited routing: each of `tokens` tokens goes to top_k of `experts`
// experts, which sit in groups_per_token of `groups` groups; experts are placed in order over ranks.
struct MoeTraffic {
  std::int64_t tokens = 0, experts = 0, top_k = 0, groups = 1, groups_per_token = 1, ranks = 1;
  double token_bytes = 0.0;
};
// Expected copies of one token, routed uniformly: over InfiniBand (one a remote node) and over NVLink (one a GPU other
// than where it is). Exact hypergeometric expectation.
struct MoeCopies {
  double remote_nodes = 0.0;
  double all_nodes = 0.0;     // the local node included: DeepEP's "logical" RDMA copies
  double all_gpus = 0.0;      // distinct GPUs, itself included
  double other_gpus = 0.0;    // over NVLink, at the sending or the receiving node
};
MoeCopies expected_copies(const MoeTraffic& traffic, std::int64_t gpus_per_node);

enum class MoeDirection : std::uint8_t { dispatch, combine };
double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   Conditions conditions);

}  // namespace hourglass::hardware
