#include <doctest/doctest.h>

#include <cmath>

#include "model/counts.h"
#include "model/spec.h"

using namespace hourglass;
using model::ModelSpec;

namespace {

ModelSpec shipped(const std::string& name) {
  return model::read_model(std::string(HOURGLASS_SOURCE_DIR) + "/configs/models/" + name + ".json");
}

double relative(double value, double reference) { return std::abs(value / reference - 1.0); }

struct Published {
  std::string name;
  double total;
};

// As configs/models/README.md prints them, beside the papers; GLM-4.5 without its MTP module.
const std::vector<Published> totals = {
    {"deepseek-v3", 671.026e9},     {"deepseek-v2", 235.741e9},     {"kimi-k2", 1.026e12},
    {"glm-4.5", 352.8e9},           {"qwen3-235b-a22b", 235.094e9}, {"qwen3-30b-a3b", 30.532e9},
    {"qwen2.5-72b", 72.706e9},      {"mixtral-8x7b", 46.703e9},     {"llama-3.1-8b", 8.030e9},
    {"llama-3.1-70b", 70.554e9},    {"llama-3.1-405b", 405.853e9},  {"llama-2-70b", 68.977e9},
    {"llama-2-7b", 6.738e9},        {"llama-2-13b", 13.016e9},      {"qwen3-8b", 8.191e9},
    {"moonlight-16b-a3b", 15.960e9}};

}  // namespace

TEST_CASE("DeepSeek-V3 has 671,026,419,200 parameters, 37B of them used by a token, and 11.6B in its MTP module") {
  const ModelSpec v3 = shipped("deepseek-v3");
  CHECK(model::total_parameters(v3) == 671026419200.0);
  // DeepSeek-V3 report, arXiv 2412.19437, section 4.2: 37B activated.
  CHECK(model::activated_parameters(v3) > 36.5e9);
  CHECK(model::activated_parameters(v3) < 38e9);
  // deepseek-ai/DeepSeek-V3 README: 685B on the hub are 671B and 14B of the MTP module, whose embedding and head
  // (2 x 0.93B) are shared here; README_WEIGHTS.md says 11.5B unique.
  CHECK(model::mtp_parameters(v3).total() == 11610068224.0);  // with the norm before the shared head
  CHECK(model::mtp_parameters(shipped("glm-4.5")).total() > 3.5e9);
}

TEST_CASE("every shipped model has the parameters its authors print, and its parts add up") {
  for (const Published& published : totals) {
    CAPTURE(published.name);
    const ModelSpec spec = shipped(published.name);
    const double total = model::total_parameters(spec);
    CHECK(relative(total, published.total) < 1e-3);
    double sum = model::embedding_parameters(spec) + model::head_parameters(spec);
    for (const int kind : spec.layers) sum += model::layer_parameters(spec, spec.kind(kind)).total();
    CHECK(sum == total);
    if (model::experts_of(spec) == nullptr)
      CHECK(model::activated_parameters(spec) == total);
    else
      CHECK(model::activated_parameters(spec) < 0.4 * total);
  }
  // Activated, of the same papers: Mixtral 12.9B, Qwen3 22B and 3.3B, Kimi-K2 32B, DeepSeek-V2 21B.
  CHECK(relative(model::activated_parameters(shipped("mixtral-8x7b")), 12.9e9) < 0.01);
  CHECK(relative(model::activated_parameters(shipped("qwen3-235b-a22b")), 22e9) < 0.02);
  CHECK(relative(model::activated_parameters(shipped("qwen3-30b-a3b")), 3.3e9) < 0.02);
  CHECK(relative(model::activated_parameters(shipped("kimi-k2")), 32e9) < 0.04);
  CHECK(relative(model::activated_parameters(shipped("deepseek-v2")), 21e9) < 0.03);
}

TEST_CASE("a Llama layer counted by hand, and tied embeddings counted once") {
  ModelSpec llama = shipped("llama-3.1-8b");
  // q and o 4096 x 4096, k and v 4096 x 1024, three MLP matrices 4096 x 14336, two norms.
  const double layer = 2.0 * 4096 * 4096 + 2.0 * 4096 * 1024 + 3.0 * 4096 * 14336 + 2.0 * 4096;
  CHECK(model::layer_parameters(llama, llama.kinds[0]).dense == layer);
  CHECK(model::layer_parameters(llama, llama.kinds[0]).expert == 0.0);
  CHECK(model::total_parameters(llama) == 32.0 * layer + 2.0 * 128256 * 4096 + 4096);
  llama.tied_embeddings = true;
  CHECK(model::total_parameters(llama) == 32.0 * layer + 128256.0 * 4096 + 4096);
}

TEST_CASE("the KV cache of a token is what table 1 of the ISCA'25 paper prints") {
  // Insights into DeepSeek-V3, arXiv 2505.09343, table 1, BF16: 70.272, 327.680 and 516.096 KB.
  CHECK(model::kv_cache_bytes_per_token(shipped("deepseek-v3")) == 70272.0);
  CHECK(model::kv_cache_bytes_per_token(shipped("qwen2.5-72b")) == 327680.0);
  CHECK(model::kv_cache_bytes_per_token(shipped("llama-3.1-405b")) == 516096.0);
  CHECK(model::kv_cache_bytes_per_token(shipped("deepseek-v3"), model::Dtype::e4m3) == 70272.0 / 2.0);
}

TEST_CASE("training FLOPs a token at 4096 are table 2 of the ISCA'25 paper") {
  // arXiv 2505.09343, table 2: 250, 155 and 2448 GFLOPS a token; causal, without MTP.
  CHECK(relative(model::training_flops_per_token(shipped("deepseek-v3"), 4096, true, false), 250e9) < 0.02);
  CHECK(relative(model::training_flops_per_token(shipped("deepseek-v2"), 4096, true, false), 155e9) < 0.02);
  CHECK(relative(model::training_flops_per_token(shipped("llama-3.1-405b"), 4096, true, false), 2448e9) < 0.02);
  // The table's fourth row, 394 for "Qwen-72B", is not reproduced: Qwen2.5-72B's matrices alone are more (counts.cpp).
  const ModelSpec qwen = shipped("qwen2.5-72b");
  CHECK(model::training_flops_per_token(qwen, 4096, true, false) / 394e9 == doctest::Approx(1.129).epsilon(1e-3));
  CHECK(model::training_flops_per_token(qwen, 0, true, false) > 1.08 * 394e9);
}

TEST_CASE("training FLOPs: linear in the length, doubled attention without the causal mask, more with MTP") {
  for (const Published& published : totals) {
    CAPTURE(published.name);
    const ModelSpec spec = shipped(published.name);
    const auto flops = [&](std::int64_t length, bool causal, bool mtp) {
      return model::training_flops_per_token(spec, length, causal, mtp);
    };
    const double matrices = 2.0 * flops(4096, true, false) - flops(8192, true, false);
    CHECK(flops(4096, false, false) > flops(4096, true, false));
    CHECK(flops(4096, false, false) == doctest::Approx(flops(8192, true, false)).epsilon(1e-12));
    // Six FLOPs for each weight a token meets: all but the input embedding, norms and biases (below 0.1 %).
    CHECK(relative(matrices, 6.0 * (model::activated_parameters(spec) - model::embedding_parameters(spec))) < 1e-3);
    const double added = flops(4096, true, true) - flops(4096, true, false);
    if (spec.mtp_modules == 0)
      CHECK(added == 0.0);
    else
      CHECK(added > 6.0 * model::embedding_parameters(spec));  // the shared head runs again
  }
}

TEST_CASE("parallelism shards: dense parameters over tensor ranks, experts over expert and expert-tensor ranks") {
  const ModelSpec v3 = shipped("deepseek-v3");
  const model::ParameterCount whole = model::layer_parameters(v3, v3.kinds[1]);
  CHECK(whole.expert == 256.0 * 3.0 * 7168 * 2048);
  model::Parallelism parallel;
  CHECK(model::local_parameters(whole, parallel).total() == whole.total());
  parallel.tensor = 4;
  parallel.expert = 64;
  parallel.expert_tensor = 2;
  const model::ParameterCount local = model::local_parameters(whole, parallel);
  CHECK(local.dense == whole.dense / 4.0);
  CHECK(local.expert == whole.expert / 128.0);
}

TEST_CASE("a model of several kinds has the parameters, cache and FLOPs of its layers") {
  const ModelSpec v3 = shipped("deepseek-v3"), llama = shipped("llama-3.1-8b");
  ModelSpec hybrid = v3;
  const model::LayerSpec grouped{llama.kinds[0].mixer, v3.kinds[1].mlp};  // Llama's attention with DeepSeek's experts
  model::set_layers(hybrid, {v3.kinds[0], grouped, v3.kinds[0], grouped, grouped});
  const double latent_dense = model::layer_parameters(v3, v3.kinds[0]).total();
  // q and o 7168 x 4096, k and v 7168 x 1024, and the rest of DeepSeek's MoE layer with its norm.
  const double attention = 2.0 * 7168 * 4096 + 2.0 * 7168 * 1024 + 7168;
  const double moe = 257.0 * 3 * 7168 * 2048 + 256.0 * 7168 + 256 + 7168;
  CHECK(model::layer_parameters(hybrid, grouped).total() == attention + moe);
  CHECK(model::total_parameters(hybrid) ==
        model::embedding_parameters(v3) + model::head_parameters(v3) + 2.0 * latent_dense + 3.0 * (attention + moe));
  CHECK(model::total_parameters(hybrid) - model::activated_parameters(hybrid) == 3.0 * 248 * 3 * 7168 * 2048);
  CHECK(model::kv_cache_bytes_per_token(hybrid) == 2.0 * (2.0 * 576 + 3.0 * 2 * 8 * 128));
  const auto with_length = [&](std::int64_t length) {
    return model::training_flops_per_token(hybrid, length, true, false);
  };
  CHECK(with_length(8192) - with_length(4096) == 3.0 * 4096 * (2.0 * 128 * 320 + 3.0 * 32 * 256));
}
