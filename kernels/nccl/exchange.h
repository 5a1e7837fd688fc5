#pragma once

#include <cstdint>
#include <vector>

#include "kernels/math/tensor.h"
#include "kernels/nccl/world.h"

// The MoE all-to-all in two hops (DeepSeek-V3 report, section 3.2.2; DeepEP's internode kernels): a token crosses
// InfiniBand once per node that has one of its experts, to the GPU there with the sender's own number, and from that
// one NVLink once per GPU that has one. With the router limited to 4 nodes a token so costs at most 4 crossings (3 to
// other nodes), whatever top_k is. combine walks back: GPU to forwarder, sum there, forwarder to sender, sum.
//
// The plan is what each rank packs, sends, receives and adds, as rows; it needs everybody's choices, which a
// benchmark makes from one seed. In training the counts would travel first.
namespace hourglass::kernels::nccl {

// Rows packed in the order of `rows`, cut by peer; `received` rows arrive, ordered by peer.
struct Hop {
  std::vector<int> peers;
  std::vector<Index> sent, received;  // rows, by peer
  std::vector<std::int32_t> rows;     // of what came before: tokens, or the rows that the first hop brought
  Index sent_rows() const { return static_cast<Index>(rows.size()); }
  Index received_rows() const;
};

// Row i of the result is the sum of rows `sources[offsets[i]]` ... `sources[offsets[i + 1] - 1]`.
struct Sums {
  std::vector<std::int32_t> offsets, sources;
};

struct Exchange {
  Hop across, within;            // InfiniBand, NVLink
  Sums at_forwarder, at_sender;  // of combine
  Index remote_rows = 0;         // that this rank sends to other nodes
};

// experts[rank][token x top_k + i]; expert e is on rank e / (experts_in_all / ranks). Throws base::Error if experts do
// not divide among the ranks.
struct Choices {
  Index top_k = 0, experts = 0;
  std::vector<std::vector<std::int32_t>> of_rank;
};
Exchange plan_exchange(const World& world, const Choices& choices);

// Sigmoid-less router: random scores, the best groups, then the best experts in them, as routing does. Same for all.
Choices random_choices(int ranks, Index tokens, Index experts, Index top_k, Index groups, Index groups_per_token,
                       std::uint64_t seed);

}  // namespace hourglass::kernels::nccl
