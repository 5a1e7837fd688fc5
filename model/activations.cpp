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
// made from the gathered latents one rank's chunk at a time, as Ring Attention consumes them (arXiv 2310.01889). What a
// mixer and an MLP keep, each says itself (halves.h).
//
// Limits: the routed load is balanced; buffers smaller than these are not counted.
#include <algorithm>

#include "model/counts.h"
#include "model/halves.h"

namespace hourglass::model {

ActivationBytes layer_activations(const LayerContext& context, const LayerSpec& layer) {
  const Shapes s(context);
  const double kept = mixer_weight_operands(layer.mixer, context) + mlp_weight_operands(layer.mlp, context);
  if (context.recompute.full) return {bf16_bytes(s.shard, s.hidden), kept};
  return {mixer_bytes(layer.mixer, context) + mlp_bytes(layer.mlp, context), kept};
}

double layer_workspace(const LayerContext& context, const LayerSpec& layer) {
  return std::max(mixer_workspace(layer.mixer, context), mlp_workspace(layer.mlp, context));
}

// The logits' gradient overwrites the logits (a fused softmax cross-entropy), in BF16.
ActivationBytes head_activations(const LayerContext& context) {
  const Shapes s(context);
  const Linear head = head_linear(context);
  const double logits = bf16_bytes(s.tokens, head.out), input = bf16_bytes(s.shard, s.hidden);
  const double normed = context.recompute.norm || context.recompute.full ? 0.0 : input;
  return {input + normed + logits, input + logits};
}

ActivationBytes embedding_activations(const LayerContext& context) {
  const Shapes s(context);
  const double ids = static_cast<double>(s.tokens) * 8.0;
  return {ids, ids + bf16_bytes(s.shard, s.hidden)};
}

ActivationBytes mtp_projection_activations(const LayerContext& context) {
  const Shapes s(context);
  const double inputs = 2.0 * product(s.shard, s.hidden);
  const double normed = context.recompute.norm || context.recompute.full ? 0.0 : inputs * stored_size(s);
  return {inputs * bf16_size + normed, weight_operands(mtp_linear(context), s)};
}

}  // namespace hourglass::model
