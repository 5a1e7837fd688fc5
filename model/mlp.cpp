// The MLP half of a layer. Dense: gate and up projection (one GEMM), SwiGLU, down projection. Mixture of experts:
// tokens are dispatched to the GPUs of their experts, copied to a row an expert, run through grouped GEMMs, summed back
// to one row a token and combined; the shared expert runs beside. Routing weights are applied inside SwiGLU, as
// DeepSeek's kernels do, so the experts' outputs need not be kept.
//
// FP8 (DeepSeek-V3 report, section 3.3.3): dispatch sends E4M3 with a scale for each 128 values, combine sends BF16;
// SwiGLU writes its output quantised; its inputs are cached in E4M3 and its output is recomputed.
#include "model/linear.h"

namespace hourglass::model {

namespace {

double token_bytes(const LayerContext& context, bool fp8) {
  const auto hidden = static_cast<double>(context.model->hidden);
  return fp8 ? hidden * (1.0 + 4.0 / 128.0) : hidden * 2.0;
}

Routing routing_of(const MoeSpec& moe) {
  return {moe.routed_experts, moe.experts_per_token, moe.groups, moe.groups_per_token};
}

// Expert parallelism of one still moves tokens to rows, but not between GPUs.
void add_dispatch(Operators& list, const LayerContext& context, const char* name) {
  const Shapes s(context);
  if (s.expert == 1) return;
  const bool fp8 = s.fp8_block && context.fp8_dispatch;
  list.push_back({name, Dispatch{s.shard, routing_of(context.model->moe), s.expert, token_bytes(context, fp8)}});
}

void add_combine(Operators& list, const LayerContext& context, const char* name) {
  const Shapes s(context);
  if (s.expert == 1) return;
  list.push_back({name, Combine{s.shard, routing_of(context.model->moe), s.expert, token_bytes(context, false)}});
}

// Over the GPUs that split one expert's width: gather the tokens before, reduce the partial sums after.
template <class Collective>
void add_expert_tensor(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  if (s.expert_tensor == 1) return;
  const double bytes = static_cast<double>(arriving_tokens(context) * s.expert_tensor) * token_bytes(context, false);
  list.push_back({"expert_tensor_parallel", Collective{bytes, Group::expert_tensor, s.expert_tensor}});
}

template <class Collective>
void add_tensor(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  if (s.tensor == 1) return;
  const double bytes = static_cast<double>(s.tokens) * token_bytes(context, false);
  list.push_back({"tensor_parallel", Collective{bytes, Group::tensor, s.tensor}});
}

void add_activation(Operators& list, const Linear& down, const Shapes& s) {
  list.push_back({"swiglu", Activation{down.rows, down.in, false, false, s.stored}});
  if (s.fp8_block) add_cast(list, "swiglu_input", down.rows, 2 * down.in, Dtype::bf16, Dtype::e4m3);
}

void add_activation_backward(Operators& list, const Linear& down, const Shapes& s, bool recompute) {
  if (s.fp8_block) add_cast(list, "swiglu_input", down.rows, 2 * down.in, Dtype::e4m3, Dtype::bf16);
  list.push_back({"swiglu", Activation{down.rows, down.in, true, recompute, Dtype::bf16}});
}

void add_plain_forward(Operators& list, const LayerContext& context, const MlpLinears& linears) {
  const Shapes s(context);
  add_tensor<AllGather>(list, context);
  add_forward(list, linears.gate_up, s.precision, false);  // quantised where the router's layer was
  add_activation(list, linears.down, s);
  add_forward(list, linears.down, s.precision, false);
  add_tensor<ReduceScatter>(list, context);
}

void add_plain_backward(Operators& list, const LayerContext& context, const MlpLinears& linears, bool recompute) {
  const Shapes s(context);
  add_tensor<AllGather>(list, context);
  add_backward_input(list, linears.down, s.precision);
  add_activation_backward(list, linears.down, s, recompute);
  add_backward_input(list, linears.gate_up, s.precision);
  add_tensor<ReduceScatter>(list, context);
}

void add_experts_forward(Operators& list, const LayerContext& context) {
  const Shapes s(context);
  const MlpLinears experts = expert_linears(context);
  const std::int64_t arrived = arriving_tokens(context) * s.expert_tensor;
  add_expert_tensor<AllGather>(list, context);
  list.push_back({"permute", Permute{arrived, experts.gate_up.rows, s.hidden, false, s.stored}});
  add_forward(list, experts.gate_up, s.precision, false);
  add_activation(list, experts.down, s);
  add_forward(list, experts.down, s.precision, false);
  list.push_back({"unpermute", Permute{arrived, experts.down.rows, s.hidden, true, Dtype::bf16}});
  add_expert_tensor<ReduceScatter>(list, context);
}

// The gradients arrive quantised; the hidden-wide operands of the weight gradients are quantised along tokens in the
// weight pass, the others here.
void add_experts_backward(Operators& list, const LayerContext& context, bool recompute) {
  const Shapes s(context);
  const MlpLinears experts = expert_linears(context);
  const std::int64_t arrived = arriving_tokens(context) * s.expert_tensor, rows = experts.down.rows;
  const Dtype input = operand_dtype(s.precision);
  const auto transpose_weight = [&](const Linear& l) {
    if (s.fp8_block) add_cast(list, l.name, l.groups * l.out, l.in, Dtype::e4m3, Dtype::e4m3, true);
  };
  add_expert_tensor<AllGather>(list, context);
  list.push_back({"permute", Permute{arrived, rows, s.hidden, false, s.stored}});
  transpose_weight(experts.down);
  if (s.precision == Precision::fp8_tensor) add_double_cast(list, "experts_down", rows, experts.down.out);
  list.push_back({"experts_down", GroupedGemm{experts.down.groups, rows, 0, experts.down.in, experts.down.out, false,
                                              input, Dtype::bf16, false}});
  add_activation_backward(list, experts.down, s, recompute);
  if (s.fp8_block) {
    add_cast(list, "experts_down", rows, experts.down.in, Dtype::bf16, Dtype::e4m3, true);
    add_cast(list, "experts_gate_up", rows, experts.gate_up.out, Dtype::bf16, Dtype::e4m3);
    add_cast(list, "experts_gate_up", rows, experts.gate_up.out, Dtype::bf16, Dtype::e4m3, true);
  }
  transpose_weight(experts.gate_up);
  if (s.precision == Precision::fp8_tensor) add_double_cast(list, "experts_gate_up", rows, experts.gate_up.out);
  list.push_back({"experts_gate_up", GroupedGemm{experts.gate_up.groups, rows, 0, experts.gate_up.in,
                                                 experts.gate_up.out, false, input, Dtype::bf16, false}});
  list.push_back({"unpermute", Permute{arrived, rows, s.hidden, true, Dtype::bf16}});
  add_expert_tensor<ReduceScatter>(list, context);
}

}  // namespace

void add_mlp_forward(LayerPass& pass, const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  if (kind == LayerKind::dense) {
    add_plain_forward(pass[mlp], context, dense_linears(context));
    pass[mlp].push_back({"mlp_residual", Residual{s.shard, s.hidden}});
    return;
  }
  const MlpLinears shared = shared_linears(context);
  add_dispatch(pass[dispatch], context, "dispatch");
  if (shared.down.rows > 0) add_plain_forward(pass[mlp], context, shared);
  add_experts_forward(pass[mlp], context);
  add_combine(pass[combine], context, "combine");
  pass[combine].push_back({"mlp_residual", Residual{s.shard, s.hidden}});
}

void add_mlp_backward_input(LayerPass& pass, const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  const Recompute recompute = context.recompute.full ? Recompute{} : context.recompute;
  const auto recompute_norm = [&] {
    if (!recompute.norm) return;
    pass[mlp].push_back({"mlp_norm", Norm{s.shard, s.hidden, false}});
    if (s.fp8_block) add_cast(pass[mlp], "mlp_input", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
  };
  if (kind == LayerKind::dense) {
    recompute_norm();
    add_plain_backward(pass[mlp], context, dense_linears(context), recompute.swiglu);
    return;
  }
  const MlpLinears shared = shared_linears(context);
  if (s.fp8_block && context.fp8_dispatch)
    add_cast(pass[combine], "gradient", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
  add_dispatch(pass[combine], context, "combine");
  recompute_norm();
  if (shared.down.rows > 0) add_plain_backward(pass[mlp], context, shared, recompute.swiglu);
  add_experts_backward(pass[mlp], context, recompute.swiglu || recompute.moe_act);
  add_combine(pass[dispatch], context, "dispatch");
}

void add_mlp_backward_weight(LayerPass& pass, const LayerContext& context, LayerKind kind) {
  const Shapes s(context);
  // Sequence parallelism keeps a shard of the input; routed experts need no more than that.
  if (kind == LayerKind::dense || shared_linears(context).down.rows > 0) add_tensor<AllGather>(pass[mlp], context);
  if (kind == LayerKind::dense) {
    const MlpLinears dense = dense_linears(context);
    add_backward_weight(pass[mlp], dense.down, s.precision);
    add_backward_weight(pass[mlp], dense.gate_up, s.precision);
    return;
  }
  const MlpLinears shared = shared_linears(context), experts = expert_linears(context);
  if (shared.down.rows > 0) add_backward_weight(pass[mlp], shared.down, s.precision);
  if (s.fp8_block) add_cast(pass[mlp], "experts_down", experts.down.rows, s.hidden, Dtype::e4m3, Dtype::e4m3, true);
  add_backward_weight(pass[mlp], experts.down, s.precision);
  if (s.fp8_block)
    add_cast(pass[mlp], "experts_gate_up", experts.gate_up.rows, s.hidden, Dtype::e4m3, Dtype::e4m3, true);
  add_backward_weight(pass[mlp], experts.gate_up, s.precision);
  if (shared.down.rows > 0) add_backward_weight(pass[mlp], shared.gate_up, s.precision);
}

}  // namespace hourglass::model
