// The attention half of a layer: norm, projections, attention core, output projection, residual, and the norm and
// router that precede the MLP. The order follows the kernels of DeepSeek's published DualPipe trace
// (deepseek-ai/profile-data).
//
// FP8 details of that implementation (DeepSeek-V3 report, section 3.3): norms, router and attention core stay in BF16;
// the attention output is cached for the backward pass in E5M6; the input of the router's layer is quantised once, for
// the dispatch and for the shared expert.
#include "model/linear.h"

namespace hourglass::model {

namespace {

AttentionCore core(const LayerContext& context, bool backward) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  const bool mla = a.kind == AttentionKind::mla;
  return {s.sequences,   s.q_length,   s.kv_length, s.heads,  mla ? s.heads : s.kv_heads,
          a.qk_head_dim, a.v_head_dim, true,        backward, Dtype::bf16};
}

// Rotated values and those copied along into q, k and v as the attention core wants them.
void add_rotary(Operators& list, const LayerContext& context, bool backward) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  if (a.kind == AttentionKind::gqa) {
    list.push_back({"rotary", Rotary{s.tokens, (s.heads + s.kv_heads) * a.qk_head_dim, backward}});
    return;
  }
  list.push_back({"rotary_q", Rotary{s.tokens, s.heads * a.qk_rope_head_dim, backward}});
  list.push_back({"assemble_kv", Rotary{s.kv_rows, s.heads * (a.qk_head_dim + a.v_head_dim), backward}});
}

void add_latent_norms(Operators& list, const LayerContext& context, bool backward) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  if (a.q_lora_rank > 0) list.push_back({"q_a_norm", Norm{s.shard, a.q_lora_rank, backward}});
  list.push_back({"kv_a_norm", Norm{s.shard, a.kv_lora_rank, backward}});
}

void add_head_norms(Operators& list, const LayerContext& context, bool backward) {
  if (!context.model->attention.qk_norm) return;
  const Shapes s(context);
  list.push_back({"qk_norm", Norm{s.tokens * (s.heads + s.kv_heads), context.model->attention.qk_head_dim, backward}});
}

double bf16_bytes(std::int64_t rows, std::int64_t width) {
  return static_cast<double>(rows) * static_cast<double>(width) * 2.0;
}

// A projection with heads needs the whole sequence: GQA's, and MLA's query where it is not compressed. MLA's latents
// are projected shard by shard and gathered, being smaller. Backward reduces and scatters the gradients of the same.
bool gathers_hidden(const AttentionSpec& a) { return a.kind == AttentionKind::gqa || a.q_lora_rank == 0; }

template <class Collective>
void add_hidden(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  if (s.tensor == 1 || !gathers_hidden(context.model->attention)) return;
  list.push_back({"tensor_parallel", Collective{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
}

template <class Collective>
void add_latents(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  const std::int64_t kv = a.kv_lora_rank + a.qk_rope_head_dim;
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", Collective{bf16_bytes(s.tokens, a.q_lora_rank + kv), Group::tensor, s.tensor}});
  if (s.context > 1)
    list.push_back({"context_parallel", Collective{bf16_bytes(s.kv_rows, kv), Group::context, s.context}});
}

template <class Collective>
void add_keys_and_values(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  if (s.context == 1) return;
  const std::int64_t width = 2 * s.kv_heads * context.model->attention.qk_head_dim;
  list.push_back({"context_parallel", Collective{bf16_bytes(s.kv_rows, width), Group::context, s.context}});
}

void add_up_projections(Operators& list, const LayerContext& context) {
  for (const Linear& linear : attention_linears(context).up) add_forward(list, linear, Shapes(context).precision);
  add_rotary(list, context, false);
}

void add_input_projections(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  add_hidden<AllGather>(list, context);
  for (const Linear& linear : attention_linears(context).input) add_forward(list, linear, s.precision);
  if (context.model->attention.kind == AttentionKind::mla) {
    add_latent_norms(list, context, false);
    add_latents<AllGather>(list, context);
    add_up_projections(list, context);
    return;
  }
  add_head_norms(list, context, false);
  add_rotary(list, context, false);
  add_keys_and_values<AllGather>(list, context);
}

void add_input_projections_backward(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  const AttentionLinears linears = attention_linears(context);
  const bool mla = context.model->attention.kind == AttentionKind::mla;
  if (!mla) add_keys_and_values<ReduceScatter>(list, context);
  add_rotary(list, context, true);
  if (!mla) add_head_norms(list, context, true);
  for (const Linear& linear : linears.up) {
    add_backward_input(list, linear, s.precision);
    if (!defers_weight(context, linear)) add_backward_weight(list, linear, s.precision);
  }
  if (mla) {
    add_latents<ReduceScatter>(list, context);
    add_latent_norms(list, context, true);
  }
  const bool recompute_norm = context.recompute.norm && !context.recompute.full;
  if (recompute_norm) list.push_back({"attention_norm", Norm{s.shard, s.hidden, false}});
  for (const Linear& linear : linears.input) add_backward_input(list, linear, s.precision);
  add_hidden<ReduceScatter>(list, context);
}

Router router(const LayerContext& context, bool backward) {
  const Shapes s(context);
  const MoeSpec& moe = context.model->moe;
  return {s.shard,
          s.hidden,
          {moe.routed_experts, moe.experts_per_token, moe.groups, moe.groups_per_token},
          moe.score == RouterScore::sigmoid,
          backward};
}

}  // namespace

void add_attention_forward(Operators& list, const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const Linear output = attention_linears(context).output;
  list.push_back({"attention_norm", Norm{s.shard, s.hidden, false}});
  add_input_projections(list, context);
  list.push_back({"attention", core(context, false)});
  if (s.fp8_block) add_cast(list, "attention_output", output.rows, output.in, Dtype::bf16, Dtype::e5m6);
  add_forward(list, output, s.precision);
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", ReduceScatter{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
  list.push_back({"attention_residual", Residual{s.shard, s.hidden}});
  list.push_back({"mlp_norm", Norm{s.shard, s.hidden, false}});
  if (kind == LayerKind::moe) list.push_back({"router", router(context, false)});
  if (s.fp8_block) add_cast(list, "mlp_input", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
}

void add_attention_backward_input(Operators& list, const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const AttentionLinears linears = attention_linears(context);
  const Recompute recompute = context.recompute.full ? Recompute{} : context.recompute;
  const bool mla = context.model->attention.kind == AttentionKind::mla;
  if (kind == LayerKind::moe) {
    list.push_back({"shared_gradient", Residual{s.shard, s.hidden}});
    list.push_back({"router", router(context, true)});
  }
  list.push_back({"mlp_norm", Norm{s.shard, s.hidden, true}});
  list.push_back({"mlp_residual", Residual{s.shard, s.hidden}});
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", AllGather{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
  if (s.fp8_block) add_cast(list, "attention_output", linears.output.rows, linears.output.in, Dtype::e5m6, Dtype::bf16);
  add_backward_input(list, linears.output, s.precision);
  if (recompute.norm && mla) add_latent_norms(list, context, false);
  if (mla) add_latents<AllGather>(list, context);  // only the shard was kept
  if (recompute.mla_up_proj && mla) add_up_projections(list, context);
  if (!mla) add_keys_and_values<AllGather>(list, context);
  if (recompute.core_attn) list.push_back({"attention", core(context, false)});
  list.push_back({"attention", core(context, true)});
  add_input_projections_backward(list, context);
  list.push_back({"attention_norm", Norm{s.shard, s.hidden, true}});
  list.push_back({"attention_residual", Residual{s.shard, s.hidden}});
}

void add_attention_backward_weight(Operators& list, const LayerContext& context, LayerKind) {
  const Shapes s(context);
  const AttentionLinears linears = attention_linears(context);
  add_hidden<AllGather>(list, context);  // sequence parallelism keeps a shard of a column-parallel input
  add_backward_weight(list, linears.output, s.precision);
  for (const Linear& linear : linears.up) {
    if (defers_weight(context, linear)) add_backward_weight(list, linear, s.precision);
  }
  for (const Linear& linear : linears.input) add_backward_weight(list, linear, s.precision);
}

}  // namespace hourglass::model
