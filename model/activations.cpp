// Activations that one GPU keeps from a layer's forward to its backward, per micro-batch. Counted tensor by tensor:
// inputs of norms (BF16), inputs of linear layers (in FP8 with scales, or BF16), q, k and v, the attention output (E5M6
// under FP8) and its log-sum-exp, router scores, and both sides of SwiGLU. A recompute choice removes what it can
// rebuild: `norm` the norms' outputs, `mla_up_proj` q, k and v, `swiglu` SwiGLU's output (`moe_act` the routed experts'
// only), `core_attn` the attention output, `full` everything but the layer's input.
//
// Between B and a deferred W a layer keeps both operands of every weight gradient: inputs and output gradients of its
// linear layers. That can be more than the forward left, since recomputed inputs exist again by then.
//
// Workspace is the largest set of temporaries of one layer's backward: q, k and v with their gradients, or the experts'
// BF16 SwiGLU inputs, output and gradients with the rows on their way back. Under context parallelism MLA's k and v are
// made from the gathered latents one rank's chunk at a time, as Ring Attention consumes them (arXiv 2310.01889).
//
// Limits: the routed load is balanced; buffers smaller than these are not counted.
#include <algorithm>

#include "model/counts.h"
#include "model/linear.h"

namespace hourglass::model {

namespace {

constexpr double bf16 = 2.0, fp32 = 4.0;

double elements(std::int64_t rows, std::int64_t width) {
  return static_cast<double>(rows) * static_cast<double>(width);
}

// A linear layer's input. fp8_tensor keeps the copy along tokens; what other kernels need beside it stays BF16.
double stored_size(const Shapes& s) {
  switch (s.precision) {
    case Precision::bf16:
      return bf16;
    case Precision::fp8_block:
      return 1.0 + 4.0 / 128.0;
    case Precision::fp8_tensor:
      return 1.0;
  }
  return bf16;
}

// The attention output: in BF16 the output projection's operand is the tensor that attention's backward needs too.
double attention_output_size(const Shapes& s) {
  switch (s.precision) {
    case Precision::bf16:
      return bf16;
    case Precision::fp8_block:
      return bytes_of(Dtype::e5m6);
    case Precision::fp8_tensor:
      return bf16 + 1.0;
  }
  return bf16;
}

double weight_operands(const Linear& l, double size) { return elements(l.rows, l.in + l.out) * size; }

double qkv_elements(const LayerContext& context, std::int64_t kv_rows) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  const std::int64_t kv_heads = a.kind == AttentionKind::mla ? s.heads : s.kv_heads;
  return elements(s.tokens, s.heads * a.qk_head_dim) + elements(kv_rows, kv_heads * (a.qk_head_dim + a.v_head_dim));
}

double attention_bytes(const LayerContext& context, const Recompute& recompute) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  const AttentionLinears linears = attention_linears(context);
  const double size = stored_size(s);
  double bytes = elements(s.shard, s.hidden) * bf16;  // the layer's input
  // Sequence parallelism keeps the shard and gathers again.
  if (!recompute.norm) bytes += elements(s.shard, s.hidden) * size;
  if (a.kind == AttentionKind::mla) {
    const std::int64_t latents = a.q_lora_rank + a.kv_lora_rank;
    bytes += elements(s.shard, latents + a.qk_rope_head_dim) * bf16;
    if (!recompute.norm) bytes += elements(s.shard, latents) * size;
  }
  if (!(recompute.mla_up_proj && a.kind == AttentionKind::mla)) bytes += qkv_elements(context, s.kv_rows) * bf16;
  if (!recompute.core_attn) bytes += elements(s.tokens, linears.output.in) * attention_output_size(s);
  return bytes + elements(s.tokens, s.heads) * fp32;  // log-sum-exp
}

double swiglu_bytes(const Shapes& s, const Linear& down, bool recompute) {
  const double input_size = s.fp8_block ? stored_size(s) : bf16;
  return elements(down.rows, 2 * down.in) * input_size +
         (recompute ? 0.0 : elements(down.rows, down.in) * stored_size(s));
}

double mlp_bytes(const LayerContext& context, LayerKind kind, const Recompute& recompute) {
  const Shapes s(context);
  const MoeSpec& moe = context.model->moe;
  const double size = stored_size(s);
  double bytes = elements(s.shard, s.hidden) * bf16;  // input of the norm
  if (!recompute.norm) bytes += elements(s.shard, s.hidden) * size;
  if (kind == LayerKind::dense) return bytes + swiglu_bytes(s, dense_linears(context).down, recompute.swiglu);
  bytes += elements(s.shard, moe.routed_experts) * fp32 + elements(s.shard, moe.experts_per_token) * 12.0;
  const MlpLinears shared = shared_linears(context), experts = expert_linears(context);
  bytes += swiglu_bytes(s, shared.down, recompute.swiglu);
  bytes += elements(experts.gate_up.rows, s.hidden) * size;
  return bytes + swiglu_bytes(s, experts.down, recompute.swiglu || recompute.moe_act);
}

double layer_weight_operands(const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const double size = stored_size(s);
  const AttentionLinears attention_part = attention_linears(context);
  double bytes = weight_operands(attention_part.output, size);
  for (const Linear& l : attention_part.input) bytes += weight_operands(l, size);
  for (const Linear& l : attention_part.up) bytes += defers_weight(context, l) ? weight_operands(l, size) : 0.0;
  const auto add = [&](const MlpLinears& linears) {
    bytes += weight_operands(linears.gate_up, size) + weight_operands(linears.down, size);
  };
  if (kind == LayerKind::dense) {
    add(dense_linears(context));
  } else {
    add(shared_linears(context));
    add(expert_linears(context));
  }
  return bytes;
}

}  // namespace

ActivationBytes layer_activations(const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const double kept = layer_weight_operands(context, kind);
  if (context.recompute.full) return {elements(s.shard, s.hidden) * bf16, kept};
  return {attention_bytes(context, context.recompute) + mlp_bytes(context, kind, context.recompute), kept};
}

double layer_workspace(const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const Linear down = kind == LayerKind::dense ? dense_linears(context).down : expert_linears(context).down;
  const double mlp_elements = elements(down.rows, 5 * down.in) + elements(down.rows, s.hidden);
  const bool mla = context.model->attention.kind == AttentionKind::mla;
  return std::max(2.0 * qkv_elements(context, mla ? s.tokens : s.kv_rows), mlp_elements) * bf16;
}

// The logits' gradient overwrites the logits (a fused softmax cross-entropy), in BF16.
ActivationBytes head_activations(const LayerContext& context) {
  const Shapes s(context);
  const Linear head = head_linear(context);
  const double logits = elements(s.tokens, head.out) * bf16, input = elements(s.shard, s.hidden) * bf16;
  const double normed = context.recompute.norm || context.recompute.full ? 0.0 : input;
  return {input + normed + logits, input + logits};
}

ActivationBytes embedding_activations(const LayerContext& context) {
  const Shapes s(context);
  const double ids = static_cast<double>(s.tokens) * 8.0;
  return {ids, ids + elements(s.shard, s.hidden) * bf16};
}

ActivationBytes mtp_projection_activations(const LayerContext& context) {
  const Shapes s(context);
  const double size = stored_size(s);
  const double inputs = 2.0 * elements(s.shard, s.hidden);
  const double normed = context.recompute.norm || context.recompute.full ? 0.0 : inputs * size;
  return {inputs * bf16 + normed, weight_operands(mtp_linear(context), size)};
}

}  // namespace hourglass::model
