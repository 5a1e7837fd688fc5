// Shapes of the linear layers on one GPU. Column-parallel layers split `out` over the tensor group, row-parallel ones
// split `in` (Shoeybi et al. 2019); between them the sequence is split instead (Korthikanti et al. 2022). MLA's
// down-projections have no heads to split: every GPU holds them and projects its shard of the sequence, and the small
// latents are gathered. With context parallelism each GPU keeps its share of the queries and gathers what keys and
// values are made from: the latent for MLA, k and v otherwise (all-gather variant, Llama 3 report arXiv 2407.21783,
// section 3.3.3).
#include "model/linear.h"

#include <algorithm>
#include <cmath>

namespace hourglass::model {

namespace {

constexpr std::int64_t share(std::int64_t whole, std::int64_t parts) {
  return std::max<std::int64_t>(1, whole / parts);
}

}  // namespace

Shapes::Shapes(const LayerContext& c)
    : tensor(c.parallel.tensor),
      context(c.parallel.context),
      expert(c.parallel.expert),
      expert_tensor(c.parallel.expert_tensor),
      sequences(c.micro_batch.sequences),
      q_length(share(c.micro_batch.sequence_length, context)),
      kv_length(c.micro_batch.sequence_length),
      tokens(sequences * q_length),
      shard(share(tokens, tensor)),
      kv_rows(sequences * kv_length),
      hidden(c.model->hidden),
      heads(share(c.model->attention.heads, tensor)),
      kv_heads(share(c.model->attention.kv_heads, tensor)),
      precision(c.precision),
      fp8_block(c.precision == Precision::fp8_block),
      stored(fp8_block ? Dtype::e4m3 : Dtype::bf16) {}

AttentionLinears attention_linears(const LayerContext& context) {
  const Shapes s(context);
  const AttentionSpec& a = context.model->attention;
  AttentionLinears linears;
  linears.output = {"o_proj", s.tokens, s.heads * a.v_head_dim, s.hidden};
  if (a.kind == AttentionKind::gqa) {
    linears.input = {{"qkv_proj", s.tokens, s.hidden, (s.heads + 2 * s.kv_heads) * a.qk_head_dim}};
    return linears;
  }
  if (a.q_lora_rank > 0) {
    linears.input.push_back({"q_a_proj", s.shard, s.hidden, a.q_lora_rank});
    linears.up.push_back({"q_b_proj", s.tokens, a.q_lora_rank, s.heads * a.qk_head_dim});
  } else {
    linears.input.push_back({"q_proj", s.tokens, s.hidden, s.heads * a.qk_head_dim});
  }
  linears.input.push_back({"kv_a_proj", s.shard, s.hidden, a.kv_lora_rank + a.qk_rope_head_dim});
  linears.up.push_back({"kv_b_proj", s.kv_rows, a.kv_lora_rank, s.heads * (a.qk_nope_head_dim + a.v_head_dim)});
  return linears;
}

bool defers_weight(const LayerContext& context, const Linear& linear) {
  const Shapes s(context);
  return linear.rows <= s.tokens || linear.routed;
}

MlpLinears dense_linears(const LayerContext& context) {
  const Shapes s(context);
  const std::int64_t width = share(context.model->dense_intermediate, s.tensor);
  return {{"gate_up_proj", s.tokens, s.hidden, 2 * width}, {"down_proj", s.tokens, width, s.hidden}};
}

MlpLinears shared_linears(const LayerContext& context) {
  const Shapes s(context);
  if (context.model->moe.shared_intermediate == 0) return {};
  const std::int64_t width = share(context.model->moe.shared_intermediate, s.tensor);
  return {{"shared_gate_up", s.tokens, s.hidden, 2 * width}, {"shared_down", s.tokens, width, s.hidden}};
}

MlpLinears expert_linears(const LayerContext& context) {
  const Shapes s(context);
  const MoeSpec& moe = context.model->moe;
  const std::int64_t local = share(moe.routed_experts, s.expert),
                     width = share(moe.expert_intermediate, s.expert_tensor);
  const std::int64_t rows = s.shard * moe.experts_per_token * s.expert_tensor;
  return {{"experts_gate_up", rows, s.hidden, 2 * width, local, true},
          {"experts_down", rows, width, s.hidden, local, true}};
}

std::int64_t arriving_tokens(const LayerContext& context) {
  const Shapes s(context);
  const MoeSpec& moe = context.model->moe;
  const Routing routing = {moe.routed_experts, moe.experts_per_token, moe.groups, moe.groups_per_token};
  return std::llround(static_cast<double>(s.shard) * expected_parts(routing, s.expert));
}

Linear mtp_linear(const LayerContext& context) {
  const Shapes s(context);
  return {"mtp_proj", s.tokens, 2 * s.hidden, share(s.hidden, s.tensor)};
}

Linear head_linear(const LayerContext& context) {
  const Shapes s(context);
  return {"lm_head", s.tokens, s.hidden, share(context.model->vocabulary, s.tensor)};
}

void add_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width, Dtype from, Dtype to,
              bool transpose) {
  list.push_back({name, Cast{rows, width, from, to, transpose}});
}

void add_double_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width) {
  list.push_back({name, Cast{rows, width, Dtype::bf16, Dtype::e4m3, true, 2}});
}

Dtype operand_dtype(Precision precision) { return precision == Precision::bf16 ? Dtype::bf16 : Dtype::e4m3; }

void add_forward(Operators& list, const Linear& l, Precision precision, bool cast_input) {
  if (precision == Precision::fp8_block && cast_input) add_cast(list, l.name, l.rows, l.in, Dtype::bf16, Dtype::e4m3);
  if (precision == Precision::fp8_tensor) add_double_cast(list, l.name, l.rows, l.in);
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, 0, l.out, l.in, false, input, Dtype::bf16, false}});
  else
    list.push_back({l.name, Gemm{l.rows, l.out, l.in, input, Dtype::bf16, false}});
}

void add_backward_input(Operators& list, const Linear& l, Precision precision) {
  const bool block = precision == Precision::fp8_block;
  if (precision == Precision::fp8_tensor) add_double_cast(list, l.name, l.rows, l.out);
  if (block) {
    add_cast(list, l.name, l.rows, l.out, Dtype::bf16, Dtype::e4m3);
    add_cast(list, l.name, l.groups * l.out, l.in, Dtype::e4m3, Dtype::e4m3, true);
  }
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, 0, l.in, l.out, false, input, Dtype::bf16, false}});
  else
    list.push_back({l.name, Gemm{l.rows, l.in, l.out, input, Dtype::bf16, false}});
  // The operands of the weight gradient, quantised again along tokens while the BF16 gradient is still there.
  if (block) {
    add_cast(list, l.name, l.rows, l.in, Dtype::e4m3, Dtype::e4m3, true);
    add_cast(list, l.name, l.rows, l.out, Dtype::bf16, Dtype::e4m3, true);
  }
}

void add_backward_weight(Operators& list, const Linear& l, Precision precision) {
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, l.out, l.in, 0, true, input, Dtype::fp32, true}});
  else
    list.push_back({l.name, Gemm{l.out, l.in, l.rows, input, Dtype::fp32, true}});
}

}  // namespace hourglass::model
