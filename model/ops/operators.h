#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "model/ops/dtype.h"
#include "model/ops/parallel.h"
#include "model/ops/routing.h"

// The closed set of operators a step is made of: shapes and dtypes, no seconds and no ranks. Each states its facts beside
// its shape, and hardware/price.cpp what it costs; one that is added to the variant does not compile without either.
//
// Conventions of the facts. A multiply and an add are two FLOPs; causal attention counts the half of the score matrix it
// computes; softmax, norms and activations count no FLOPs (they are bound by memory). Bytes are compulsory HBM traffic:
// each operand read once and each result written once, caches and re-reads left out. Buffers of a message are read at
// one end and written at the other. Attention's backward has five matrix products against the forward's two: scores
// again, dP, dV, dQ, dK (FlashAttention-2, arXiv 2307.08691, section 2.3), so 3 qk + 2 v against qk + v.
namespace hourglass::model {

// What time is spent on, as people ask for it.
enum class WorkClass : std::uint8_t {
  gemm,
  grouped_gemm,
  attention,
  memory_bound,  // norms, rotations, activations, casts, permutations, embeddings
  router,
  all_to_all,  // dispatch and combine
  peer_wait,   // at an all-to-all, for the slowest of the group
  collective,  // of tensor and context parallelism
  point_to_point,
  contention,  // longer than alone, because the NIC is shared
  launch,      // the GPU waits for the host to issue kernels
  gradients,   // reduce-scatter
  optimizer,
  parameters  // all-gather
};
inline constexpr std::size_t work_classes = 14;
const char* name_of(WorkClass work);

// What an operator is, needs and sends, whatever GPU runs it.
struct Facts {
  const char* name = "";    // of its kind, as results say it: "gemm", "dispatch", ...
  const char* kernel = "";  // as a profiler would show it
  WorkClass work = WorkClass::memory_bound;
  double flops = 0.0;
  double bytes_read = 0.0, bytes_written = 0.0;
  // Sent by one rank. Dispatch and combine count one copy an expert; how many of these share a wire depends on the
  // placement (routing.h).
  double message_bytes = 0.0;
  std::optional<Group> group = {};  // of communication; computation has none

  bool communication() const { return group.has_value(); }
  double bytes() const { return bytes_read + bytes_written; }
};

inline double product(std::int64_t a, std::int64_t b, std::int64_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}
// One block scale (FP32) for every 128 values of an FP8 tensor.
inline double stored_bytes(double elements, Dtype dtype) {
  return elements * (bytes_of(dtype) + (bytes_of(dtype) <= 1.5 ? 4.0 / 128.0 : 0.0));
}
inline Facts memory_bound(const char* name, const char* kernel, double read, double written) {
  return {name, kernel, WorkClass::memory_bound, 0.0, read, written, 0.0, {}};
}
inline Facts message(const char* name, const char* kernel, WorkClass work, double bytes, Group group) {
  return {name, kernel, work, 0.0, bytes, bytes, bytes, group};
}

// y[m, n] = x[m, k] w[k, n]. `output` fp32 with `accumulate` is a weight gradient added to main gradients.
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  Dtype input = Dtype::bf16;
  Dtype output = Dtype::bf16;
  bool accumulate = false;

  Facts facts() const {
    const double result = product(m, n) * bytes_of(output);
    return {"gemm",
            accumulate ? "wgrad_gemm_kernel" : "gemm_kernel",
            WorkClass::gemm,
            2.0 * product(m, n, k),
            stored_bytes(product(m, k) + product(n, k), input) + (accumulate ? result : 0.0),
            result,
            0.0,
            {}};
  }
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

  Facts facts() const {
    Facts f{"grouped_gemm", accumulate ? "wgrad_gemm_kernel" : "m_grouped_gemm_kernel", WorkClass::grouped_gemm,
            2.0 * product(rows, k_grouped ? m : k, n)};
    if (k_grouped) {
      f.bytes_written = static_cast<double>(groups) * product(m, n) * bytes_of(output);
      f.bytes_read = stored_bytes(product(rows, m) + product(rows, n), input) + (accumulate ? f.bytes_written : 0.0);
    } else {
      f.bytes_written = product(rows, n) * bytes_of(output);
      f.bytes_read = stored_bytes(product(rows, k) + product(groups, n, k), input);
    }
    return f;
  }
};

// softmax(q k^T) v for `batch` sequences. kv_length > q_length under context parallelism.
struct AttentionCore {
  std::int64_t batch = 0, q_length = 0, kv_length = 0, heads = 0, kv_heads = 0, qk_dim = 0, v_dim = 0;
  bool causal = true;
  bool backward = false;
  Dtype dtype = Dtype::bf16;

  Facts facts() const {
    const auto width = static_cast<double>(backward ? 3 * qk_dim + 2 * v_dim : qk_dim + v_dim);
    const double q = product(batch * q_length, heads, qk_dim), o = product(batch * q_length, heads, v_dim);
    const double kv = product(batch * kv_length, kv_heads, qk_dim + v_dim), size = bytes_of(dtype);
    return {"attention",
            backward ? "flash_bwd_kernel" : "flash_fwd_kernel",
            WorkClass::attention,
            2.0 * product(batch * q_length, kv_length, heads) * width * (causal ? 0.5 : 1.0),
            (backward ? q + kv + 2.0 * o : q + kv) * size,
            (backward ? q + kv : o) * size,
            0.0,
            {}};
  }
};

// Memory-bound operators: `rows` x `width` elements.
struct Norm {
  std::int64_t rows = 0, width = 0;
  bool backward = false;

  Facts facts() const {
    const double elements = product(rows, width) * 2.0;
    return memory_bound("norm", "rms_norm_kernel", backward ? 2.0 * elements : elements, elements);
  }
};

// `width`: rotated values plus those copied along.
struct Rotary {
  std::int64_t rows = 0, width = 0;
  bool backward = false;

  Facts facts() const {
    return memory_bound("rotary", "rotary_kernel", product(rows, width) * 2.0, product(rows, width) * 2.0);
  }
};

// SwiGLU: 2 width -> width. `recompute` with `backward`: the kernel writes the forward's output once more.
struct Activation {
  std::int64_t rows = 0, width = 0;
  bool backward = false, recompute = false;
  Dtype output = Dtype::bf16;

  Facts facts() const {
    const double elements = product(rows, width);
    if (!backward) return memory_bound("activation", "swiglu_kernel", elements * 4.0, stored_bytes(elements, output));
    return memory_bound("activation", "swiglu_kernel", elements * 6.0,
                        elements * 4.0 + (recompute ? elements * 2.0 : 0.0));
  }
};

struct Router {
  std::int64_t tokens = 0, hidden = 0;
  Routing routing;
  bool sigmoid = false, backward = false;
  bool gate = true;  // its GEMM is part of it; a measurement may have left it out

  Facts facts() const {
    // Scores in FP32: written, read again for the choice, and the chosen written with their indices.
    const double scores = product(tokens, routing.experts) * 4.0, chosen = product(tokens, routing.top_k) * 12.0;
    const double input = product(tokens, hidden) * 2.0 + product(routing.experts, hidden) * 2.0;
    return {"router",
            "topk_kernel",
            WorkClass::router,
            (backward ? 4.0 : 2.0) * product(tokens, hidden, routing.experts),
            backward ? input + scores + chosen : input + scores,
            backward ? input + scores : scores + chosen,
            0.0,
            {}};
  }
};

// Copies `tokens` arrived tokens to the `rows` rows of their experts, or (`reduce`) sums the rows back per token.
struct Permute {
  std::int64_t tokens = 0, rows = 0, width = 0;
  bool reduce = false;
  Dtype dtype = Dtype::bf16;

  Facts facts() const {
    const double arrived = stored_bytes(product(tokens, width), dtype),
                 copied = stored_bytes(product(rows, width), dtype);
    return reduce ? memory_bound("permute", "permute_kernel", copied, arrived)
                  : memory_bound("permute", "permute_kernel", arrived, copied);
  }
};

// Quantises, or the way back.
struct Cast {
  std::int64_t rows = 0, width = 0;
  Dtype from = Dtype::bf16, to = Dtype::e4m3;
  bool transpose = false;
  std::int64_t copies = 1;  // written; 2: along both dimensions

  Facts facts() const {
    const double elements = product(rows, width);
    return memory_bound("cast", "quantize_kernel", stored_bytes(elements, from),
                        stored_bytes(elements, to) * static_cast<double>(copies));
  }
};

// Forward gathers BF16 rows; backward adds BF16 gradients to FP32 ones.
struct Embedding {
  std::int64_t tokens = 0, vocabulary = 0, hidden = 0;
  bool backward = false;

  Facts facts() const {
    const double elements = product(tokens, hidden);
    return memory_bound("embedding", "embedding_kernel", elements * (backward ? 6.0 : 2.0),
                        elements * (backward ? 4.0 : 2.0));
  }
};

// Softmax cross-entropy on `vocabulary` local logits.
struct Loss {
  std::int64_t tokens = 0, vocabulary = 0;
  bool backward = false;

  Facts facts() const {
    const double logits = product(tokens, vocabulary) * 2.0;
    return memory_bound("loss", "cross_entropy_kernel", logits, backward ? logits : product(tokens, 4));
  }
};

struct Residual {
  std::int64_t rows = 0, width = 0;

  Facts facts() const {
    return memory_bound("residual", "elementwise_kernel", product(rows, width) * 4.0, product(rows, width) * 2.0);
  }
};

// AdamW. Bytes a parameter.
struct Optimizer {
  double parameters = 0.0;
  double read = 0.0, written = 0.0;

  Facts facts() const {
    return {"optimizer",
            "multi_tensor_apply_kernel",
            WorkClass::optimizer,
            0.0,
            parameters * read,
            parameters * written,
            0.0,
            {}};
  }
};

// A kernel bound by memory of which only the bytes are known: one that was measured.
enum class MemoryKernel : std::uint8_t { norm, rotary, activation, cast, permute, elementwise };
const char* name_of(MemoryKernel kernel);
struct MemoryBound {
  MemoryKernel kernel = MemoryKernel::elementwise;
  double bytes = 0.0;  // read and written together

  Facts facts() const { return memory_bound(name_of(kernel), "elementwise_kernel", bytes, 0.0); }
};

// MoE all-to-all. Every rank of `expert_parallel` sends `tokens` tokens of `token_bytes` each to the GPUs of their
// experts; combine is the way back. Throughput kernels send a token once to each node (training, prefill), low-latency
// kernels once for each expert (decode), over NVLink where they can or over the NIC alone (DeepEP).
enum class MoeKernel : std::uint8_t { throughput, low_latency, low_latency_rdma };
struct Dispatch {
  std::int64_t tokens = 0;
  Routing routing;
  std::int64_t expert_parallel = 1;
  double token_bytes = 0.0;
  MoeKernel kernel = MoeKernel::throughput;

  Facts facts() const {
    return message("dispatch", "deep_ep::internode::dispatch", WorkClass::all_to_all,
                   product(tokens, routing.top_k) * token_bytes, Group::expert);
  }
};
struct Combine {
  std::int64_t tokens = 0;
  Routing routing;
  std::int64_t expert_parallel = 1;
  double token_bytes = 0.0;
  MoeKernel kernel = MoeKernel::throughput;

  Facts facts() const {
    return message("combine", "deep_ep::internode::combine", WorkClass::all_to_all,
                   product(tokens, routing.top_k) * token_bytes, Group::expert);
  }
};

// Collectives. `bytes`: the full (gathered, or reduced) buffer a rank holds before or after; nccl-tests' "size". All but
// the own part is sent.
inline double all_but_own(double bytes, std::int64_t ranks) {
  return ranks > 1 ? bytes * static_cast<double>(ranks - 1) / static_cast<double>(ranks) : 0.0;
}
struct AllReduce {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;

  Facts facts() const {
    return message("all_reduce", "ncclDevKernel_AllReduce", WorkClass::collective, 2.0 * all_but_own(bytes, ranks),
                   group);
  }
};
struct AllGather {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;

  Facts facts() const {
    return message("all_gather", "ncclDevKernel_AllGather", WorkClass::collective, all_but_own(bytes, ranks), group);
  }
};
struct ReduceScatter {
  double bytes = 0.0;
  Group group = Group::tensor;
  std::int64_t ranks = 1;

  Facts facts() const {
    return message("reduce_scatter", "ncclDevKernel_ReduceScatter", WorkClass::collective, all_but_own(bytes, ranks),
                   group);
  }
};
struct AllToAll {
  double bytes = 0.0;
  Group group = Group::context;
  std::int64_t ranks = 1;

  Facts facts() const {
    return message("all_to_all", "ncclDevKernel_SendRecv", WorkClass::collective, all_but_own(bytes, ranks), group);
  }
};
struct SendRecv {
  double bytes = 0.0;
  Group group = Group::pipeline;

  Facts facts() const {
    return message("send_recv", "ncclDevKernel_SendRecv", WorkClass::point_to_point, bytes, group);
  }
};

using OperatorKind = std::variant<Gemm, GroupedGemm, AttentionCore, Norm, Rotary, Activation, Router, Permute, Cast,
                                  Embedding, Loss, Residual, Optimizer, MemoryBound, Dispatch, Combine, AllReduce,
                                  AllGather, ReduceScatter, AllToAll, SendRecv>;

struct Operator {
  const char* name = "";  // "q_b_proj", "experts_gate_up": the weight or step, the same in every pass
  OperatorKind kind;
};

inline Facts facts(const OperatorKind& op) {
  return std::visit([](const auto& kind) { return kind.facts(); }, op);
}
inline double flops(const OperatorKind& op) { return facts(op).flops; }

}  // namespace hourglass::model
