// The lists below follow the calls of attention_block.cpp, mlp.cpp and layer.cpp one by one. Copies between layouts
// (heads joined and split) count as copies of their bytes. Experts get equally many rows on the list; the layer routes
// random tokens by random weights, so that some have more: the work is the same.
#include "kernels/bench/bench_layer.h"

#include <fmt/format.h>

#include <memory>

#include "kernels/bench/bench_cpu_cases.h"
#include "kernels/math/layer.h"

namespace hourglass::kernels {

namespace {

constexpr Index hidden = 1792, q_rank = 384, kv_rank = 128, heads = 8, nope = 128, rope = 64, value = 128;
constexpr Index dense = 4608, expert = 512, experts = 16, top_k = 4;
const RouterShape routing = {experts, top_k, 4, 2};

// The operators of one pass. Norms are in all three; what has no weights is left out of W, and what has no gradient of
// its own, a residual addition, runs in F and B.
class Operators {
 public:
  Operators(Index tokens, Pass pass) : tokens_(tokens), pass_(pass) {}

  void gemm(const char* name, Index n, Index k) { add("gemm", {{"m", tokens_}, {"n", n}, {"k", k}}, name); }
  void norm(Index width) { add("rms_norm", {{"rows", tokens_}, {"width", width}}, "norm"); }
  void rotary(Index count, Index step) {
    if (!weights()) add("rotary", {{"rows", tokens_}, {"heads", count}, {"step", step}, {"width", rope}}, "rope");
  }
  void residual(int count = 1) {
    for (int i = 0; i < count && !weights(); ++i)
      always("residual", {{"rows", tokens_}, {"width", hidden}}, "residual");
  }
  void copy(Index width) {
    if (!weights()) always("copy", {{"bytes", tokens_ * width * 4}}, "heads");
  }
  void attention() {
    if (weights()) return;
    add("attention",
        {{"batch", 1},
         {"q_length", tokens_},
         {"kv_length", tokens_},
         {"heads", heads},
         {"kv_heads", heads},
         {"qk_dim", nope + rope},
         {"v_dim", value},
         {"causal", 1}},
        "mla");
  }
  void swiglu(Index rows, Index width) {
    if (!weights()) add("swiglu", {{"rows", rows}, {"width", width}}, "swiglu");
  }
  void mlp(const char* up, const char* down, Index width) {
    gemm(up, 2 * width, hidden);
    swiglu(tokens_, width);
    gemm(down, hidden, width);
  }
  void moe() {
    const Index rows = tokens_ * top_k, each = rows / experts;
    gemm("router_gate", experts, hidden);
    if (!weights()) {
      add("router",
          {{"tokens", tokens_}, {"experts", experts}, {"top_k", top_k}, {"groups", 4}, {"groups_per_token", 2}},
          "router");
      add("permute", {{"tokens", tokens_}, {"experts", experts}, {"top_k", top_k}, {"width", hidden}}, "permute");
      add("unpermute", {{"tokens", tokens_}, {"experts", experts}, {"top_k", top_k}, {"width", hidden}}, "unpermute");
    }
    add("grouped_gemm", {{"groups", experts}, {"m", each}, {"n", 2 * expert}, {"k", hidden}}, "experts_gate_up");
    swiglu(rows, expert);
    add("grouped_gemm", {{"groups", experts}, {"m", each}, {"n", hidden}, {"k", expert}}, "experts_down");
    mlp("shared_gate_up", "shared_down", expert);
  }
  std::vector<BenchCase> cases;

 private:
  bool weights() const { return pass_ == Pass::backward_weight; }
  void add(const char* kernel, std::map<std::string, std::int64_t> shape, const char* name) {
    cases.push_back({kernel, pass_, "fp32", "", std::move(shape), name});
  }
  void always(const char* kernel, std::map<std::string, std::int64_t> shape, const char* name) {
    cases.push_back({kernel, Pass::forward, "fp32", "", std::move(shape), name});
  }

  Index tokens_;
  Pass pass_;
};

Layer<float> make_layer(const LayerShape& shape) {
  const Mla<float> mla({shape.tokens, hidden, heads, nope, rope, value, q_rank, kv_rank});
  if (!shape.experts) return {hidden, mla, Mlp<float>({hidden, dense})};
  return {hidden, mla, Moe<float>({hidden, expert, expert, routing})};
}

// One pass of a layer whose earlier passes have run.
class PreparedPass : public PreparedCase {
 public:
  explicit PreparedPass(std::function<void()> body) : body_(std::move(body)) {}
  std::string check() override { return ""; }  // of the layer: tests/kernels/math/test_layers.cpp
  RunTime run() override { return timed(body_); }

 private:
  std::function<void()> body_;
};

}  // namespace

std::string describe(const LayerShape& shape) {
  return fmt::format("{} layer, {} tokens", shape.experts ? "MoE" : "dense", shape.tokens);
}

std::vector<BenchCase> operators_of(const LayerShape& shape, Pass pass) {
  Operators ops(shape.tokens, pass);
  ops.norm(hidden);
  ops.gemm("q_a_proj", q_rank, hidden);
  ops.norm(q_rank);
  ops.gemm("q_b_proj", heads * (nope + rope), q_rank);
  ops.rotary(heads, nope + rope);
  ops.gemm("kv_a_proj", kv_rank, hidden);
  ops.norm(kv_rank);
  ops.gemm("kv_b_proj", heads * (nope + value), kv_rank);
  ops.gemm("k_rope", rope, hidden);
  ops.rotary(1, rope);
  ops.copy(heads * (nope + rope + value));
  ops.attention();
  ops.gemm("o_proj", hidden, heads * value);
  ops.norm(hidden);
  if (shape.experts)
    ops.moe();
  else
    ops.mlp("mlp_gate_up", "mlp_down", dense);
  // Two residuals; backward also joins the gradients of x: two in MLA, and with experts two more (one forward).
  const int joins = pass == Pass::forward ? (shape.experts ? 1 : 0) : (shape.experts ? 4 : 2);
  ops.residual(2 + joins);
  return ops.cases;
}

std::vector<LayerPass> measure_layer(Backend& backend, const LayerShape& shape, const StoppingRule& rule,
                                     std::uint64_t seed, const std::function<bool()>& interrupted) {
  base::Random random(seed);
  const Layer<float> layer = make_layer(shape);
  const Layer<float>::Weights weights = layer.random(random);
  Layer<float>::Weights gradients = layer.zeros();
  Layer<float>::Saved saved;
  saved.x = random_normal<float>(shape.tokens, hidden, 1.0, random);
  saved.dy = random_normal<float>(shape.tokens, hidden, 1.0, random);
  Tensor<float> y, dx;
  const std::pair<Pass, std::function<void()>> passes[] = {
      {Pass::forward, [&] { layer.forward(weights, saved, y); }},
      {Pass::backward_input, [&] { layer.input_gradient(weights, saved, dx); }},
      {Pass::backward_weight, [&] { layer.weight_gradient(saved, gradients); }}};
  std::vector<LayerPass> out;
  for (const auto& [pass, body] : passes) {
    PreparedPass prepared(body);
    LayerPass each;
    each.of = shape, each.pass = pass;
    each.operators = operators_of(shape, pass);
    measure_prepared(backend, prepared, rule, interrupted, each.measured);
    out.push_back(std::move(each));
  }
  return out;
}

}  // namespace hourglass::kernels
