#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "model/counts.h"
#include "model/layers.h"
#include "model/spec.h"

using namespace hourglass;
using model::Dtype;
using model::LayerContext;
using model::LayerSpec;
using model::ModelSpec;
using model::Operator;
using model::Parallelism;
using model::Pass;
using model::Precision;
using model::Recompute;

namespace {

using Operators = std::vector<Operator>;

const std::vector<std::string> shipped = {"deepseek-v2",  "deepseek-v3",    "glm-4.5",         "kimi-k2",
                                          "llama-2-70b",  "llama-3.1-405b", "llama-3.1-70b",   "llama-3.1-8b",
                                          "mixtral-8x7b", "qwen2.5-72b",    "qwen3-235b-a22b", "qwen3-30b-a3b",
                                          "llama-2-7b",   "llama-2-13b",    "qwen3-8b",        "moonlight-16b-a3b"};

ModelSpec read(const std::string& name) {
  return model::read_model(std::string(HOURGLASS_SOURCE_DIR) + "/configs/models/" + name + ".json");
}

LayerContext context_of(const ModelSpec& spec, Precision precision = Precision::bf16) {
  LayerContext context;
  context.model = &spec;
  context.precision = precision;
  return context;
}

// The conditions of DeepSeek's published training trace.
LayerContext trace_context(const ModelSpec& v3) {
  LayerContext context = context_of(v3, Precision::fp8_block);
  context.parallel.expert = 64;
  context.recompute.norm = context.recompute.mla_up_proj = context.recompute.swiglu = true;
  return context;
}

Operators flat(const model::LayerPass& pass) {
  Operators all;
  for (const Operators& part : pass) all.insert(all.end(), part.begin(), part.end());
  return all;
}
Operators layer(const LayerContext& context, const LayerSpec& kind, Pass pass) {
  return flat(model::layer_operators(context, kind, pass));
}

template <class Kind>
std::vector<Kind> all_of(const Operators& list) {
  std::vector<Kind> found;
  for (const Operator& op : list) {
    if (const Kind* kind = std::get_if<Kind>(&op.kind)) found.push_back(*kind);
  }
  return found;
}

bool is_gemm(const Operator& op) {
  return std::holds_alternative<model::Gemm>(op.kind) || std::holds_alternative<model::GroupedGemm>(op.kind);
}

double flops(const Operators& list) {
  double sum = 0.0;
  for (const Operator& op : list) sum += model::flops(op.kind);
  return sum;
}
double gemm_flops(const Operators& list, const std::string& name = "") {
  double sum = 0.0;
  for (const Operator& op : list) sum += is_gemm(op) && (name.empty() || name == op.name) ? model::flops(op.kind) : 0.0;
  return sum;
}
template <class Collective>
double bytes_over(const Operators& list, model::Group group) {
  double sum = 0.0;
  for (const Collective& c : all_of<Collective>(list)) sum += c.group == group ? c.bytes : 0.0;
  return sum;
}

// "q_b_proj 4096x24576x1536", or for the routed experts "experts_down 4: 32768x7168x2048"; weight gradients of experts
// show [m, rows] x [rows, n].
std::vector<std::string> fp8_shapes(const Operators& list) {
  std::vector<std::string> shapes;
  for (const Operator& op : list) {
    if (const auto* g = std::get_if<model::Gemm>(&op.kind); g && g->input == Dtype::e4m3) {
      shapes.push_back(fmt::format("{} {}x{}x{}", op.name, g->m, g->n, g->k));
    }
    if (const auto* g = std::get_if<model::GroupedGemm>(&op.kind); g && g->input == Dtype::e4m3) {
      shapes.push_back(g->k_grouped ? fmt::format("{} {}: {}x{}x{}", op.name, g->groups, g->m, g->n, g->rows)
                                    : fmt::format("{} {}: {}x{}x{}", op.name, g->groups, g->rows, g->n, g->k));
    }
  }
  std::sort(shapes.begin(), shapes.end());
  return shapes;
}

std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::vector<std::string> shown(const Operators& list) {
  std::vector<std::string> texts;
  for (const Operator& op : list) {
    texts.push_back(fmt::format("{} {} {} {} {}", op.name, model::facts(op.kind).name, model::flops(op.kind),
                                model::facts(op.kind).bytes_read, model::facts(op.kind).bytes_written));
  }
  return sorted(texts);
}

// The first kind of layer without experts, and with.
const LayerSpec& dense_of(const ModelSpec& spec) { return spec.kind(model::expert_kind(spec) == 0 ? 1 : 0); }
const LayerSpec& moe_of(const ModelSpec& spec) { return spec.kind(model::expert_kind(spec)); }
bool is_moe(const LayerSpec& kind) { return model::experts_of(kind) != nullptr; }
bool is_latent(const LayerSpec& kind) { return std::holds_alternative<model::MultiHeadLatentAttention>(kind.mixer); }
std::int64_t kv_heads_of(const LayerSpec& kind) {
  const auto* grouped = std::get_if<model::GroupedQueryAttention>(&kind.mixer);
  return grouped != nullptr ? grouped->kv_heads : model::heads_of(kind.mixer);
}

void for_every_layer(const std::function<void(const ModelSpec&, const LayerSpec&)>& visit) {
  for (const std::string& name : shipped) {
    CAPTURE(name);
    const ModelSpec spec = read(name);
    for (const LayerSpec& kind : spec.kinds) visit(spec, kind);
  }
}

std::string message_of(const std::vector<std::string>& recompute) {
  try {
    model::read_recompute(recompute, "plan.json /recompute");
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

constexpr double tokens = 4096.0;

}  // namespace

// The FP8 GEMM table of deepseek-ai/profile-data train.json @4496024 (H800, EP64, 4096 tokens, shapes inferred from the
// kernels' grids), as summarised in dualpipe-train-summary.md. The routed experts' rows there are of an actual run,
// 28416 to 36864; balanced they are 32768.
TEST_CASE("DeepSeek-V3's layer is made of the FP8 GEMMs of the published trace, and of no others") {
  const ModelSpec v3 = read("deepseek-v3");
  const LayerContext context = trace_context(v3);
  CHECK(
      fp8_shapes(layer(context, moe_of(v3), Pass::forward)) ==
      sorted({"q_a_proj 4096x1536x7168", "kv_a_proj 4096x576x7168", "q_b_proj 4096x24576x1536",
              "kv_b_proj 4096x32768x512", "o_proj 4096x7168x16384", "shared_gate_up 4096x4096x7168",
              "shared_down 4096x7168x2048", "experts_gate_up 4: 32768x4096x7168", "experts_down 4: 32768x7168x2048"}));
  CHECK(fp8_shapes(layer(context, moe_of(v3), Pass::backward_input)) ==
        sorted({"shared_down 4096x2048x7168", "experts_down 4: 32768x2048x7168", "experts_gate_up 4: 32768x7168x4096",
                "shared_gate_up 4096x7168x4096", "o_proj 4096x16384x7168", "q_b_proj 4096x24576x1536",
                "kv_b_proj 4096x32768x512",  // recomputed forward
                "q_b_proj 4096x1536x24576", "kv_b_proj 4096x512x32768", "kv_a_proj 4096x7168x576",
                "q_a_proj 4096x7168x1536"}));
  // The trace lists a weight gradient as (tokens, out, in); here it is the product it is, [out, tokens] x [tokens, in].
  const Operators weight = layer(context, moe_of(v3), Pass::backward_weight);
  CHECK(fp8_shapes(weight) ==
        sorted({"shared_down 7168x2048x4096", "shared_gate_up 4096x7168x4096", "o_proj 7168x16384x4096",
                "kv_b_proj 32768x512x4096", "q_b_proj 24576x1536x4096", "kv_a_proj 576x7168x4096",
                "q_a_proj 1536x7168x4096", "experts_down 4: 7168x2048x32768", "experts_gate_up 4: 4096x7168x32768"}));
  for (const model::Gemm& g : all_of<model::Gemm>(weight)) CHECK((g.accumulate && g.output == Dtype::fp32));
  for (const model::GroupedGemm& g : all_of<model::GroupedGemm>(weight))
    CHECK((g.accumulate && g.output == Dtype::fp32));
}

TEST_CASE("DeepSeek-V3's attention core, dispatch and combine are those of the trace") {
  const ModelSpec v3 = read("deepseek-v3");
  const LayerContext context = trace_context(v3);
  const model::LayerPass forward = model::layer_operators(context, moe_of(v3), Pass::forward);
  const model::LayerPass backward = model::layer_operators(context, moe_of(v3), Pass::backward_input);
  const auto core = all_of<model::AttentionCore>(forward[model::attention]);
  REQUIRE(core.size() == 1);
  CHECK(model::flops(core[0]) == doctest::Approx(0.687e12).epsilon(1e-3));  // "inferred: fwd 0.687 TFLOP"
  const auto back = all_of<model::AttentionCore>(backward[model::attention]);
  REQUIRE(back.size() == 1);
  CHECK(model::flops(back[0]) == doctest::Approx(2.6 * 0.687e12).epsilon(1e-3));  // "bwd main 2.6x flops"
  // Forward sends FP8 with scales (7392 bytes) and returns BF16 (14336); backward goes the same way with gradients.
  REQUIRE(all_of<model::Dispatch>(forward[model::dispatch]).size() == 1);
  CHECK(all_of<model::Dispatch>(forward[model::dispatch])[0].token_bytes == 7392.0);
  REQUIRE(all_of<model::Combine>(forward[model::combine]).size() == 1);
  CHECK(all_of<model::Combine>(forward[model::combine])[0].token_bytes == 14336.0);
  REQUIRE(all_of<model::Dispatch>(backward[model::combine]).size() == 1);
  CHECK(all_of<model::Dispatch>(backward[model::combine])[0].token_bytes == 7392.0);
  REQUIRE(all_of<model::Combine>(backward[model::dispatch]).size() == 1);
  CHECK(all_of<model::Combine>(backward[model::dispatch])[0].token_bytes == 14336.0);
}

TEST_CASE("forward GEMMs are two FLOPs for each weight a token meets: by hand for DeepSeek-V3 and Llama") {
  const ModelSpec v3 = read("deepseek-v3"), llama = read("llama-3.1-8b");
  const double latent = 7168.0 * 1536 + 1536.0 * 24576 + 7168.0 * 576 + 512.0 * 32768 + 16384.0 * 7168;
  const double moe = latent + 9.0 * 3 * 7168 * 2048;  // 8 routed experts and a shared one
  const double dense = latent + 3.0 * 7168 * 18432;
  CHECK(gemm_flops(layer(context_of(v3), moe_of(v3), Pass::forward)) == 2.0 * tokens * moe);
  CHECK(gemm_flops(layer(trace_context(v3), moe_of(v3), Pass::forward)) == 2.0 * tokens * moe);
  CHECK(gemm_flops(layer(context_of(v3), dense_of(v3), Pass::forward)) == 2.0 * tokens * dense);
  const double plain = 2.0 * 4096 * 4096 + 2.0 * 4096 * 1024 + 3.0 * 4096 * 14336;
  CHECK(gemm_flops(layer(context_of(llama), dense_of(llama), Pass::forward)) == 2.0 * tokens * plain);
}

TEST_CASE("the operators of all layers and the head do a third of the counted training FLOPs in the forward pass") {
  for (const std::string& name : shipped) {
    CAPTURE(name);
    const ModelSpec spec = read(name);
    const LayerContext context = context_of(spec);
    double sum = flops(model::head_operators(context, Pass::forward));
    for (const int kind : spec.layers) sum += flops(layer(context, spec.kind(kind), Pass::forward));
    CHECK(sum ==
          doctest::Approx(model::training_flops_per_token(spec, 4096, true, false) / 3.0 * tokens).epsilon(1e-12));
  }
}

TEST_CASE("a layer's attention is its mixer's and the rest its MLP's, whichever are put together") {
  const ModelSpec v3 = read("deepseek-v3"), llama = read("llama-3.1-70b");
  const LayerSpec mixed{llama.kinds[0].mixer, moe_of(v3).mlp}, latent_dense{dense_of(v3).mixer, llama.kinds[0].mlp};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    LayerContext context = trace_context(v3);
    context.parallel.tensor = context.parallel.context = 2;
    const auto of = [&](const LayerSpec& kind) { return model::layer_operators(context, kind, pass); };
    const model::LayerPass moe = of(moe_of(v3)), dense = of(dense_of(v3)), grouped = of(mixed),
                           plain = of(latent_dense);
    for (const model::Part part : {model::dispatch, model::mlp, model::combine})
      CHECK(shown(grouped[part]) == shown(moe[part]));
    CHECK(shown(plain[model::attention]) == shown(dense[model::attention]));
    CHECK(shown(plain[model::mlp]) != shown(dense[model::mlp]));
    CHECK(shown(grouped[model::attention]) != shown(moe[model::attention]));
  }
}

TEST_CASE("input and weight gradients have the forward's GEMM FLOPs each, attention 2.5 times or more") {
  for_every_layer([](const ModelSpec& spec, const LayerSpec& kind) {
    for (const Precision precision : {Precision::bf16, Precision::fp8_block}) {
      const LayerContext context = context_of(spec, precision);
      const double forward = gemm_flops(layer(context, kind, Pass::forward));
      CHECK(gemm_flops(layer(context, kind, Pass::backward_input)) == forward);
      CHECK(gemm_flops(layer(context, kind, Pass::backward_weight)) == forward);
    }
  });
  const ModelSpec v3 = read("deepseek-v3");
  const LayerContext context = context_of(v3);
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    CHECK(gemm_flops(model::head_operators(context, pass)) == 2.0 * tokens * 129280 * 7168);
    CHECK(gemm_flops(model::mtp_projection_operators(context, pass)) == 2.0 * tokens * 2 * 7168 * 7168);
  }
}

TEST_CASE("tensor parallelism of t divides every pass's FLOPs by t while t divides the key-value heads") {
  for_every_layer([](const ModelSpec& spec, const LayerSpec& kind) {
    for (const std::int64_t t : {2, 4, 8}) {
      if (kv_heads_of(kind) % t != 0) continue;
      const LayerContext whole = context_of(spec);
      LayerContext split = whole;
      split.parallel.tensor = t;
      for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
        CAPTURE(t);
        CHECK(flops(layer(split, kind, pass)) * static_cast<double>(t) ==
              doctest::Approx(flops(layer(whole, kind, pass))).epsilon(1e-12));
      }
    }
  });
}

TEST_CASE(
    "latent attention under tensor parallelism: heads are split, the latents' projections take a part of the "
    "sequence") {
  const ModelSpec v3 = read("deepseek-v3");
  for (const std::int64_t t : {2, 4, 8}) {
    CAPTURE(t);
    LayerContext context = context_of(v3);
    context.parallel.tensor = t;
    const Operators forward = layer(context, moe_of(v3), Pass::forward);
    for (const Operator& op : forward) {
      const auto* g = std::get_if<model::Gemm>(&op.kind);
      if (!g) continue;
      const std::string name = op.name;
      CAPTURE(name);
      if (name == "q_a_proj") CHECK((g->m == 4096 / t && g->n == 1536 && g->k == 7168));
      if (name == "kv_a_proj") CHECK((g->m == 4096 / t && g->n == 576 && g->k == 7168));
      if (name == "q_b_proj") CHECK((g->m == 4096 && g->n == 24576 / t && g->k == 1536));
      if (name == "kv_b_proj") CHECK((g->m == 4096 && g->n == 32768 / t && g->k == 512));
      if (name == "o_proj") CHECK((g->m == 4096 && g->n == 7168 && g->k == 16384 / t));
    }
    // Gathered: the latents (with the shared expert's input besides); scattered: the outputs of both halves.
    const double hidden = tokens * 7168 * 2, latents = tokens * (1536 + 512 + 64) * 2;
    CHECK(bytes_over<model::AllGather>(forward, model::Group::tensor) == latents + hidden);
    CHECK(bytes_over<model::ReduceScatter>(forward, model::Group::tensor) == 2.0 * hidden);
    const Operators backward = layer(context, moe_of(v3), Pass::backward_input);
    CHECK(bytes_over<model::ReduceScatter>(backward, model::Group::tensor) == latents + hidden);
    CHECK(bytes_over<model::AllGather>(backward, model::Group::tensor) >= 2.0 * hidden);
  }
}

TEST_CASE(
    "a dense layer under tensor parallelism gathers and scatters twice each way, and gathers its two inputs for W") {
  const ModelSpec llama = read("llama-3.1-70b");
  LayerContext context = context_of(llama);
  context.parallel.tensor = 8;
  const double hidden = tokens * 8192 * 2;
  for (const Pass pass : {Pass::forward, Pass::backward_input}) {
    CHECK(bytes_over<model::AllGather>(layer(context, dense_of(llama), pass), model::Group::tensor) == 2.0 * hidden);
    CHECK(bytes_over<model::ReduceScatter>(layer(context, dense_of(llama), pass), model::Group::tensor) ==
          2.0 * hidden);
  }
  CHECK(bytes_over<model::AllGather>(layer(context, dense_of(llama), Pass::backward_weight), model::Group::tensor) ==
        2.0 * hidden);
  CHECK(model::boundary_bytes(context) == hidden / 8.0);
}

TEST_CASE(
    "routed experts need no tensor-parallel collective: without a shared expert the MLP half has none in any pass") {
  for (const std::string name : {"qwen3-235b-a22b", "mixtral-8x7b"}) {
    CAPTURE(name);
    const ModelSpec spec = read(name);
    LayerContext context = context_of(spec);
    context.parallel.tensor = 4;
    context.parallel.expert = 8;
    for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
      const Operators mlp = model::layer_operators(context, moe_of(spec), pass)[model::mlp];
      CAPTURE(static_cast<int>(pass));
      CHECK(bytes_over<model::AllGather>(mlp, model::Group::tensor) == 0.0);
      CHECK(bytes_over<model::ReduceScatter>(mlp, model::Group::tensor) == 0.0);
    }
  }
}

// activations.cpp keeps a shard of the latents, "sequence parallelism keeps the shard and gathers again": so the
// backward pass, which projects them up again or needs them as the operand of a weight gradient, must gather them.
TEST_CASE("latents kept as a shard are gathered again in the backward pass, over tensor and context ranks") {
  const ModelSpec v3 = read("deepseek-v3");
  const auto gathered = [&](const Parallelism& parallel, model::Group group) {
    LayerContext context = trace_context(v3);
    context.parallel = parallel;
    double bytes = 0.0;
    for (const Pass pass : {Pass::backward_input, Pass::backward_weight}) {
      bytes += bytes_over<model::AllGather>(model::layer_operators(context, moe_of(v3), pass)[model::attention], group);
    }
    return bytes;
  };
  Parallelism tensor, context;
  tensor.tensor = 2;
  context.context = 2;
  const double output_gradient = tokens * 7168 * 2;
  CHECK(gathered(tensor, model::Group::tensor) >= output_gradient + tokens * (1536 + 512 + 64) * 2);
  CHECK(gathered(context, model::Group::context) >= tokens * (512 + 64) * 2);
}

TEST_CASE("expert tensor parallelism splits an expert's width, keeps the FLOPs and gathers over its group") {
  const ModelSpec v3 = read("deepseek-v3");
  LayerContext whole = context_of(v3), split = context_of(v3);
  whole.parallel.expert = 64;
  split.parallel.expert = 32;
  split.parallel.expert_tensor = 2;
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    CHECK(gemm_flops(layer(split, moe_of(v3), pass)) == gemm_flops(layer(whole, moe_of(v3), pass)));
    CHECK(bytes_over<model::AllGather>(layer(whole, moe_of(v3), pass), model::Group::expert_tensor) == 0.0);
    if (pass == Pass::backward_weight) continue;
    const double gathered = bytes_over<model::AllGather>(layer(split, moe_of(v3), pass), model::Group::expert_tensor);
    CHECK(gathered > 2.0 * tokens * 7168 * 2);  // more than one copy of each token arrives
    CHECK(gathered == bytes_over<model::ReduceScatter>(layer(split, moe_of(v3), pass), model::Group::expert_tensor));
  }
  const auto experts = all_of<model::GroupedGemm>(layer(split, moe_of(v3), Pass::forward));
  REQUIRE(experts.size() == 2);
  CHECK((experts[0].groups == 8 && experts[0].rows == 65536 && experts[0].n == 2048 && experts[0].k == 7168));
  CHECK((experts[1].groups == 8 && experts[1].rows == 65536 && experts[1].n == 7168 && experts[1].k == 1024));
}

TEST_CASE("context parallelism shortens queries, not keys: attention is shared out and what makes keys is gathered") {
  for (const std::string name : {"deepseek-v3", "llama-3.1-70b"}) {
    CAPTURE(name);
    const ModelSpec spec = read(name);
    const bool latent = model::has_latents(spec);
    LayerContext whole = context_of(spec), split = context_of(spec);
    split.parallel.context = 4;
    const Operators forward = layer(split, dense_of(spec), Pass::forward);
    const auto core = all_of<model::AttentionCore>(forward);
    REQUIRE(core.size() == 1);
    CHECK(core[0].q_length == 1024);
    CHECK(core[0].kv_length == 4096);
    CHECK(model::local_tokens(split) == 1024);
    CHECK(4.0 * model::flops(core[0]) ==
          model::flops(all_of<model::AttentionCore>(layer(whole, dense_of(spec), Pass::forward))[0]));
    const double width = latent ? 512 + 64 : 2.0 * 8 * 128;
    CHECK(bytes_over<model::AllGather>(forward, model::Group::context) == tokens * width * 2);
    CHECK(bytes_over<model::ReduceScatter>(layer(split, dense_of(spec), Pass::backward_input), model::Group::context) ==
          tokens * width * 2);
    // All GEMMs shrink but the projection of the gathered latents.
    const double repeated = gemm_flops(forward, "kv_b_proj");
    CHECK(repeated == gemm_flops(layer(whole, dense_of(spec), Pass::forward), "kv_b_proj"));
    CHECK(gemm_flops(forward) - repeated == (gemm_flops(layer(whole, dense_of(spec), Pass::forward)) - repeated) / 4.0);
    // Its weight gradient does not wait for the weight pass, and is not done twice.
    CHECK(gemm_flops(layer(split, dense_of(spec), Pass::backward_input), "kv_b_proj") == 2.0 * repeated);
    CHECK(gemm_flops(layer(split, dense_of(spec), Pass::backward_weight), "kv_b_proj") == 0.0);
  }
}

TEST_CASE("full recomputation is the plain backward pass and the whole forward again, all-to-all included") {
  for_every_layer([](const ModelSpec& spec, const LayerSpec& kind) {
    LayerContext context = context_of(spec, Precision::fp8_block);
    context.parallel.tensor = 2;
    if (is_moe(kind)) context.parallel.expert = 8;
    Operators expected = layer(context, kind, Pass::forward), plain = layer(context, kind, Pass::backward_input);
    expected.insert(expected.end(), plain.begin(), plain.end());
    context.recompute.full = context.recompute.norm = context.recompute.swiglu = true;  // full covers the others
    CHECK(shown(layer(context, kind, Pass::backward_input)) == shown(expected));
  });
}

TEST_CASE("recomputation adds its operators to the input-gradient pass and changes no other pass") {
  const ModelSpec v3 = read("deepseek-v3");
  const LayerContext none = context_of(v3, Precision::fp8_block), some = [&] {
    LayerContext context = context_of(v3, Precision::fp8_block);
    context.recompute.mla_up_proj = context.recompute.core_attn = context.recompute.norm = true;
    return context;
  }();
  CHECK(shown(layer(some, moe_of(v3), Pass::forward)) == shown(layer(none, moe_of(v3), Pass::forward)));
  CHECK(shown(layer(some, moe_of(v3), Pass::backward_weight)) == shown(layer(none, moe_of(v3), Pass::backward_weight)));
  const double core = 2.0 * tokens * tokens * 128 * 320 / 2.0, up = 2.0 * tokens * (1536.0 * 24576 + 512.0 * 32768);
  CHECK(flops(layer(some, moe_of(v3), Pass::backward_input)) - flops(layer(none, moe_of(v3), Pass::backward_input)) ==
        core + up);
}

TEST_CASE("every operator has finite, non-negative FLOPs and bytes, in every pass of every layout") {
  std::vector<Parallelism> layouts(4);
  layouts[1].tensor = 8;
  layouts[2].expert = 8, layouts[2].expert_tensor = 2, layouts[2].context = 2;
  layouts[3].tensor = 4, layouts[3].expert = 4, layouts[3].context = 4;
  std::size_t seen = 0, bad = 0;
  const auto look = [&](const Operators& list) {
    for (const Operator& op : list) {
      ++seen;
      const model::Facts facts = model::facts(op.kind);
      for (const double value : {facts.flops, facts.bytes_read, facts.bytes_written, facts.message_bytes}) {
        bad += std::isfinite(value) && value >= 0.0 ? 0 : 1;
      }
      bad += facts.bytes() > 0.0 ? 0 : 1;
      bad += facts.communication() == (facts.message_bytes > 0.0) ? 0 : 1;
      bad += *op.name == '\0' ? 1 : 0;
    }
  };
  for_every_layer([&](const ModelSpec& spec, const LayerSpec& kind) {
    for (const Parallelism& layout : layouts) {
      for (const Precision precision : {Precision::bf16, Precision::fp8_block}) {
        LayerContext context = context_of(spec, precision);
        context.parallel = layout;
        for (const bool full : {false, true}) {
          context.recompute.full = full;
          for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
            look(layer(context, kind, pass));
            look(model::embedding_operators(context, pass));
            look(model::head_operators(context, pass));
            look(model::mtp_projection_operators(context, pass));
          }
        }
      }
    }
  });
  CHECK(seen > 10000);
  CHECK(bad == 0);
}

TEST_CASE("a DeepSeek-V3 MoE layer keeps the 640 MB that its tensors add up to") {
  const ModelSpec v3 = read("deepseek-v3");
  const double fp8 = 1.0 + 4.0 / 128.0;                       // E4M3 and an FP32 scale for every 128 values
  const double attention = tokens * 7168 * 2                  // its input, BF16
                           + tokens * (1536 + 512 + 64) * 2   // latents and the rotated key, BF16
                           + tokens * 128 * 128 * 1.5         // attention output, E5M6
                           + tokens * 128 * 4;                // log-sum-exp
  const double mlp = tokens * 7168 * 2                        // its input, BF16
                     + tokens * 256 * 4 + tokens * 8 * 12     // router scores and choices
                     + tokens * 2 * 2048 * fp8                // the shared expert's SwiGLU input
                     + 8 * tokens * (7168 + 2 * 2048) * fp8;  // the routed experts' input and SwiGLU input
  const double bytes = model::layer_activations(trace_context(v3), moe_of(v3)).total;
  CHECK(bytes == doctest::Approx(attention + mlp).epsilon(1e-12));
  CHECK(bytes == doctest::Approx(640e6).epsilon(0.01));
}

TEST_CASE("each recompute choice keeps less or the same, whatever else is chosen; full keeps the input alone") {
  for_every_layer([](const ModelSpec& spec, const LayerSpec& kind) {
    LayerContext context = context_of(spec, Precision::fp8_block);
    const std::vector<bool Recompute::*> choices = {&Recompute::norm, &Recompute::mla_up_proj, &Recompute::swiglu,
                                                    &Recompute::moe_act, &Recompute::core_attn};
    const auto kept = [&](unsigned chosen) {
      for (unsigned i = 0; i < choices.size(); ++i) context.recompute.*choices[i] = (chosen >> i & 1u) != 0;
      return model::layer_activations(context, kind).total;
    };
    bool monotone = true;
    for (unsigned chosen = 0; chosen < 32; ++chosen) {
      for (unsigned i = 0; i < choices.size(); ++i) monotone = monotone && kept(chosen | 1u << i) <= kept(chosen);
    }
    CHECK(monotone);
    const bool latent = is_latent(kind), moe = is_moe(kind);
    CHECK(kept(1) < kept(0));
    CHECK((kept(2) < kept(0)) == latent);
    CHECK(kept(4) < kept(0));
    CHECK((kept(8) < kept(0)) == moe);
    CHECK(kept(16) < kept(0));
    const double least = kept(31);
    context.recompute.full = true;
    const double full = model::layer_activations(context, kind).total;
    CHECK(full == tokens * static_cast<double>(spec.hidden) * 2.0);
    CHECK(full < least);
    CHECK(model::layer_workspace(context, kind) > 0.0);
  });
}

TEST_CASE("a deferred weight gradient keeps both operands of every linear layer: Llama by hand, in BF16") {
  const ModelSpec llama = read("llama-3.1-8b");
  const double widths = (4096.0 + 6144) + (4096 + 4096) + (4096 + 28672) + (14336 + 4096);
  CHECK(model::layer_activations(context_of(llama), dense_of(llama)).kept_for_weight == tokens * widths * 2);
  // The head's: logits' gradient and its input.
  CHECK(model::head_activations(context_of(llama)).kept_for_weight == tokens * (128256.0 + 4096) * 2);
}

TEST_CASE("recompute choices are read by name; a misspelt one is named, and none stands alone") {
  const Recompute chosen = model::read_recompute({"norm", "mla_up_proj", "moe_act"}, "plan.json");
  CHECK((chosen.norm && chosen.mla_up_proj && chosen.moe_act));
  CHECK_FALSE((chosen.swiglu || chosen.core_attn || chosen.full));
  CHECK(message_of({}) == "no error");
  CHECK(message_of({"none"}) == "no error");
  CHECK(message_of({"norm", "mla_up_prj"}) ==
        "plan.json /recompute: unknown recompute choice 'mla_up_prj'; did you mean 'mla_up_proj'?");
  CHECK(message_of({"everything at once"}).find("the choices are none, norm, mla_up_proj, swiglu") !=
        std::string::npos);
  CHECK(message_of({"none", "full"}).find("'none' stands beside other choices") != std::string::npos);
  CHECK(message_of({"full", "none"}).find("'none' stands beside other choices") != std::string::npos);
}
