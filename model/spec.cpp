// From a Hugging Face config.json to a ModelSpec.
//
// A config.json is the argument list of a Python class, and each family's class spells the same things differently.
// What differs is a table here (`families`), one row a model_type; the rest is read the same way for all. The
// spellings, from the configuration_*.py and modeling_*.py of transformers:
//
//   experts     n_routed_experts (DeepSeek, GLM), num_experts (Qwen) and num_local_experts (Mixtral) are one number.
//               An expert is moe_intermediate_size wide; Mixtral has only experts and calls their width
//               intermediate_size.
//   shared      n_shared_experts times moe_intermediate_size, or shared_expert_intermediate_size (Qwen2-MoE, with a
//               gate).
//   which MoE   DeepSeek, GLM: layer i is MoE if i >= first_k_dense_replace and i % moe_layer_freq == 0.
//               Qwen: if (i + 1) % decoder_sparse_step == 0 and i is not in mlp_only_layers. Mixtral: all.
//   head width  head_dim, or hidden_size / num_attention_heads where it is absent or null.
//   biases      attention_bias covers q, k, v and o for Llama and Qwen3, q, k and v for GLM, and the compressing
//               projections and o for MLA. Qwen2 always has q, k, v biases and never says so; Qwen2-MoE says qkv_bias.
//   balancing   topk_method noaux_tc (and always GLM) adds a bias an expert; topk_method greedy ignores n_group.
//
// A size whose absence changes the model has no default: class defaults are not what was published (DeepSeek-V3's
// class says 4096 positions, its file 163840).
// Limits: every MLP is gated (true of all these families); sliding windows are ignored, attention is taken as full; of
// a multimodal model only text_config is read, not the vision tower.

#include "model/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::model {

namespace {

using base::Fields;

// Beyond these a size is a typing mistake; within them no product of sizes overflows 64 bits.
constexpr std::int64_t widest = 1 << 20;
constexpr std::int64_t most_layers = 1 << 12;
constexpr std::int64_t most_heads = 1 << 13;
constexpr std::int64_t most_experts = 1 << 14;
constexpr std::int64_t largest_vocabulary = 1 << 24;
constexpr std::int64_t longest_position = std::int64_t{1} << 32;

enum class Attention : std::uint8_t { latent, grouped };
enum class Experts : std::uint8_t { none, deepseek, glm, qwen2, qwen3, mixtral };
enum class Bias : std::uint8_t { never, qkv_always, qkv_flag, attention_flag_qkv, attention_flag_all };
enum class QkNorm : std::uint8_t { never, always, flag };

struct Family {
  const char* name;
  Attention attention;
  Experts experts;
  Bias bias;
  QkNorm qk_norm;
};

constexpr std::array families = {
    Family{"deepseek_v2", Attention::latent, Experts::deepseek, Bias::attention_flag_all, QkNorm::never},
    Family{"deepseek_v3", Attention::latent, Experts::deepseek, Bias::attention_flag_all, QkNorm::never},
    Family{"kimi_k2", Attention::latent, Experts::deepseek, Bias::attention_flag_all, QkNorm::never},
    Family{"glm4_moe", Attention::grouped, Experts::glm, Bias::attention_flag_qkv, QkNorm::flag},
    Family{"qwen3_moe", Attention::grouped, Experts::qwen3, Bias::attention_flag_all, QkNorm::always},
    Family{"qwen2_moe", Attention::grouped, Experts::qwen2, Bias::qkv_flag, QkNorm::never},
    Family{"mixtral", Attention::grouped, Experts::mixtral, Bias::never, QkNorm::never},
    Family{"llama", Attention::grouped, Experts::none, Bias::attention_flag_all, QkNorm::never},
    Family{"qwen2", Attention::grouped, Experts::none, Bias::qkv_always, QkNorm::never},
    Family{"qwen3", Attention::grouped, Experts::none, Bias::attention_flag_all, QkNorm::always},
};

const Family* find_family(const std::string& name) {
  const auto found = std::find_if(families.begin(), families.end(), [&](const Family& f) { return name == f.name; });
  return found == families.end() ? nullptr : &*found;
}

const Family& read_family(Fields& fields) {
  std::vector<std::string> names;
  for (const Family& family : families) names.emplace_back(family.name);
  return *find_family(fields.choice("model_type", names));
}

std::int64_t width(Fields& fields, const std::string& key) { return fields.integer(key, 1, widest); }

void check_rotary(const Fields& fields, const std::string& key, std::int64_t size) {
  if (size % 2 == 0) return;
  fields.fail(key, fmt::format("a head of {} cannot be rotated in pairs", size), "give an even width");
}

struct Biases {
  bool qkv = false, output = false;
};

Biases read_biases(Fields& fields, Bias rule) {
  switch (rule) {
    case Bias::never:
      break;
    case Bias::qkv_always:
      return {true, false};
    case Bias::qkv_flag:
      return {fields.flag_or("qkv_bias", true), false};
    case Bias::attention_flag_qkv:
      return {fields.flag_or("attention_bias", false), false};
    case Bias::attention_flag_all: {
      const bool all = fields.flag_or("attention_bias", false);
      return {all, all};
    }
  }
  return {};
}

MultiHeadLatentAttention read_latent(Fields& fields, const Family& family, std::int64_t heads) {
  MultiHeadLatentAttention attention;
  attention.heads = heads;
  const std::int64_t kv_heads = fields.integer_or("num_key_value_heads", heads, 1, most_heads);
  if (kv_heads != heads) {
    fields.fail("num_key_value_heads",
                fmt::format("latent attention has a key-value head a query head, not {} for {}", kv_heads, heads),
                fmt::format("set it to {}", heads));
  }
  attention.q_lora_rank = fields.has("q_lora_rank") ? width(fields, "q_lora_rank") : 0;
  attention.kv_lora_rank = width(fields, "kv_lora_rank");
  attention.qk_nope_head_dim = width(fields, "qk_nope_head_dim");
  attention.qk_rope_head_dim = width(fields, "qk_rope_head_dim");
  check_rotary(fields, "qk_rope_head_dim", attention.qk_rope_head_dim);
  attention.v_head_dim = width(fields, "v_head_dim");
  attention.bias = read_biases(fields, family.bias).output;
  return attention;
}

std::int64_t read_head_dim(Fields& fields, std::int64_t hidden, std::int64_t heads) {
  if (fields.has("head_dim")) return width(fields, "head_dim");
  if (hidden % heads != 0) {
    fields.fail("num_attention_heads", fmt::format("a hidden size of {} cannot be split over {} heads", hidden, heads),
                "give a divisor of hidden_size, or add head_dim");
  }
  return hidden / heads;
}

GroupedQueryAttention read_grouped(Fields& fields, const Family& family, std::int64_t hidden, std::int64_t heads) {
  GroupedQueryAttention attention;
  attention.heads = heads;
  // Llama files from before grouped-query attention lack the key and mean multi-head; other classes have a default of
  // their own that we do not guess.
  const bool multi_head = std::string("llama") == family.name && !fields.has("num_key_value_heads");
  attention.kv_heads = multi_head ? heads : fields.integer("num_key_value_heads", 1, most_heads);
  if (heads % attention.kv_heads != 0) {
    fields.fail("num_key_value_heads",
                fmt::format("{} query heads cannot share {} key-value heads evenly", heads, attention.kv_heads),
                fmt::format("give a divisor of {}", heads));
  }
  attention.head_dim = read_head_dim(fields, hidden, heads);
  check_rotary(fields, fields.has("head_dim") ? "head_dim" : "num_attention_heads", attention.head_dim);
  const Biases biases = read_biases(fields, family.bias);
  attention.qkv_bias = biases.qkv;
  attention.output_bias = biases.output;
  attention.qk_norm =
      family.qk_norm == QkNorm::always || (family.qk_norm == QkNorm::flag && fields.flag_or("use_qk_norm", false));
  return attention;
}

Mixer read_mixer(Fields& fields, const Family& family, std::int64_t hidden) {
  const std::int64_t heads = fields.integer("num_attention_heads", 1, most_heads);
  switch (family.attention) {
    case Attention::latent:
      return read_latent(fields, family, heads);
    case Attention::grouped:
      return read_grouped(fields, family, hidden, heads);
  }
  return {};
}

// The expert count under whichever of its three names is there.
std::string expert_count_key(Fields& fields) {
  std::string found;
  for (const char* name : {"n_routed_experts", "num_experts", "num_local_experts"}) {
    if (!fields.has(name)) continue;
    if (found.empty()) {
      found = name;
    } else if (fields.any(name) != fields.any(found)) {
      fields.fail(name, fmt::format("differs from {}, another name for the same number", found), "keep one of them");
    }
  }
  if (found.empty()) {
    fields.fail("n_routed_experts", "is missing", "add it, or one of its other names: num_experts, num_local_experts");
  }
  return found;
}

void read_groups(Fields& fields, MixtureOfExperts& moe) {
  moe.groups = fields.integer_or("n_group", 1, 1, most_experts);
  if (moe.routed_experts % moe.groups != 0) {
    fields.fail("n_group",
                fmt::format("{} experts cannot be split into {} equal groups", moe.routed_experts, moe.groups),
                fmt::format("give a divisor of {}", moe.routed_experts));
  }
  moe.groups_per_token = fields.integer_or("topk_group", moe.groups, 1, most_experts);
  if (moe.groups_per_token > moe.groups) {
    fields.fail("topk_group", fmt::format("a token cannot use {} of {} groups", moe.groups_per_token, moe.groups),
                fmt::format("give at most {}", moe.groups));
  }
}

void read_deepseek_routing(Fields& fields, bool second_version, MixtureOfExperts& moe) {
  std::string method = second_version ? "greedy" : "noaux_tc";
  if (fields.has("topk_method")) method = fields.choice("topk_method", {"greedy", "group_limited_greedy", "noaux_tc"});
  std::string score = second_version ? "softmax" : "sigmoid";
  if (fields.has("scoring_func")) score = fields.choice("scoring_func", {"softmax", "sigmoid"});
  moe.score = score == "sigmoid" ? RouterScore::sigmoid : RouterScore::softmax;
  moe.correction_bias = method == "noaux_tc";
  if (method != "greedy") read_groups(fields, moe);
}

void read_top_k(Fields& fields, MixtureOfExperts& moe) {
  moe.experts_per_token = fields.integer("num_experts_per_tok", 1, most_experts);
  const std::int64_t reachable = moe.routed_experts / moe.groups * moe.groups_per_token;
  if (moe.experts_per_token <= reachable) return;
  const std::string limit = moe.groups == 1 ? "" : fmt::format(" in {} of {} groups", moe.groups_per_token, moe.groups);
  fields.fail("num_experts_per_tok",
              fmt::format("a token cannot use {} of {} experts{}", moe.experts_per_token, reachable, limit),
              fmt::format("give at most {}", reachable));
}

std::int64_t shared_width(Fields& fields, std::int64_t expert_intermediate) {
  return expert_intermediate * fields.integer_or("n_shared_experts", 0, 0, most_experts);
}

MixtureOfExperts read_experts(Fields& fields, const Family& family) {
  MixtureOfExperts moe;
  moe.routed_experts = fields.integer(expert_count_key(fields), 1, most_experts);
  moe.expert_intermediate =
      width(fields, family.experts == Experts::mixtral ? "intermediate_size" : "moe_intermediate_size");
  switch (family.experts) {
    case Experts::deepseek:
      moe.shared_intermediate = shared_width(fields, moe.expert_intermediate);
      read_deepseek_routing(fields, std::string("deepseek_v2") == family.name, moe);
      break;
    case Experts::glm:
      moe.shared_intermediate = shared_width(fields, moe.expert_intermediate);
      moe.score = RouterScore::sigmoid;
      moe.correction_bias = true;
      read_groups(fields, moe);
      break;
    case Experts::qwen2:
      moe.shared_intermediate = fields.integer("shared_expert_intermediate_size", 0, widest);
      moe.shared_gate = moe.shared_intermediate > 0;
      break;
    case Experts::qwen3:
    case Experts::mixtral:
    case Experts::none:
      break;
  }
  read_top_k(fields, moe);
  return moe;
}

// Whether each layer has experts.
std::vector<bool> read_sparse(Fields& fields, const Family& family) {
  const std::int64_t count = fields.integer("num_hidden_layers", 1, most_layers);
  std::vector<bool> sparse(static_cast<std::size_t>(count), false);
  if (family.experts == Experts::none) return sparse;
  const bool qwen = family.experts == Experts::qwen2 || family.experts == Experts::qwen3;
  const bool first_dense = family.experts == Experts::deepseek || family.experts == Experts::glm;
  const std::int64_t first = first_dense ? fields.integer("first_k_dense_replace", 0, count) : 0;
  const std::int64_t every = qwen                                  ? fields.integer_or("decoder_sparse_step", 1, 1)
                             : family.experts == Experts::deepseek ? fields.integer_or("moe_layer_freq", 1, 1)
                                                                   : 1;
  const std::int64_t offset = qwen ? 1 : 0;  // Qwen counts layers from 1, DeepSeek from 0
  for (std::int64_t i = first; i < count; ++i) {
    if ((i + offset) % every == 0) sparse[static_cast<std::size_t>(i)] = true;
  }
  if (qwen && fields.has("mlp_only_layers")) {
    for (const std::int64_t i : fields.integers("mlp_only_layers", 0, count - 1))
      sparse[static_cast<std::size_t>(i)] = false;
  }
  if (std::find(sparse.begin(), sparse.end(), true) == sparse.end()) {
    fields.fail(first_dense ? "first_k_dense_replace" : "decoder_sparse_step",
                fmt::format("leaves none of {} layers with experts", count), "lower it, or use a dense model_type");
  }
  return sparse;
}

ModelSpec read_fields(Fields& fields, const std::string& name) {
  const Family& family = read_family(fields);
  ModelSpec model;
  model.name = name;
  model.family = family.name;
  model.hidden = width(fields, "hidden_size");
  model.vocabulary = fields.integer("vocab_size", 1, largest_vocabulary);
  const std::vector<bool> sparse = read_sparse(fields, family);
  const Mixer mixer = read_mixer(fields, family, model.hidden);
  MixtureOfExperts experts;
  if (family.experts != Experts::none) experts = read_experts(fields, family);
  DenseMlp dense;
  if (family.experts != Experts::mixtral) dense.intermediate = width(fields, "intermediate_size");
  if (family.experts == Experts::deepseek || family.experts == Experts::glm) {
    model.mtp_modules = fields.integer_or("num_nextn_predict_layers", 0, 0, 64);
  }
  model.tied_embeddings = fields.flag_or("tie_word_embeddings", false);  // false in every one of these classes
  dense.bias = model.family == "llama" && fields.flag_or("mlp_bias", false);
  model.max_position = fields.integer("max_position_embeddings", 1, longest_position);
  std::vector<LayerSpec> layers;
  for (const bool has_experts : sparse) layers.push_back({mixer, has_experts ? Mlp{experts} : Mlp{dense}});
  set_layers(model, layers);
  return model;
}

// What a kind is called: by its MLP, and by its mixer.
struct NameOf {
  const char* operator()(const DenseMlp&) const { return "dense"; }
  const char* operator()(const MixtureOfExperts&) const { return "MoE"; }
  const char* operator()(const MultiHeadLatentAttention&) const { return "MLA"; }
  const char* operator()(const GroupedQueryAttention&) const { return "GQA"; }
};

}  // namespace

void set_layers(ModelSpec& model, const std::vector<LayerSpec>& layers) {
  model.kinds.clear();
  model.layers.clear();
  for (const LayerSpec& layer : layers) {
    auto found = std::find(model.kinds.begin(), model.kinds.end(), layer);
    if (found == model.kinds.end()) found = model.kinds.insert(found, layer);
    model.layers.push_back(static_cast<int>(found - model.kinds.begin()));
  }
}

std::vector<std::int64_t> layers_of_kinds(const ModelSpec& model) {
  std::vector<std::int64_t> counts(model.kinds.size(), 0);
  for (const int kind : model.layers) ++counts[static_cast<std::size_t>(kind)];
  return counts;
}

std::string kind_name(const ModelSpec& model, int kind) {
  const std::string mlp = std::visit(NameOf{}, model.kind(kind).mlp),
                    both = std::string(std::visit(NameOf{}, model.kind(kind).mixer)) + " " + mlp;
  bool same_mlp = false, same_both = false;
  for (int other = 0; other < model.kind_count(); ++other) {
    if (other == kind || model.kind(other).mlp.index() != model.kind(kind).mlp.index()) continue;
    same_mlp = true;
    same_both = same_both || model.kind(other).mixer.index() == model.kind(kind).mixer.index();
  }
  return same_both ? fmt::format("{} {}", both, kind) : same_mlp ? both : mlp;
}

std::int64_t heads_of(const Mixer& mixer) {
  return std::visit([](const auto& attention) { return attention.heads; }, mixer);
}

bool has_latents(const ModelSpec& model) {
  return std::any_of(model.kinds.begin(), model.kinds.end(), [](const LayerSpec& kind) {
    return std::holds_alternative<MultiHeadLatentAttention>(kind.mixer);
  });
}

const MixtureOfExperts* experts_of(const LayerSpec& layer) { return std::get_if<MixtureOfExperts>(&layer.mlp); }

const MixtureOfExperts* experts_of(const ModelSpec& model) {
  const int kind = expert_kind(model);
  return kind < 0 ? nullptr : experts_of(model.kind(kind));
}

int expert_kind(const ModelSpec& model) {
  for (int kind = 0; kind < model.kind_count(); ++kind) {
    if (experts_of(model.kind(kind)) != nullptr) return kind;
  }
  return -1;
}

std::int64_t expert_layers(const ModelSpec& model) {
  return std::count_if(model.layers.begin(), model.layers.end(),
                       [&](int kind) { return experts_of(model.kind(kind)) != nullptr; });
}

ModelSpec model_from_json(const base::Json& document, const std::string& file, const std::string& name) {
  Fields root(document, file);
  const bool wrapped = root.has("text_config") && find_family(root.text_or("model_type", "")) == nullptr;
  if (!wrapped) return read_fields(root, name);
  Fields text = root.object("text_config");
  return read_fields(text, name);
}

ModelSpec read_model(const std::string& path) {
  return model_from_json(base::load_json(path).value, path, std::filesystem::path(path).stem().string());
}

}  // namespace hourglass::model
