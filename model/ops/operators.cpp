// FLOPs and bytes of every operator. Conventions: a multiply and an add are two FLOPs; causal attention counts the half
// of the score matrix it computes; softmax, norms and activations count no FLOPs (they are bound by memory). Bytes are
// compulsory HBM traffic: each operand read once and each result written once, caches and re-reads left out.
// Attention's backward has five matrix products against the forward's two: scores again, dP, dV, dQ, dK
// (FlashAttention-2, arXiv 2307.08691, section 2.3), so 3 qk + 2 v against qk + v.
#include "model/ops/operators.h"

#include <concepts>

namespace hourglass::model {

namespace {

template <class Kind>
concept Message = std::same_as<Kind, Dispatch> || std::same_as<Kind, Combine> || std::same_as<Kind, AllReduce> ||
    std::same_as<Kind, AllGather> || std::same_as<Kind, ReduceScatter> || std::same_as<Kind, SendRecv>;

double product(std::int64_t a, std::int64_t b, std::int64_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

// One block scale (FP32) for every 128 values of an FP8 tensor.
double stored_bytes(double elements, Dtype dtype) {
  return elements * (bytes_of(dtype) + (bytes_of(dtype) <= 1.5 ? 4.0 / 128.0 : 0.0));
}

struct Traffic {
  double read = 0.0, written = 0.0;
};

struct TrafficOf {
  Traffic operator()(const Gemm& g) const {
    const double output = product(g.m, g.n) * bytes_of(g.output);
    return {stored_bytes(product(g.m, g.k) + product(g.n, g.k), g.input) + (g.accumulate ? output : 0.0), output};
  }
  Traffic operator()(const GroupedGemm& g) const {
    const double widths = product(g.m, g.n), groups = static_cast<double>(g.groups);
    if (g.k_grouped) {
      const double output = groups * widths * bytes_of(g.output);
      return {stored_bytes(product(g.rows, g.m) + product(g.rows, g.n), g.input) + (g.accumulate ? output : 0.0),
              output};
    }
    return {stored_bytes(product(g.rows, g.k) + product(g.groups, g.n, g.k), g.input),
            product(g.rows, g.n) * bytes_of(g.output)};
  }
  Traffic operator()(const AttentionCore& a) const {
    const double q = product(a.batch * a.q_length, a.heads, a.qk_dim),
                 o = product(a.batch * a.q_length, a.heads, a.v_dim);
    const double kv = product(a.batch * a.kv_length, a.kv_heads, a.qk_dim + a.v_dim);
    const double size = bytes_of(a.dtype);
    if (a.backward) return {(q + kv + 2.0 * o) * size, (q + kv) * size};
    return {(q + kv) * size, o * size};
  }
  Traffic operator()(const Norm& n) const {
    const double elements = product(n.rows, n.width) * 2.0;
    return n.backward ? Traffic{2.0 * elements, elements} : Traffic{elements, elements};
  }
  Traffic operator()(const Rotary& r) const { return {product(r.rows, r.width) * 2.0, product(r.rows, r.width) * 2.0}; }
  Traffic operator()(const Activation& a) const {
    const double width = product(a.rows, a.width);
    if (!a.backward) return {width * 4.0, stored_bytes(width, a.output)};
    return {width * 6.0, width * 4.0 + (a.recompute ? width * 2.0 : 0.0)};
  }
  Traffic operator()(const Router& r) const {
    // Scores in FP32: written, read again for the choice, and the chosen written with their indices.
    const double scores = product(r.tokens, r.routing.experts) * 4.0;
    const double chosen = product(r.tokens, r.routing.top_k) * 12.0;
    const double input = product(r.tokens, r.hidden) * 2.0 + product(r.routing.experts, r.hidden) * 2.0;
    return r.backward ? Traffic{input + scores + chosen, input + scores} : Traffic{input + scores, scores + chosen};
  }
  Traffic operator()(const Permute& p) const {
    const double tokens = stored_bytes(product(p.tokens, p.width), p.dtype),
                 rows = stored_bytes(product(p.rows, p.width), p.dtype);
    return p.reduce ? Traffic{rows, tokens} : Traffic{tokens, rows};
  }
  Traffic operator()(const Cast& c) const {
    const double elements = product(c.rows, c.width);
    return {stored_bytes(elements, c.from), stored_bytes(elements, c.to) * static_cast<double>(c.copies)};
  }
  Traffic operator()(const Embedding& e) const {
    const double rows = product(e.tokens, e.hidden);
    // Forward gathers BF16 rows; backward adds BF16 gradients to FP32 ones.
    return e.backward ? Traffic{rows * 6.0, rows * 4.0} : Traffic{rows * 2.0, rows * 2.0};
  }
  Traffic operator()(const Loss& l) const {
    const double logits = product(l.tokens, l.vocabulary) * 2.0;
    return l.backward ? Traffic{logits, logits} : Traffic{logits, product(l.tokens, 4)};
  }
  Traffic operator()(const Residual& r) const {
    return {product(r.rows, r.width) * 4.0, product(r.rows, r.width) * 2.0};
  }
  Traffic operator()(const Optimizer& o) const { return {o.parameters * o.bytes_read, o.parameters * o.bytes_written}; }
  // Buffers of a message are read at one end and written at the other.
  template <Message Kind>
  Traffic operator()(const Kind& message) const {
    const double bytes = message_bytes(OperatorKind{message});
    return {bytes, bytes};
  }
};

struct FlopsOf {
  double operator()(const Gemm& g) const { return 2.0 * product(g.m, g.n, g.k); }
  double operator()(const GroupedGemm& g) const { return 2.0 * product(g.rows, g.k_grouped ? g.m : g.k, g.n); }
  double operator()(const AttentionCore& a) const {
    const auto width = static_cast<double>(a.backward ? 3 * a.qk_dim + 2 * a.v_dim : a.qk_dim + a.v_dim);
    return 2.0 * product(a.batch * a.q_length, a.kv_length, a.heads) * width * (a.causal ? 0.5 : 1.0);
  }
  double operator()(const Router& r) const {
    return (r.backward ? 4.0 : 2.0) * product(r.tokens, r.hidden, r.routing.experts);
  }
  template <class Other>
  double operator()(const Other&) const {
    return 0.0;
  }
};

struct MessageBytesOf {
  static double ring(double bytes, std::int64_t ranks) {
    return ranks > 1 ? bytes * static_cast<double>(ranks - 1) / static_cast<double>(ranks) : 0.0;
  }
  double operator()(const Dispatch& d) const { return product(d.tokens, d.routing.top_k) * d.token_bytes; }
  double operator()(const Combine& c) const { return product(c.tokens, c.routing.top_k) * c.token_bytes; }
  double operator()(const AllReduce& c) const { return 2.0 * ring(c.bytes, c.ranks); }
  double operator()(const AllGather& c) const { return ring(c.bytes, c.ranks); }
  double operator()(const ReduceScatter& c) const { return ring(c.bytes, c.ranks); }
  double operator()(const SendRecv& s) const { return s.bytes; }
  template <class Compute>
  double operator()(const Compute&) const {
    return 0.0;
  }
};

struct ClassOf {
  const char* operator()(const Gemm&) const { return "gemm"; }
  const char* operator()(const GroupedGemm&) const { return "grouped_gemm"; }
  const char* operator()(const AttentionCore&) const { return "attention"; }
  const char* operator()(const Norm&) const { return "norm"; }
  const char* operator()(const Rotary&) const { return "rotary"; }
  const char* operator()(const Activation&) const { return "activation"; }
  const char* operator()(const Router&) const { return "router"; }
  const char* operator()(const Permute&) const { return "permute"; }
  const char* operator()(const Cast&) const { return "cast"; }
  const char* operator()(const Embedding&) const { return "embedding"; }
  const char* operator()(const Loss&) const { return "loss"; }
  const char* operator()(const Residual&) const { return "residual"; }
  const char* operator()(const Optimizer&) const { return "optimizer"; }
  const char* operator()(const Dispatch&) const { return "dispatch"; }
  const char* operator()(const Combine&) const { return "combine"; }
  const char* operator()(const AllReduce&) const { return "all_reduce"; }
  const char* operator()(const AllGather&) const { return "all_gather"; }
  const char* operator()(const ReduceScatter&) const { return "reduce_scatter"; }
  const char* operator()(const SendRecv&) const { return "send_recv"; }
};

}  // namespace

const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::e4m3:
      return "e4m3";
    case Dtype::e5m2:
      return "e5m2";
    case Dtype::e5m6:
      return "e5m6";
    case Dtype::bf16:
      return "bf16";
    case Dtype::fp32:
      return "fp32";
  }
  return "";
}

double flops(const OperatorKind& op) { return std::visit(FlopsOf{}, op); }
double bytes_read(const OperatorKind& op) { return std::visit(TrafficOf{}, op).read; }
double bytes_written(const OperatorKind& op) { return std::visit(TrafficOf{}, op).written; }
double message_bytes(const OperatorKind& op) { return std::visit(MessageBytesOf{}, op); }
bool is_communication(const OperatorKind& op) {
  return std::visit([]<class Kind>(const Kind&) { return Message<Kind>; }, op);
}
const char* class_of(const OperatorKind& op) { return std::visit(ClassOf{}, op); }

}  // namespace hourglass::model
