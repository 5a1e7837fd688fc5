// The MLP half of a layer. Dense: gate and up projection (one GEMM), SwiGLU, down projection. Mixture of experts:
// tokens are dispatched to the GPUs of their experts, copied to a row an expert, run through grouped GEMMs, summed back
// to one row a token and combined; the shared expert runs beside. Routing weights are applied inside SwiGLU, as
// DeepSeek's kernels do, so the experts' outputs need not be kept.
//
// FP8 (DeepSeek-V3 report, section 3.3.3): dispatch sends E4M3 with a scale for each 128 values, combine sends BF16;
// SwiGLU writes its output quantised; its inputs are cached in E4M3 and its output is recomputed.
//
// Each kind of MLP states its operators, its parameters and the bytes that it keeps; tools that several of them use
// stand first.
#include <cmath>

#include "model/halves.h"

namespace hourglass::model {

namespace {

struct MlpLinears {
  Linear gate_up, down;
};
enum class ExpertsOfLayer : std::uint8_t { all, used };  // by one token

double token_bytes(const LayerContext& context, bool fp8) {
  const auto hidden = static_cast<double>(context.model->hidden);
  return fp8 ? hidden * (1.0 + 4.0 / 128.0) : hidden * bf16_size;
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

// What the norm and the cast before the MLP gave.
void add_norm_again(Operators& list, const Shapes& s) {
  list.push_back({"mlp_norm", Norm{s.shard, s.hidden, false}});
  if (s.fp8_block) add_cast(list, "mlp_input", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
}

double swiglu_bytes(const Shapes& s, const Linear& down, bool recompute) {
  const double input_size = s.fp8_block ? stored_size(s) : bf16_size;
  return product(down.rows, 2 * down.in) * input_size +
         (recompute ? 0.0 : product(down.rows, down.in) * stored_size(s));
}

double both_operands(const MlpLinears& linears, const Shapes& s) {
  return weight_operands(linears.gate_up, s) + weight_operands(linears.down, s);
}

// SwiGLU's inputs, output and gradients in BF16, and rows on their way back.
double swiglu_workspace(const Shapes& s, const Linear& down) {
  return (product(down.rows, 5 * down.in) + product(down.rows, s.hidden)) * bf16_size;
}

// Dense.

MlpLinears dense_linears(const DenseMlp& dense, const Shapes& s) {
  const std::int64_t width = share(dense.intermediate, s.tensor);
  return {{"gate_up_proj", s.tokens, s.hidden, 2 * width}, {"down_proj", s.tokens, width, s.hidden}};
}

void forward(LayerPass& pass, const LayerContext& context, const DenseMlp& dense) {
  const Shapes s(context);
  add_plain_forward(pass[mlp], context, dense_linears(dense, s));
  pass[mlp].push_back({"mlp_residual", Residual{s.shard, s.hidden}});
}

void backward_input(LayerPass& pass, const LayerContext& context, const DenseMlp& dense, const Recompute& r) {
  const Shapes s(context);
  if (r.norm) add_norm_again(pass[mlp], s);
  add_plain_backward(pass[mlp], context, dense_linears(dense, s), r.swiglu);
}

void backward_weight(Operators& list, const LayerContext& context, const DenseMlp& dense) {
  const Shapes s(context);
  const MlpLinears linears = dense_linears(dense, s);
  add_tensor<AllGather>(list, context);  // sequence parallelism keeps a shard of the input
  add_backward_weight(list, linears.down, s.precision);
  add_backward_weight(list, linears.gate_up, s.precision);
}

void add_router(Operators&, const Shapes&, const DenseMlp&, bool) {}

Weights weights(const DenseMlp& dense, std::int64_t hidden) {
  const std::int64_t width = dense.intermediate;
  return {3.0 * product(hidden, width), dense.bias ? static_cast<double>(2 * width + hidden) : 0.0};
}

double expert_weights(const DenseMlp&, std::int64_t, ExpertsOfLayer) { return 0.0; }

double bytes(const DenseMlp& dense, const Shapes& s, const Recompute& recompute) {
  return swiglu_bytes(s, dense_linears(dense, s).down, recompute.swiglu);
}

double operands(const DenseMlp& dense, const Shapes& s) { return both_operands(dense_linears(dense, s), s); }

double workspace(const DenseMlp& dense, const Shapes& s) { return swiglu_workspace(s, dense_linears(dense, s).down); }

// Mixture of experts.

using Moe = MixtureOfExperts;

Routing routing_of(const Moe& moe) {
  return {moe.routed_experts, moe.experts_per_token, moe.groups, moe.groups_per_token};
}

// Rows 0 if there is no shared expert.
MlpLinears shared_linears(const Moe& moe, const Shapes& s) {
  if (moe.shared_intermediate == 0) return {};
  const std::int64_t width = share(moe.shared_intermediate, s.tensor);
  return {{"shared_gate_up", s.tokens, s.hidden, 2 * width}, {"shared_down", s.tokens, width, s.hidden}};
}

MlpLinears expert_linears(const Moe& moe, const Shapes& s) {
  const std::int64_t local = share(moe.routed_experts, s.expert),
                     width = share(moe.expert_intermediate, s.expert_tensor);
  const std::int64_t rows = s.shard * moe.experts_per_token * s.expert_tensor;
  return {{"experts_gate_up", rows, s.hidden, 2 * width, local, true},
          {"experts_down", rows, width, s.hidden, local, true}};
}

// Tokens that arrive at this GPU's experts, each counted once, before the split over expert_tensor.
std::int64_t arriving_tokens(const Moe& moe, const Shapes& s) {
  return std::llround(static_cast<double>(s.shard) * expected_parts(routing_of(moe), s.expert));
}

// Expert parallelism of one still moves tokens to rows, but not between GPUs.
void add_dispatch(Operators& list, const LayerContext& context, const Moe& moe, const char* name) {
  const Shapes s(context);
  if (s.expert == 1) return;
  const bool fp8 = s.fp8_block && context.fp8_dispatch;
  list.push_back({name, Dispatch{s.shard, routing_of(moe), s.expert, token_bytes(context, fp8)}});
}

void add_combine(Operators& list, const LayerContext& context, const Moe& moe, const char* name) {
  const Shapes s(context);
  if (s.expert == 1) return;
  list.push_back({name, Combine{s.shard, routing_of(moe), s.expert, token_bytes(context, false)}});
}

// Over the GPUs that split one expert's width: gather the tokens before, reduce the partial sums after.
template <class Collective>
void add_expert_tensor(Operators& list, const LayerContext& context, const Moe& moe) {
  const Shapes s(context);
  if (s.expert_tensor == 1) return;
  const double bytes = static_cast<double>(arriving_tokens(moe, s) * s.expert_tensor) * token_bytes(context, false);
  list.push_back({"expert_tensor_parallel", Collective{bytes, Group::expert_tensor, s.expert_tensor}});
}

void add_experts_forward(Operators& list, const LayerContext& context, const Moe& moe) {
  const Shapes s(context);
  const MlpLinears experts = expert_linears(moe, s);
  const std::int64_t arrived = arriving_tokens(moe, s) * s.expert_tensor;
  add_expert_tensor<AllGather>(list, context, moe);
  list.push_back({"permute", Permute{arrived, experts.gate_up.rows, s.hidden, false, s.stored}});
  add_forward(list, experts.gate_up, s.precision, false);
  add_activation(list, experts.down, s);
  add_forward(list, experts.down, s.precision, false);
  list.push_back({"unpermute", Permute{arrived, experts.down.rows, s.hidden, true, Dtype::bf16}});
  add_expert_tensor<ReduceScatter>(list, context, moe);
}

// The gradients arrive quantised; the hidden-wide operands of the weight gradients are quantised along tokens in the
// weight pass, the others here.
void add_experts_backward(Operators& list, const LayerContext& context, const Moe& moe, bool recompute) {
  const Shapes s(context);
  const MlpLinears experts = expert_linears(moe, s);
  const std::int64_t arrived = arriving_tokens(moe, s) * s.expert_tensor, rows = experts.down.rows;
  const Dtype input = operand_dtype(s.precision);
  const auto transpose_weight = [&](const Linear& l) {
    if (s.fp8_block) add_cast(list, l.name, l.groups * l.out, l.in, Dtype::e4m3, Dtype::e4m3, true);
  };
  add_expert_tensor<AllGather>(list, context, moe);
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
  add_expert_tensor<ReduceScatter>(list, context, moe);
}

void forward(LayerPass& pass, const LayerContext& context, const Moe& moe) {
  const Shapes s(context);
  const MlpLinears shared = shared_linears(moe, s);
  add_dispatch(pass[dispatch], context, moe, "dispatch");
  if (shared.down.rows > 0) add_plain_forward(pass[mlp], context, shared);
  add_experts_forward(pass[mlp], context, moe);
  add_combine(pass[combine], context, moe, "combine");
  pass[combine].push_back({"mlp_residual", Residual{s.shard, s.hidden}});
}

void backward_input(LayerPass& pass, const LayerContext& context, const Moe& moe, const Recompute& r) {
  const Shapes s(context);
  const MlpLinears shared = shared_linears(moe, s);
  if (s.fp8_block && context.fp8_dispatch)
    add_cast(pass[combine], "gradient", s.shard, s.hidden, Dtype::bf16, Dtype::e4m3);
  add_dispatch(pass[combine], context, moe, "combine");
  if (r.norm) add_norm_again(pass[mlp], s);
  if (shared.down.rows > 0) add_plain_backward(pass[mlp], context, shared, r.swiglu);
  add_experts_backward(pass[mlp], context, moe, r.swiglu || r.moe_act);
  add_combine(pass[dispatch], context, moe, "dispatch");
}

void backward_weight(Operators& list, const LayerContext& context, const Moe& moe) {
  const Shapes s(context);
  const MlpLinears shared = shared_linears(moe, s), experts = expert_linears(moe, s);
  // Sequence parallelism keeps a shard of the input; routed experts need no more than that.
  if (shared.down.rows > 0) {
    add_tensor<AllGather>(list, context);
    add_backward_weight(list, shared.down, s.precision);
  }
  if (s.fp8_block) add_cast(list, "experts_down", experts.down.rows, s.hidden, Dtype::e4m3, Dtype::e4m3, true);
  add_backward_weight(list, experts.down, s.precision);
  if (s.fp8_block) add_cast(list, "experts_gate_up", experts.gate_up.rows, s.hidden, Dtype::e4m3, Dtype::e4m3, true);
  add_backward_weight(list, experts.gate_up, s.precision);
  if (shared.down.rows > 0) add_backward_weight(list, shared.gate_up, s.precision);
}

void add_router(Operators& list, const Shapes& s, const Moe& moe, bool backward) {
  if (backward) list.push_back({"shared_gradient", Residual{s.shard, s.hidden}});
  list.push_back({"router", Router{s.shard, s.hidden, routing_of(moe), moe.score == RouterScore::sigmoid, backward}});
}

Weights weights(const Moe& moe, std::int64_t hidden) {
  return {
      3.0 * product(hidden, moe.shared_intermediate) + product(hidden, moe.routed_experts + (moe.shared_gate ? 1 : 0)),
      moe.correction_bias ? static_cast<double>(moe.routed_experts) : 0.0};
}

double expert_weights(const Moe& moe, std::int64_t hidden, ExpertsOfLayer which) {
  const std::int64_t count = which == ExpertsOfLayer::all ? moe.routed_experts : moe.experts_per_token;
  return static_cast<double>(count) * 3.0 * product(hidden, moe.expert_intermediate);
}

double bytes(const Moe& moe, const Shapes& s, const Recompute& recompute) {
  const MlpLinears experts = expert_linears(moe, s);
  return product(s.shard, moe.routed_experts) * 4.0 + product(s.shard, moe.experts_per_token) * 12.0 +
         swiglu_bytes(s, shared_linears(moe, s).down, recompute.swiglu) +
         product(experts.gate_up.rows, s.hidden) * stored_size(s) +
         swiglu_bytes(s, experts.down, recompute.swiglu || recompute.moe_act);
}

double operands(const Moe& moe, const Shapes& s) {
  return both_operands(shared_linears(moe, s), s) + both_operands(expert_linears(moe, s), s);
}

double workspace(const Moe& moe, const Shapes& s) { return swiglu_workspace(s, expert_linears(moe, s).down); }

}  // namespace

void add_mlp_forward(LayerPass& pass, const LayerContext& context, const Mlp& kind) {
  std::visit([&](const auto& each) { forward(pass, context, each); }, kind);
}

void add_mlp_backward_input(LayerPass& pass, const LayerContext& context, const Mlp& kind) {
  const Recompute recompute = context.recompute.full ? Recompute{} : context.recompute;
  std::visit([&](const auto& each) { backward_input(pass, context, each, recompute); }, kind);
}

void add_mlp_backward_weight(Operators& list, const LayerContext& context, const Mlp& kind) {
  std::visit([&](const auto& each) { backward_weight(list, context, each); }, kind);
}

void add_routing_forward(Operators& list, const LayerContext& context, const Mlp& kind) {
  std::visit([&](const auto& each) { add_router(list, Shapes(context), each, false); }, kind);
}

void add_routing_backward(Operators& list, const LayerContext& context, const Mlp& kind) {
  std::visit([&](const auto& each) { add_router(list, Shapes(context), each, true); }, kind);
}

Weights mlp_weights(const Mlp& kind, std::int64_t hidden) {
  Weights w = std::visit([&](const auto& each) { return weights(each, hidden); }, kind);
  w.vectors += static_cast<double>(hidden);
  return w;
}

double routed_weights(const Mlp& kind, std::int64_t hidden) {
  return std::visit([&](const auto& each) { return expert_weights(each, hidden, ExpertsOfLayer::all); }, kind);
}

double used_weights(const Mlp& kind, std::int64_t hidden) {
  return std::visit([&](const auto& each) { return expert_weights(each, hidden, ExpertsOfLayer::used); }, kind);
}

double mlp_bytes(const Mlp& kind, const LayerContext& context) {
  const Shapes s(context);
  double kept = bf16_bytes(s.shard, s.hidden);  // input of the norm
  if (!context.recompute.norm) kept += product(s.shard, s.hidden) * stored_size(s);
  return kept + std::visit([&](const auto& each) { return bytes(each, s, context.recompute); }, kind);
}

double mlp_weight_operands(const Mlp& kind, const LayerContext& context) {
  return std::visit([&](const auto& each) { return operands(each, Shapes(context)); }, kind);
}

double mlp_workspace(const Mlp& kind, const LayerContext& context) {
  return std::visit([&](const auto& each) { return workspace(each, Shapes(context)); }, kind);
}

}  // namespace hourglass::model
