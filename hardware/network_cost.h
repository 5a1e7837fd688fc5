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
double collective_seconds(const Cluster& cluster, const Profile& profile, Collective collective, double bytes,
                          GroupShape group);

// One message between neighbours; `same_node` picks the tier.
double send_seconds(const Cluster& cluster, const Profile& profile, double bytes, bool same_node);

// MoE all-to-all of one GPU: `bytes` of tokens, each copied to this many remote nodes (over InfiniBand) and to this
// many other GPUs (over NVLink, at the sending or the receiving node) on average.
struct MoeTraffic {
  double bytes = 0.0;
  double remote_nodes = 0.0;
  double other_gpus = 0.0;
};

enum class MoeDirection : std::uint8_t { dispatch, combine };
double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   Conditions conditions);

}  // namespace hourglass::hardware
