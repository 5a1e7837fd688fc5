#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"

// What a model is, in the terms of the papers: read from a verbatim Hugging Face config.json (read_model).
namespace hourglass::model {

enum class AttentionKind : std::uint8_t {
  mla,
  gqa
};  // multi-head latent; grouped-query (multi-head if kv_heads == heads)
enum class LayerKind : std::uint8_t { dense, moe };
enum class RouterScore : std::uint8_t { softmax, sigmoid };

struct AttentionSpec {
  AttentionKind kind = AttentionKind::gqa;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  // Per-head widths of query/key and value. MLA: qk = nope + rope; GQA: both head_dim.
  std::int64_t qk_head_dim = 0;
  std::int64_t v_head_dim = 0;
  // MLA only. q_lora_rank 0 means the query is projected directly (DeepSeek-V2-Lite).
  std::int64_t q_lora_rank = 0;
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  bool qkv_bias = false;     // Qwen2
  bool output_bias = false;  // attention_bias of llama-like configs covers q, k, v and o
  bool qk_norm = false;      // Qwen3, GLM-4.5: RMSNorm over each head of q and k
};

struct MoeSpec {
  std::int64_t routed_experts = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t expert_intermediate = 0;
  std::int64_t shared_intermediate = 0;  // total width of the shared experts; 0: none
  bool shared_gate = false;              // Qwen2-MoE multiplies the shared expert by a sigmoid gate
  std::int64_t groups = 1;               // group-limited routing: experts in `groups` groups,
  std::int64_t groups_per_token = 1;     // a token uses at most this many of them (topk_group)
  RouterScore score = RouterScore::softmax;
  bool correction_bias = false;  // aux-loss-free balancing bias, one value an expert (topk_method noaux_tc)
};

struct ModelSpec {
  std::string name;    // file stem, for reports
  std::string family;  // model_type
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  std::int64_t dense_intermediate = 0;
  std::vector<LayerKind> layers;
  AttentionSpec attention;
  MoeSpec moe;                   // routed_experts == 0 for a dense model
  std::int64_t mtp_modules = 0;  // multi-token prediction depth (num_nextn_predict_layers)
  bool tied_embeddings = false;
  bool mlp_bias = false;
  std::int64_t max_position = 0;

  std::int64_t layer_count() const { return static_cast<std::int64_t>(layers.size()); }
};

// Reads a verbatim Hugging Face config.json of the families deepseek_v2, deepseek_v3, kimi_k2, glm4_moe, qwen3_moe,
// qwen2_moe, mixtral, llama, qwen2, qwen3; a text model wrapped in text_config is unwrapped. Unknown keys are allowed
// here, and only here. Throws base::Error for an unknown model_type, missing or impossible sizes.
ModelSpec read_model(const std::string& path);

// The same from a parsed document; `file` is only named in errors, `name` becomes ModelSpec::name.
ModelSpec model_from_json(const base::Json& document, const std::string& file, const std::string& name);

}  // namespace hourglass::model
