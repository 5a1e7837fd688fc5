#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/fields.h"

// What a model is, in the terms of the papers: read from a verbatim Hugging Face config.json (read_model).
namespace hourglass::model {

// Mixers: how the tokens of a sequence meet.
//
// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): a key-value head a query head, made from latents.
struct MultiHeadLatentAttention {
  std::int64_t heads = 0;
  std::int64_t q_lora_rank = 0;  // 0: the query is projected directly (DeepSeek-V2-Lite)
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
  bool bias = false;  // of the compressing projections and the output

  std::int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool operator==(const MultiHeadLatentAttention&) const = default;
};
// Multi-head if kv_heads == heads.
struct GroupedQueryAttention {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  bool qkv_bias = false;     // Qwen2
  bool output_bias = false;  // attention_bias of llama-like configs covers q, k, v and o
  bool qk_norm = false;      // Qwen3, GLM-4.5: RMSNorm over each head of q and k

  bool operator==(const GroupedQueryAttention&) const = default;
};
using Mixer = std::variant<MultiHeadLatentAttention, GroupedQueryAttention>;

// What follows the mixer.
struct DenseMlp {
  std::int64_t intermediate = 0;
  bool bias = false;

  bool operator==(const DenseMlp&) const = default;
};
enum class RouterScore : std::uint8_t { softmax, sigmoid };
struct MixtureOfExperts {
  std::int64_t routed_experts = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t expert_intermediate = 0;
  std::int64_t shared_intermediate = 0;  // total width of the shared experts; 0: none
  bool shared_gate = false;              // Qwen2-MoE multiplies the shared expert by a sigmoid gate
  std::int64_t groups = 1;               // group-limited routing: experts in `groups` groups,
  std::int64_t groups_per_token = 1;     // a token uses at most this many of them (topk_group)
  RouterScore score = RouterScore::softmax;
  bool correction_bias = false;  // aux-loss-free balancing bias, one value an expert (topk_method noaux_tc)

  bool operator==(const MixtureOfExperts&) const = default;
};
using Mlp = std::variant<DenseMlp, MixtureOfExperts>;

struct LayerSpec {
  Mixer mixer;
  Mlp mlp;

  bool operator==(const LayerSpec&) const = default;
};

struct ModelSpec {
  std::string name;    // file stem, for reports
  std::string family;  // model_type
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  std::vector<LayerSpec> kinds;  // of layers, no two equal
  std::vector<int> layers;       // the kind of each layer, a place in `kinds`
  std::int64_t mtp_modules = 0;  // multi-token prediction depth (num_nextn_predict_layers)
  bool tied_embeddings = false;
  std::int64_t max_position = 0;

  std::int64_t layer_count() const { return static_cast<std::int64_t>(layers.size()); }
  int kind_count() const { return static_cast<int>(kinds.size()); }
  const LayerSpec& kind(int number) const { return kinds[static_cast<std::size_t>(number)]; }
};

// Makes these the model's layers and numbers their kinds in order of appearance.
void set_layers(ModelSpec& model, const std::vector<LayerSpec>& layers);
// How many layers there are of each kind.
std::vector<std::int64_t> layers_of_kinds(const ModelSpec& model);
// "dense" or "MoE"; where two kinds would be called the same, with the mixer, "GQA dense", or else a number.
std::string kind_name(const ModelSpec& model, int kind);

std::int64_t heads_of(const Mixer& mixer);  // of queries
bool has_latents(const ModelSpec& model);   // whether a kind's mixer compresses into latents
// nullptr: none. A model's are those of its first kind with experts.
const MixtureOfExperts* experts_of(const LayerSpec& layer);
const MixtureOfExperts* experts_of(const ModelSpec& model);
int expert_kind(const ModelSpec& model);             // that kind; -1: none
std::int64_t expert_layers(const ModelSpec& model);  // how many layers have experts

// Reads a verbatim Hugging Face config.json of the families deepseek_v2, deepseek_v3, kimi_k2, glm4_moe, qwen3_moe,
// qwen2_moe, mixtral, llama, qwen2, qwen3; a text model wrapped in text_config is unwrapped. Unknown keys are allowed
// here, and only here. Throws base::Error for an unknown model_type, missing or impossible sizes.
ModelSpec read_model(const std::string& path);

// The same from a parsed document; `file` is only named in errors, `name` becomes ModelSpec::name.
ModelSpec model_from_json(const base::Json& document, const std::string& file, const std::string& name);

}  // namespace hourglass::model
