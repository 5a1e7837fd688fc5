#pragma once

#include <cstdint>

#include "hardware/cluster.h"
#include "hardware/compute_cost.h"
#include "hardware/profile.h"
#include "model/ops/routing.h"

// Seconds of one message or collective, alpha-beta per tier (NVLink inside a node, RDMA between nodes).
namespace hourglass::hardware {

// A communicator of `ranks` GPUs, `per_node` of them on each node it touches.
struct GroupShape {
  std::int64_t ranks = 1;
  std::int64_t per_node = 1;
};

enum class Collective : std::uint8_t { all_reduce, all_gather, reduce_scatter, all_to_all };

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

// Of uniform routing, `tokens` a rank, experts placed in order over the ranks.
MoeTraffic moe_traffic(const model::Routing& routing, double tokens, double token_bytes, GroupShape group);

enum class MoeDirection : std::uint8_t { dispatch, combine };
// `sms`: that the kernels hold; 0: as many as they want.
double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   std::int64_t sms, Conditions conditions);

// DeepEP's low-latency kernels: one message an expert, to the expert's GPU itself. `over_nvlink`: to GPUs of the same
// node over NVLink; otherwise every message takes the NIC.
double low_latency_moe_seconds(const Cluster& cluster, const Profile& profile, double selections, double token_bytes,
                               GroupShape group, bool over_nvlink);

}  // namespace hourglass::hardware
