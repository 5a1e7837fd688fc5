#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "model/counts.h"
#include "model/spec.h"

using namespace hourglass;
using base::Json;
using model::ModelSpec;
using model::RouterScore;

namespace {

const std::string folder = std::string(HOURGLASS_SOURCE_DIR) + "/configs/models/";

std::vector<std::string> shipped() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json document(const std::string& name) { return base::load_json(folder + name + ".json").value; }
ModelSpec shipped_model(const std::string& name) { return model::read_model(folder + name + ".json"); }

std::int64_t dense_layers(const ModelSpec& spec) { return spec.layer_count() - model::expert_layers(spec); }
bool has_experts(const ModelSpec& spec, std::size_t layer) {
  return model::experts_of(spec.kind(spec.layers[layer])) != nullptr;
}
const model::MultiHeadLatentAttention& latent(const ModelSpec& spec) {
  return std::get<model::MultiHeadLatentAttention>(spec.kinds[0].mixer);
}
const model::GroupedQueryAttention& grouped(const ModelSpec& spec) {
  return std::get<model::GroupedQueryAttention>(spec.kinds[0].mixer);
}
std::int64_t rotated_width(const model::LayerSpec& kind) {
  const auto* compressed = std::get_if<model::MultiHeadLatentAttention>(&kind.mixer);
  return compressed != nullptr ? compressed->qk_rope_head_dim
                               : std::get<model::GroupedQueryAttention>(kind.mixer).head_dim;
}
const model::MixtureOfExperts& experts(const ModelSpec& spec) { return *model::experts_of(spec); }

std::string message_of(const Json& json) {
  try {
    model::model_from_json(json, "f.json", "f");
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

struct Bad {
  std::string what;
  std::string config;
  const char* key;   // named by the error
  const char* says;  // part of the message
  std::function<void(Json&)> break_it;
};

std::function<void(Json&)> set(const char* key, const Json& value) {
  return [=](Json& json) { json[key] = value; };
}
std::function<void(Json&)> erase(const char* key) {
  return [=](Json& json) { json.erase(key); };
}

// What a careless hand, or a malicious one, puts where a value was.
Json odd_value(base::Random& random) {
  static const std::vector<Json> values = {nullptr,
                                           true,
                                           false,
                                           "text",
                                           "",
                                           0,
                                           1,
                                           -1,
                                           3,
                                           0.5,
                                           -1e30,
                                           1e30,
                                           1e300,
                                           65536,
                                           std::int64_t{1} << 53,
                                           std::int64_t{1} << 62,
                                           ~std::uint64_t{0},
                                           Json::array(),
                                           Json::array({1, -2, "x"}),
                                           Json::object(),
                                           Json::object({{"hidden_size", 1}}),
                                           Json::array({Json::array({Json::object()})})};
  return values[random.below(values.size())];
}

// The same on the text of the file: cut short, a number replaced by NaN, or a few bytes changed.
std::string mutate_text(std::string text, base::Random& random) {
  switch (random.below(3)) {
    case 0:
      return text.substr(0, random.below(text.size()));
    case 1: {
      const std::size_t digit = text.find_first_of("0123456789", random.below(text.size()));
      return digit == std::string::npos ? text : text.replace(digit, 1, "NaN");
    }
    default:
      for (int i = 0; i < 3; ++i) text[random.below(text.size())] = static_cast<char>(random.below(256));
      return text;
  }
}

bool is_sound(const model::LayerSpec& kind) {
  const auto* grouped_query = std::get_if<model::GroupedQueryAttention>(&kind.mixer);
  const model::MixtureOfExperts* moe = model::experts_of(kind);
  return (grouped_query == nullptr || grouped_query->heads % grouped_query->kv_heads == 0) &&
         (moe == nullptr || (moe->experts_per_token <= moe->routed_experts && moe->routed_experts % moe->groups == 0));
}

// A mutated configuration is a sound model (true), or an Error on one line that names the file (false).
bool reads_soundly(const std::string& text) {
  try {
    const ModelSpec spec = model::model_from_json(base::parse_json(text, "f.json"), "f.json", "f");
    const double total = model::total_parameters(spec), activated = model::activated_parameters(spec);
    const bool sound = std::isfinite(total) && activated > 0.0 && activated <= total &&
                       model::kv_cache_bytes_per_token(spec) > 0.0 &&
                       std::isfinite(model::training_flops_per_token(spec, 4096, true, true)) &&
                       spec.layer_count() > 0 && std::all_of(spec.kinds.begin(), spec.kinds.end(), is_sound);
    CHECK(sound);
    return true;
  } catch (const base::Error& e) {
    const std::string message = e.what();
    const bool one_line_with_file = message.starts_with("f.json") && message.find('\n') == std::string::npos;
    CHECK(one_line_with_file);
    return false;
  }
}

void mutate(Json& json, base::Random& random) {
  if (json.empty()) return;
  auto at = json.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random.below(json.size())));
  const std::string key = at.key();
  switch (random.below(6)) {
    case 0:
      json.erase(key);
      break;
    case 1:
      json[key] = odd_value(random);
      break;
    case 2:
      if (at->is_number()) json[key] = -at->get<double>();
      break;
    case 3:
      if (at->is_number()) json[key] = at->get<double>() * std::pow(10.0, random.uniform(-3.0, 25.0));
      break;
    case 4:
      json[key] = Json::object({{key, *at}});
      break;
    case 5:
      json[key + "s"] = odd_value(random);
      break;
  }
}

}  // namespace

TEST_CASE("every shipped model reads, with at least one layer and an even head") {
  CHECK(shipped().size() >= 12);
  for (const std::string& name : shipped()) {
    CAPTURE(name);
    const ModelSpec spec = shipped_model(name);
    CHECK(spec.name == name);
    CHECK(spec.layer_count() >= 27);
    for (const model::LayerSpec& kind : spec.kinds) CHECK(rotated_width(kind) % 2 == 0);
    CHECK_FALSE(spec.tied_embeddings);
  }
}

TEST_CASE("DeepSeek-V3: latent attention, 61 layers of which 3 dense, 4 of 8 groups, sigmoid scores with a bias") {
  const ModelSpec spec = shipped_model("deepseek-v3");
  CHECK(latent(spec).q_lora_rank == 1536);
  CHECK(latent(spec).kv_lora_rank == 512);
  CHECK(latent(spec).qk_nope_head_dim == 128);
  CHECK(latent(spec).qk_rope_head_dim == 64);
  CHECK(latent(spec).qk_head_dim() == 192);
  CHECK(latent(spec).v_head_dim == 128);
  CHECK(spec.layer_count() == 61);
  CHECK(dense_layers(spec) == 3);
  CHECK_FALSE(has_experts(spec, 2));
  CHECK(has_experts(spec, 3));
  CHECK(experts(spec).groups == 8);
  CHECK(experts(spec).groups_per_token == 4);
  CHECK(experts(spec).shared_intermediate == 2048);
  CHECK(experts(spec).score == RouterScore::sigmoid);
  CHECK(experts(spec).correction_bias);
  CHECK(spec.mtp_modules == 1);
}

TEST_CASE("families differ where their classes do") {
  const ModelSpec v2 = shipped_model("deepseek-v2"), qwen3 = shipped_model("qwen3-235b-a22b"),
                  glm = shipped_model("glm-4.5"), mixtral = shipped_model("mixtral-8x7b"),
                  qwen2 = shipped_model("qwen2.5-72b"), llama = shipped_model("llama-3.1-8b");
  CHECK(experts(v2).groups_per_token == 3);
  CHECK(experts(v2).score == RouterScore::softmax);
  CHECK_FALSE(experts(v2).correction_bias);
  CHECK(experts(v2).shared_intermediate == 2 * 1536);
  CHECK(grouped(qwen3).qk_norm);
  CHECK_FALSE(grouped(qwen3).qkv_bias);
  CHECK(experts(qwen3).routed_experts == 128);
  CHECK(experts(qwen3).shared_intermediate == 0);
  CHECK(dense_layers(qwen3) == 0);
  CHECK(grouped(glm).qk_norm);
  CHECK(grouped(glm).qkv_bias);
  CHECK_FALSE(grouped(glm).output_bias);
  CHECK(dense_layers(glm) == 3);
  CHECK(has_experts(glm, 3));
  CHECK(experts(mixtral).expert_intermediate == 14336);
  CHECK(experts(mixtral).experts_per_token == 2);
  CHECK(dense_layers(mixtral) == 0);
  CHECK(grouped(qwen2).qkv_bias);
  CHECK_FALSE(grouped(qwen2).output_bias);
  CHECK(grouped(llama).kv_heads == 8);
  CHECK(grouped(llama).head_dim == 128);
  CHECK(model::experts_of(llama) == nullptr);
}

TEST_CASE("a text model wrapped in text_config is unwrapped; sparse steps and dense exceptions of Qwen are obeyed") {
  const Json wrapped = Json::object({{"model_type", "kimi_vl"}, {"text_config", document("kimi-k2")}});
  CHECK(experts(model::model_from_json(wrapped, "f.json", "f")).routed_experts == 384);
  Json qwen = document("qwen3-30b-a3b");
  qwen["decoder_sparse_step"] = 2;
  qwen["mlp_only_layers"] = {1, 3};
  const ModelSpec spec = model::model_from_json(qwen, "f.json", "f");
  CHECK_FALSE(has_experts(spec, 0));  // Qwen counts layers from 1
  CHECK_FALSE(has_experts(spec, 1));
  CHECK(has_experts(spec, 5));
  CHECK(dense_layers(spec) == 24 + 2);
}

TEST_CASE("layers are numbered by kind in order of appearance, and called by what tells them apart") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  CHECK(v3.kind_count() == 2);
  CHECK(model::layers_of_kinds(v3) == std::vector<std::int64_t>{3, 58});
  CHECK(model::expert_kind(v3) == 1);
  CHECK(model::kind_name(v3, 0) == "dense");
  CHECK(model::kind_name(v3, 1) == "MoE");
  const model::LayerSpec latent_dense = v3.kinds[0],
                         grouped_moe{model::GroupedQueryAttention{128, 8, 128}, v3.kinds[1].mlp},
                         grouped_dense{grouped_moe.mixer, model::DenseMlp{18432}},
                         wide_dense{grouped_moe.mixer, model::DenseMlp{36864}};
  ModelSpec hybrid = v3;
  model::set_layers(hybrid, {grouped_moe, latent_dense, grouped_moe, grouped_dense, latent_dense, grouped_moe});
  CHECK(hybrid.layers == std::vector<int>{0, 1, 0, 2, 1, 0});
  CHECK(model::layers_of_kinds(hybrid) == std::vector<std::int64_t>{3, 2, 1});
  CHECK(model::expert_kind(hybrid) == 0);
  CHECK(model::expert_layers(hybrid) == 3);
  CHECK(model::has_latents(hybrid));
  CHECK(model::kind_name(hybrid, 0) == "MoE");
  CHECK(model::kind_name(hybrid, 1) == "MLA dense");
  CHECK(model::kind_name(hybrid, 2) == "GQA dense");
  model::set_layers(hybrid, {grouped_dense, wide_dense});
  CHECK(model::kind_name(hybrid, 1) == "GQA dense 1");
  CHECK(model::experts_of(hybrid) == nullptr);
}

TEST_CASE("a bad configuration is refused on one line that names the file and the key") {
  const char* v3 = "deepseek-v3";
  const char* qwen = "qwen3-235b-a22b";
  const char* llama = "llama-3.1-8b";
  const std::vector<Bad> table = {
      {"missing size", v3, "hidden_size", "is missing", erase("hidden_size")},
      {"null size", v3, "max_position_embeddings", "", set("max_position_embeddings", nullptr)},
      {"unknown family", v3, "model_type", "did you mean 'deepseek_v3'?", set("model_type", "deepseek_v33")},
      {"family not a string", v3, "model_type", "expected a string", set("model_type", 3)},
      {"negative layers", v3, "num_hidden_layers", "out of range", set("num_hidden_layers", -61)},
      {"half a layer", v3, "num_hidden_layers", "whole number", set("num_hidden_layers", 60.5)},
      {"a billion layers", v3, "num_hidden_layers", "out of range", set("num_hidden_layers", 1000000000)},
      {"string for a number", v3, "hidden_size", "found a string", set("hidden_size", "7168")},
      {"no experts", v3, "n_routed_experts", "out of range", set("n_routed_experts", 0)},
      {"absent expert count", "mixtral-8x7b", "n_routed_experts", "is missing", erase("num_local_experts")},
      {"more experts a token than there are", qwen, "num_experts_per_tok", "129 of 128",
       set("num_experts_per_tok", 129)},
      {"more experts a token than its groups hold", v3, "num_experts_per_tok", "in 4 of 8 groups",
       set("num_experts_per_tok", 129)},
      {"a chosen group too small for top 8", v3, "num_experts_per_tok", "in 1 of 64 groups",
       [](Json& json) { json["n_group"] = 64, json["topk_group"] = 1; }},
      {"groups that do not divide the experts", v3, "n_group", "equal groups", set("n_group", 7)},
      {"more groups a token than there are", v3, "topk_group", "9 of 8", set("topk_group", 9)},
      {"no group a token", v3, "topk_group", "out of range", set("topk_group", 0)},
      {"two expert counts", v3, "num_experts", "another name", set("num_experts", 128)},
      {"uneven key-value heads", qwen, "num_key_value_heads", "evenly", set("num_key_value_heads", 5)},
      {"grouped latent attention", v3, "num_key_value_heads", "latent attention", set("num_key_value_heads", 8)},
      {"empty head", qwen, "head_dim", "out of range", set("head_dim", 0)},
      {"odd head", qwen, "head_dim", "in pairs", set("head_dim", 127)},
      {"heads that do not divide the hidden size", llama, "num_attention_heads", "split over",
       set("hidden_size", 4100)},
      {"odd rotary width", v3, "qk_rope_head_dim", "in pairs", set("qk_rope_head_dim", 63)},
      {"huge vocabulary", llama, "vocab_size", "out of range", set("vocab_size", 1e15)},
      {"huge width", llama, "intermediate_size", "out of range", set("intermediate_size", ~std::uint64_t{0})},
      {"dense layer that does not exist", qwen, "mlp_only_layers", "out of range", set("mlp_only_layers", {0, 94})},
      {"dense layers not a list", qwen, "mlp_only_layers", "expected a list", set("mlp_only_layers", 3)},
      {"more dense layers than layers", v3, "first_k_dense_replace", "out of range", set("first_k_dense_replace", 62)},
      {"no layer with experts", v3, "first_k_dense_replace", "none of 61", set("first_k_dense_replace", 61)},
      {"every zeroth layer sparse", qwen, "decoder_sparse_step", "out of range", set("decoder_sparse_step", 0)},
      {"unknown score", v3, "scoring_func", "did you mean 'sigmoid'?", set("scoring_func", "sigmiod")},
      {"word for a flag", v3, "attention_bias", "true or false", set("attention_bias", "yes")},
      {"negative prediction depth", v3, "num_nextn_predict_layers", "out of range",
       set("num_nextn_predict_layers", -1)},
  };
  CHECK(message_of(Json::array()) == "f.json: expected an object, found a list");
  for (const Bad& bad : table) {
    CAPTURE(bad.what);
    Json json = document(bad.config);
    bad.break_it(json);
    const std::string message = message_of(json);
    CAPTURE(message);
    CHECK(message.starts_with("f.json /"));
    CHECK(message.find(bad.key) != std::string::npos);
    CHECK(message.find(bad.says) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("fuzz: a mutated configuration is a model with countable parameters or an Error, within a second") {
  using Clock = std::chrono::steady_clock;
  base::Random random(3);
  int read = 0, refused = 0;
  Clock::duration slowest{};
  for (const std::string& name : shipped()) {
    const Json original = document(name);
    for (int round = 0; round < 3000; ++round) {
      Json json = original;
      for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) mutate(json, random);
      if (random.below(8) == 0) json = Json::object({{"model_type", odd_value(random)}, {"text_config", json}});
      const std::string text = random.below(4) == 0 ? mutate_text(original.dump(), random) : json.dump();
      CAPTURE(text);
      const auto start = Clock::now();
      ++(reads_soundly(text) ? read : refused);
      slowest = std::max(slowest, Clock::now() - start);
    }
  }
  CHECK(read > 6000);
  CHECK(refused > 6000);
  CHECK(slowest < std::chrono::seconds(1));
}
