#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "model/ops/routing.h"

// The closed set of operators a training step is made of: shapes and dtypes, no seconds and no ranks. Adding a kind to
// the variant does not compile until FLOPs, bytes (operators.cpp) and price (sim/training/price.cpp) are stated for it.
namespace hourglass::model {

using model::expected_parts;
using model::Routing;

// e5m6: DeepSeek-V3's 12-bit format for the cached attention output (report, section 3.3.3).
enum class Dtype : std::uint8_t { e4m3, e5m2, e5m6, bf16, fp32 };
constexpr double bytes_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::e4m3:
    case Dtype::e5m2:
      return 1.0;
    case Dtype::e5m6:
      return 1.5;
    case Dtype::bf16:
      return 2.0;
    case Dtype::fp32:
      return 4.0;
  }
  return 0.0;
}
const char* name_of(Dtype dtype);

// y[m, n] = x[m, k] w[k, n]. `output` fp32 with `accumulate` is a weight gradient added to main gradients.
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  Dtype input = Dtype::bf16;
  Dtype output = Dtype::bf16;
  bool accumulate = false;
};
// `groups` independent GEMMs; rows is the total over groups of the ragged dimension (tokens), assumed balanced:
// m-grouped (forward, input gradient): [rows/groups, k] x [k, n]; k-grouped (weight gradient): [m, rows/groups] x
// [rows/groups, n], where `k_grouped` and k is unused, m the other width.
struct GroupedGemm {
  std::int64_t groups = 0, rows = 0, m = 0, n = 0, k = 0;
  bool k_grouped = false;
  Dtype input = Dtype::bf16;
  Dtype output = Dtype::bf16;
  bool accumulate = false;
};
// softmax(q k^T) v for `batch` sequences. kv_length > q_length under context parallelism.
struct AttentionCore {
  std::int64_t batch = 0, q_length = 0, kv_length = 0, heads = 0, kv_heads = 0, qk_dim = 0, v_dim = 0;
  bool causal = true;
  bool backward = false;
  Dtype dtype = Dtype::bf16;
};
// Memory-bound operators: `rows` x `width` elements.
struct Norm {
  std::int64_t rows = 0, width = 0;
  bool backward = false;
};
struct Rotary {
  std::int64_t rows = 0, width = 0;
  bool backward = false;
};  // width: rotated values plus those copied along
// SwiGLU: 2 width -> width. `recompute` with `backward`: the kernel writes the forward's output once more.
struct Activation {
  std::int64_t rows = 0, width = 0;
  bool backward = false, recompute = false;
  Dtype output = Dtype::bf16;
};
struct Router {
  std::int64_t tokens = 0, hidden = 0;
  Routing routing;
  bool sigmoid = false, backward = false;
};
// Copies `tokens` arrived tokens to the `rows` rows of their experts, or (`reduce`) sums the rows back per token.
struct Permute {
  std::int64_t tokens = 0, rows = 0, width = 0;
  bool reduce = false;
  Dtype dtype = Dtype::bf16;
};
struct Cast {
  std::int64_t rows = 0, width = 0;
  Dtype from = Dtype::bf16, to = Dtype::e4m3;
  bool transpose = false;
  std::int64_t copies = 1;  // written; 2: along both dimensions
};                          // quantize
struct Embedding {
  std::int64_t tokens = 0, vocabulary = 0, hidden = 0;
  bool backward = false;
};
struct Loss {
  std::int64_t tokens = 0, vocabulary = 0;
  bool backward = false;
};  // softmax cross-entropy on `vocabulary` local logits
struct Residual {
  std::int64_t rows = 0, width = 0;
};
struct Optimizer {
  double parameters = 0.0;
  double bytes_read = 0.0, bytes_written = 0.0;
};  // AdamW; bytes a parameter

// MoE all-to-all. Every rank of `expert_parallel` sends `tokens` tokens of `token_bytes` each to the GPUs of their
// experts; combine is the way back.
struct Dispatch {
  std::int64_t tokens = 0;
  Routing routing;
  std::int64_t expert_parallel = 1;
  double token_bytes = 0.0;
};
struct Combine {
  std::int64_t tokens = 0;
  Routing routing;
  std::int64_t expert_parallel = 1;
  double token_bytes = 0.0;
};

// Which parallel group a collective runs over; sim maps it to ranks and tiers.
enum class Group : std::uint8_t { tensor, context, expert, expert_tensor, data, expert_data, pipeline };
// `bytes`: the full (gathered, or reduced) buffer a rank holds before or after; nccl-tests' "size".
struct AllReduce {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;
};
struct AllGather {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;
};
struct ReduceScatter {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;
};
struct SendRecv {
  double bytes = 0.0;
  Group group = Group::pipeline;
};

using OperatorKind =
    std::variant<Gemm, GroupedGemm, AttentionCore, Norm, Rotary, Activation, Router, Permute, Cast, Embedding, Loss,
                 Residual, Optimizer, Dispatch, Combine, AllReduce, AllGather, ReduceScatter, SendRecv>;

struct Operator {
  const char* name = "";  // "q_b_proj", "experts_gate_up": the weight or step, the same in every pass
  OperatorKind kind;
};

double flops(const OperatorKind& op);       // multiply and add count 2; causal attention counts the half it computes
double bytes_read(const OperatorKind& op);  // from HBM, each operand once
double bytes_written(const OperatorKind& op);
// Sent by one rank, 0 for compute. Dispatch and combine count one copy an expert; how many of these share a wire
// depends on the placement (routing.h).
double message_bytes(const OperatorKind& op);
bool is_communication(const OperatorKind& op);
const char* class_of(const OperatorKind& op);  // "gemm", "attention", "dispatch", ...

}  // namespace hourglass::model
