#pragma once

#include <cstdint>
#include <vector>

#include "hardware/network/transfer.h"
#include "hardware/profile.h"

// MoE dispatch and combine as flows, from who sends how many tokens to whom.
namespace hourglass::hardware {

// Which experts tokens use, to draw a traffic matrix from. Experts lie in order on the ranks, `experts` / `ranks` on
// each.
struct MoeRouting {
  std::int64_t ranks = 0, ranks_per_node = 8;
  std::int64_t tokens = 4096;                   // a rank
  std::int64_t top_k = 8, nodes_per_token = 4;  // 0: any number of nodes
  std::vector<double> loads;                    // relative popularity, by expert
};

std::vector<double> uniform_loads(std::int64_t experts);
// exp(sigma N(0, 1)): the skew seen in expert loads.
std::vector<double> log_normal_loads(std::int64_t experts, double sigma, std::uint64_t seed);

struct MoeTokens {
  std::int64_t ranks = 0, ranks_per_node = 0, nodes = 0;
  std::vector<double> to_node;     // [source rank][node]: tokens with an expert there, own node included
  std::vector<double> to_rank;     // [source rank][rank]: tokens with an expert there, own rank included
  std::vector<double> selections;  // [source rank][rank]: (token, expert) pairs
};

// Throws Error: ranks that do not divide the experts, or nodes the ranks; fewer experts than top_k; negative loads.
MoeTokens draw_tokens(const MoeRouting& routing, std::uint64_t seed);

// `experts_of[rank][token]` lists the experts of each token: a routing that was recorded. Throws Error if it names an
// expert that does not exist.
MoeTokens count_tokens(const std::vector<std::vector<std::vector<std::int64_t>>>& experts_of, std::int64_t experts,
                       std::int64_t ranks_per_node);

// normal: one InfiniBand copy a (token, node), forwarded over NVLink, both at once
// low_latency_rdma: one message a selection, all of them over RDMA, also inside a node
// low_latency: the same with NVLink inside a node
enum class MoeKernel : std::uint8_t { normal, low_latency_rdma, low_latency };
enum class MoeStep : std::uint8_t { dispatch, combine };

// What the kernels reach, as a profile says it. None depends on how many ranks take part.
struct MoeParameters {
  TierEfficiency normal;
  double inside_startup_s = 0.0, between_startup_s = 0.0;  // of groups inside one node, and over several
  double dispatch_sm_bandwidth = 0.0,
         combine_sm_bandwidth = 0.0;  // bytes/s that an SM forwards between nodes; 0: no limit
  TierEfficiency low_latency;
  double low_latency_startup_s = 0.0, low_latency_rdma_startup_s = 0.0;  // the second besides, over several nodes
  double rdma_only_efficiency = 0.0;
  // Notify, before dispatch and combine over several nodes: once, and for each round of a barrier over the nodes.
  // NVIDIA aiconfigurator, DeepEP in SGLang 0.5.0 on H100, 2 and 4 nodes, at most 64 tokens (so nearly nobody waits for
  // anybody): medians of 32 and 52 us for dispatch, 37 and 54 for combine. Its 8 nodes, on a weak fabric, take 79
  // and 98.
  double notify_startup_s = 13e-6, notify_round_s = 20e-6;
};
MoeParameters moe_parameters(const Profile& profile);

struct MoeShape {
  std::int64_t hidden = 7168;
  std::int64_t sms = 24;     // two a channel
  bool fp8_dispatch = true;  // one float scale for 128 values; combine is BF16
};

// Bytes of one token.
double token_bytes(const MoeShape& shape, MoeKernel kernel, MoeStep step);

struct MoeTime {
  Transfer transfer;
  double logical_bandwidth = 0.0;                        // as DeepEP reports it, bytes/s, mean over ranks
  double rank_nvlink_bytes = 0.0, rank_nic_bytes = 0.0;  // into (dispatch) or out of (combine) a GPU, mean over ranks
  double imbalance = 1.0;                                // received selections of the fullest rank over the mean
  double notify_s = 0.0;  // of the normal kernels: counts exchanged before it starts, not in the time
};

// What uniform routing sends on average: no draw, every rank alike. `routing.loads` gives only the number of experts.
MoeTokens expected_tokens(const MoeRouting& routing);

// `groups` groups of this routing at the same time, one after another on the GPUs: rank r of group g is GPU g ranks +
// r. Throws Error if the topology has fewer GPUs, or nodes of another size.
MoeTime moe_time(const Topology& topology, RoutePolicy policy, const MoeTokens& tokens, const MoeShape& shape,
                 MoeKernel kernel, MoeStep step, const MoeParameters& parameters, std::int64_t groups = 1);

}  // namespace hourglass::hardware
