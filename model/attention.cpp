// The attention half of a layer: norm, projections, attention core, output projection, residual, and the norm and
// router that precede the MLP. The order follows the kernels of DeepSeek's published DualPipe trace
// (deepseek-ai/profile-data). First the mixers, one after the other, with all that is their own; then what they share.
//
// FP8 details of that implementation (DeepSeek-V3 report, section 3.3): norms, router and attention core stay in BF16;
// the attention output is cached for the backward pass in E5M6; the input of the router's layer is quantised once, for
// the dispatch and for the shared expert.
//
// On several GPUs: heads are split over the tensor group. MLA's down-projections have none to split: every GPU holds
// them and projects its shard of the sequence, and the small latents are gathered. With context parallelism each GPU
// keeps its share of the queries and gathers what keys and values are made from: the latent for MLA, k and v otherwise
// (all-gather variant, Llama 3 report arXiv 2407.21783, section 3.3.3).
//
// A mixer states
//   projections               its linear layers
//   core                      what softmax(q k^T) v works on
//   gathers_hidden            whether its input projections need the whole sequence
//   add_core_inputs           what runs between them and the core, and the way back: add_core_inputs_backward
//   restore_core_inputs       what the core's backward pass needs and was not kept
//   weights, cached_elements  parameters, and what a later token needs of this one
//   core_input_bytes          kept between the projections and the core
//   core_workspace            elements of q, k and v beside their gradients
#include <vector>

#include "model/halves.h"

namespace hourglass::model {

namespace {

struct Projections {
  std::vector<Linear> input;  // from the hidden state
  std::vector<Linear> up;     // from latents to heads
  Linear output;
};

// Whether the weight gradient waits for the weight pass. The projection of gathered latents does not: under context
// parallelism its operands are as long as the whole sequence, too large to keep.
bool defers_weight(const Shapes& s, const Linear& linear) { return linear.rows <= s.tokens; }

// Multi-head latent attention.

using Mla = MultiHeadLatentAttention;

Projections projections(const Mla& a, const Shapes& s) {
  const std::int64_t heads = share(a.heads, s.tensor);
  Projections linears;
  linears.output = {"o_proj", s.tokens, heads * a.v_head_dim, s.hidden};
  if (a.q_lora_rank > 0) {
    linears.input.push_back({"q_a_proj", s.shard, s.hidden, a.q_lora_rank});
    linears.up.push_back({"q_b_proj", s.tokens, a.q_lora_rank, heads * a.qk_head_dim()});
  } else {
    linears.input.push_back({"q_proj", s.tokens, s.hidden, heads * a.qk_head_dim()});
  }
  linears.input.push_back({"kv_a_proj", s.shard, s.hidden, a.kv_lora_rank + a.qk_rope_head_dim});
  linears.up.push_back({"kv_b_proj", s.kv_rows, a.kv_lora_rank, heads * (a.qk_nope_head_dim + a.v_head_dim)});
  return linears;
}

AttentionCore core(const Mla& a, const Shapes& s, bool backward) {
  const std::int64_t heads = share(a.heads, s.tensor);
  return {s.sequences,     s.q_length,   s.kv_length, heads,    heads,
          a.qk_head_dim(), a.v_head_dim, true,        backward, Dtype::bf16};
}

// The latents are projected shard by shard and gathered, being smaller; a query that is not compressed has heads.
bool gathers_hidden(const Mla& a) { return a.q_lora_rank == 0; }

// Rotated values and those copied along into q, k and v as the attention core wants them.
void add_rotary(Operators& list, const Mla& a, const Shapes& s, bool backward) {
  const std::int64_t heads = share(a.heads, s.tensor);
  list.push_back({"rotary_q", Rotary{s.tokens, heads * a.qk_rope_head_dim, backward}});
  list.push_back({"assemble_kv", Rotary{s.kv_rows, heads * (a.qk_head_dim() + a.v_head_dim), backward}});
}

void add_latent_norms(Operators& list, const Mla& a, const Shapes& s, bool backward) {
  if (a.q_lora_rank > 0) list.push_back({"q_a_norm", Norm{s.shard, a.q_lora_rank, backward}});
  list.push_back({"kv_a_norm", Norm{s.shard, a.kv_lora_rank, backward}});
}

template <class Collective>
void add_latents(Operators& list, const Mla& a, const Shapes& s) {
  const std::int64_t kv = a.kv_lora_rank + a.qk_rope_head_dim;
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", Collective{bf16_bytes(s.tokens, a.q_lora_rank + kv), Group::tensor, s.tensor}});
  if (s.context > 1)
    list.push_back({"context_parallel", Collective{bf16_bytes(s.kv_rows, kv), Group::context, s.context}});
}

void add_up_projections(Operators& list, const Mla& a, const Shapes& s) {
  for (const Linear& linear : projections(a, s).up) add_forward(list, linear, s.precision);
  add_rotary(list, a, s, false);
}

void add_core_inputs(Operators& list, const Mla& a, const Shapes& s) {
  add_latent_norms(list, a, s, false);
  add_latents<AllGather>(list, a, s);
  add_up_projections(list, a, s);
}

void restore_core_inputs(Operators& list, const Mla& a, const Shapes& s, const Recompute& recompute) {
  if (recompute.norm) add_latent_norms(list, a, s, false);
  add_latents<AllGather>(list, a, s);  // only the shard was kept
  if (recompute.mla_up_proj) add_up_projections(list, a, s);
}

void add_core_inputs_backward(Operators& list, const Mla& a, const Shapes& s) {
  add_rotary(list, a, s, true);
  for (const Linear& linear : projections(a, s).up) {
    add_backward_input(list, linear, s.precision);
    if (!defers_weight(s, linear)) add_backward_weight(list, linear, s.precision);
  }
  add_latents<ReduceScatter>(list, a, s);
  add_latent_norms(list, a, s, true);
}

Weights weights(const Mla& a, std::int64_t hidden) {
  const std::int64_t queries = a.heads * a.qk_head_dim();
  const bool compressed = a.q_lora_rank > 0;
  const std::int64_t latent = a.kv_lora_rank + a.qk_rope_head_dim;
  Weights w;
  w.matrices = compressed ? product(a.q_lora_rank, hidden + queries) : product(hidden, queries);
  w.matrices += product(hidden, latent) + product(a.kv_lora_rank, a.heads * (a.qk_nope_head_dim + a.v_head_dim));
  w.matrices += product(a.heads * a.v_head_dim, hidden);
  w.vectors = static_cast<double>(a.q_lora_rank + a.kv_lora_rank);
  // transformers puts the bias on the compressing projections and the output, and on no direct query projection.
  if (a.bias) w.vectors += static_cast<double>(a.q_lora_rank + latent + hidden);
  return w;
}

// The latent and one rotated key for all heads.
std::int64_t cached_elements(const Mla& a) { return a.kv_lora_rank + a.qk_rope_head_dim; }

double qkv_elements(const Mla& a, const Shapes& s, std::int64_t kv_rows) {
  const std::int64_t heads = share(a.heads, s.tensor);
  return product(s.tokens, heads * a.qk_head_dim()) + product(kv_rows, heads * (a.qk_head_dim() + a.v_head_dim));
}

double core_input_bytes(const Mla& a, const Shapes& s, const Recompute& recompute) {
  const std::int64_t latents = a.q_lora_rank + a.kv_lora_rank;
  double bytes = bf16_bytes(s.shard, latents + a.qk_rope_head_dim);
  if (!recompute.norm) bytes += product(s.shard, latents) * stored_size(s);
  return recompute.mla_up_proj ? bytes : bytes + qkv_elements(a, s, s.kv_rows) * bf16_size;
}

// Under context parallelism k and v are made from the gathered latents one rank's chunk at a time.
double core_workspace(const Mla& a, const Shapes& s) { return qkv_elements(a, s, s.tokens); }

// Grouped-query attention.

using Gqa = GroupedQueryAttention;

Projections projections(const Gqa& a, const Shapes& s) {
  const std::int64_t heads = share(a.heads, s.tensor), kv_heads = share(a.kv_heads, s.tensor);
  return {{{"qkv_proj", s.tokens, s.hidden, (heads + 2 * kv_heads) * a.head_dim}},
          {},
          {"o_proj", s.tokens, heads * a.head_dim, s.hidden}};
}

AttentionCore core(const Gqa& a, const Shapes& s, bool backward) {
  return {s.sequences,
          s.q_length,
          s.kv_length,
          share(a.heads, s.tensor),
          share(a.kv_heads, s.tensor),
          a.head_dim,
          a.head_dim,
          true,
          backward,
          Dtype::bf16};
}

bool gathers_hidden(const Gqa&) { return true; }

void add_rotary(Operators& list, const Gqa& a, const Shapes& s, bool backward) {
  const std::int64_t heads = share(a.heads, s.tensor) + share(a.kv_heads, s.tensor);
  list.push_back({"rotary", Rotary{s.tokens, heads * a.head_dim, backward}});
}

void add_head_norms(Operators& list, const Gqa& a, const Shapes& s, bool backward) {
  if (!a.qk_norm) return;
  const std::int64_t heads = share(a.heads, s.tensor) + share(a.kv_heads, s.tensor);
  list.push_back({"qk_norm", Norm{s.tokens * heads, a.head_dim, backward}});
}

template <class Collective>
void add_keys_and_values(Operators& list, const Gqa& a, const Shapes& s) {
  if (s.context == 1) return;
  const std::int64_t width = 2 * share(a.kv_heads, s.tensor) * a.head_dim;
  list.push_back({"context_parallel", Collective{bf16_bytes(s.kv_rows, width), Group::context, s.context}});
}

void add_core_inputs(Operators& list, const Gqa& a, const Shapes& s) {
  add_head_norms(list, a, s, false);
  add_rotary(list, a, s, false);
  add_keys_and_values<AllGather>(list, a, s);
}

void restore_core_inputs(Operators& list, const Gqa& a, const Shapes& s, const Recompute&) {
  add_keys_and_values<AllGather>(list, a, s);
}

void add_core_inputs_backward(Operators& list, const Gqa& a, const Shapes& s) {
  add_keys_and_values<ReduceScatter>(list, a, s);
  add_rotary(list, a, s, true);
  add_head_norms(list, a, s, true);
}

Weights weights(const Gqa& a, std::int64_t hidden) {
  const std::int64_t qkv = (a.heads + 2 * a.kv_heads) * a.head_dim;
  Weights w;
  w.matrices = product(hidden, qkv + a.heads * a.head_dim);
  if (a.qkv_bias) w.vectors += static_cast<double>(qkv);
  if (a.output_bias) w.vectors += static_cast<double>(hidden);
  if (a.qk_norm) w.vectors += 2.0 * static_cast<double>(a.head_dim);
  return w;
}

std::int64_t cached_elements(const Gqa& a) { return 2 * a.kv_heads * a.head_dim; }

double core_workspace(const Gqa& a, const Shapes& s) {
  return product(s.tokens, share(a.heads, s.tensor) * a.head_dim) +
         product(s.kv_rows, 2 * share(a.kv_heads, s.tensor) * a.head_dim);
}

double core_input_bytes(const Gqa& a, const Shapes& s, const Recompute&) { return core_workspace(a, s) * bf16_size; }

// What mixers share.

// Backward reduces and scatters the gradients of what forward gathers.
template <class Collective, class M>
void add_hidden(Operators& list, const M& mixer, const Shapes& s) {
  if (s.tensor == 1 || !gathers_hidden(mixer)) return;
  list.push_back({"tensor_parallel", Collective{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
}

template <class M>
void add_mixer_forward(Operators& list, const M& mixer, const Shapes& s) {
  const Projections linears = projections(mixer, s);
  list.push_back({"attention_norm", Norm{s.shard, s.hidden, false}});
  add_hidden<AllGather>(list, mixer, s);
  for (const Linear& linear : linears.input) add_forward(list, linear, s.precision);
  add_core_inputs(list, mixer, s);
  list.push_back({"attention", core(mixer, s, false)});
  if (s.fp8_block) add_cast(list, "attention_output", linears.output.rows, linears.output.in, Dtype::bf16, Dtype::e5m6);
  add_forward(list, linears.output, s.precision);
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", ReduceScatter{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
}

template <class M>
void add_mixer_backward_input(Operators& list, const M& mixer, const Shapes& s, const Recompute& recompute) {
  const Projections linears = projections(mixer, s);
  if (s.tensor > 1)
    list.push_back({"tensor_parallel", AllGather{bf16_bytes(s.tokens, s.hidden), Group::tensor, s.tensor}});
  if (s.fp8_block) add_cast(list, "attention_output", linears.output.rows, linears.output.in, Dtype::e5m6, Dtype::bf16);
  add_backward_input(list, linears.output, s.precision);
  restore_core_inputs(list, mixer, s, recompute);
  if (recompute.core_attn) list.push_back({"attention", core(mixer, s, false)});
  list.push_back({"attention", core(mixer, s, true)});
  add_core_inputs_backward(list, mixer, s);
  if (recompute.norm) list.push_back({"attention_norm", Norm{s.shard, s.hidden, false}});
  for (const Linear& linear : linears.input) add_backward_input(list, linear, s.precision);
  add_hidden<ReduceScatter>(list, mixer, s);
  list.push_back({"attention_norm", Norm{s.shard, s.hidden, true}});
}

template <class M>
void add_mixer_backward_weight(Operators& list, const M& mixer, const Shapes& s) {
  const Projections linears = projections(mixer, s);
  add_hidden<AllGather>(list, mixer, s);  // sequence parallelism keeps a shard of a column-parallel input
  add_backward_weight(list, linears.output, s.precision);
  for (const Linear& linear : linears.up) {
    if (defers_weight(s, linear)) add_backward_weight(list, linear, s.precision);
  }
  for (const Linear& linear : linears.input) add_backward_weight(list, linear, s.precision);
}

// In BF16 the output projection's operand is the tensor that attention's backward needs too.
double attention_output_size(const Shapes& s) {
  switch (s.precision) {
    case Precision::bf16:
      return bf16_size;
    case Precision::fp8_block:
      return bytes_of(Dtype::e5m6);
    case Precision::fp8_tensor:
      return bf16_size + 1.0;
  }
  return bf16_size;
}

}  // namespace

void add_attention_forward(Operators& list, const LayerContext& context, const LayerSpec& layer) {
  const Shapes s(context);
  std::visit([&](const auto& mixer) { add_mixer_forward(list, mixer, s); }, layer.mixer);
  list.push_back({"attention_residual", Residual{s.shard, s.hidden}});
  list.push_back({"mlp_norm", Norm{s.shard, s.hidden, false}});
  add_routing_forward(list, context, layer.mlp);
  if (s.fp8_block) add_cast(list, "mlp_input", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
}

void add_attention_backward_input(Operators& list, const LayerContext& context, const LayerSpec& layer) {
  const Shapes s(context);
  const Recompute recompute = context.recompute.full ? Recompute{} : context.recompute;
  add_routing_backward(list, context, layer.mlp);
  list.push_back({"mlp_norm", Norm{s.shard, s.hidden, true}});
  list.push_back({"mlp_residual", Residual{s.shard, s.hidden}});
  std::visit([&](const auto& mixer) { add_mixer_backward_input(list, mixer, s, recompute); }, layer.mixer);
  list.push_back({"attention_residual", Residual{s.shard, s.hidden}});
}

void add_attention_backward_weight(Operators& list, const LayerContext& context, const Mixer& mixer) {
  const Shapes s(context);
  std::visit([&](const auto& each) { add_mixer_backward_weight(list, each, s); }, mixer);
}

Weights mixer_weights(const Mixer& mixer, std::int64_t hidden) {
  Weights w = std::visit([&](const auto& each) { return weights(each, hidden); }, mixer);
  w.vectors += static_cast<double>(hidden);
  return w;
}

// One query against the keys of a sequence, as the attention core counts it.
double mixer_flops(const Mixer& mixer, const ModelSpec& model, std::int64_t sequence_length, bool causal) {
  LayerContext context;
  context.model = &model;
  context.micro_batch = {1, sequence_length};
  Shapes s(context);
  s.q_length = 1;
  AttentionCore one = std::visit([&](const auto& each) { return core(each, s, false); }, mixer);
  one.causal = one.causal && causal;
  return flops(one);
}

std::int64_t cache_width(const Mixer& mixer) {
  return std::visit([](const auto& each) { return cached_elements(each); }, mixer);
}

double mixer_bytes(const Mixer& mixer, const LayerContext& context) {
  const Shapes s(context);
  const Recompute& recompute = context.recompute;
  return std::visit(
      [&](const auto& each) {
        const AttentionCore kernel = core(each, s, false);
        double bytes = bf16_bytes(s.shard, s.hidden);  // the layer's input
        // Sequence parallelism keeps the shard and gathers again.
        if (!recompute.norm) bytes += product(s.shard, s.hidden) * stored_size(s);
        bytes += core_input_bytes(each, s, recompute);
        if (!recompute.core_attn) bytes += product(s.tokens, projections(each, s).output.in) * attention_output_size(s);
        return bytes + product(s.tokens, kernel.heads) * bytes_of(Dtype::fp32);  // log-sum-exp
      },
      mixer);
}

double mixer_weight_operands(const Mixer& mixer, const LayerContext& context) {
  const Shapes s(context);
  const Projections linears = std::visit([&](const auto& each) { return projections(each, s); }, mixer);
  double bytes = weight_operands(linears.output, s);
  for (const Linear& l : linears.input) bytes += weight_operands(l, s);
  for (const Linear& l : linears.up) bytes += defers_weight(s, l) ? weight_operands(l, s) : 0.0;
  return bytes;
}

double mixer_workspace(const Mixer& mixer, const LayerContext& context) {
  const Shapes s(context);
  return 2.0 * std::visit([&](const auto& each) { return core_workspace(each, s); }, mixer) * bf16_size;
}

}  // namespace hourglass::model
