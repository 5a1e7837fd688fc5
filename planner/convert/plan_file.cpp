// A plan as Megatron-LM's flags (megatron/training/arguments.py) and as its layout string. Megatron-LM runs
// 1f1b, interleaved 1f1b and, with --overlap-moe-expert-parallel-comm, the overlapped one; other schedules are named in a
// comment. Its data parallelism follows from the GPUs; tensor parallelism implies sequence parallelism here and there.
#include "planner/convert/plan_file.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
namespace hourglass::planner {

namespace {

// Layers as Megatron-LM's --moe-layer-freq has them: "([0]*3+[1]*58)".
std::string layer_pattern(const model::ModelSpec& m) {
  std::vector<bool> sparse;
  for (const int kind : m.layers) sparse.push_back(model::experts_of(m.kind(kind)) != nullptr);
  std::string out;
  for (std::size_t begin = 0, end = 0; begin < sparse.size(); begin = end) {
    while (end < sparse.size() && sparse[end] == sparse[begin]) ++end;
    out += fmt::format("{}[{}]*{}", out.empty() ? "" : "+", sparse[begin] ? 1 : 0, end - begin);
  }
  return "(" + out + ")";
}

class Flags {
 public:
  void add(const std::string& flag) { text_ += flag + "\n"; }
  template <class Value>
  void add(const std::string& flag, const Value& value) {
    text_ += fmt::format("{} {}\n", flag, value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What the flags say of the mixer.
struct MixerFlags {
  Flags& flags;

  void operator()(const model::MultiHeadLatentAttention& a) const {
    flags.add("--num-attention-heads", a.heads);
    flags.add("--multi-latent-attention");
    if (a.q_lora_rank > 0) flags.add("--q-lora-rank", a.q_lora_rank);
    flags.add("--kv-lora-rank", a.kv_lora_rank);
    flags.add("--qk-head-dim", a.qk_nope_head_dim);
    flags.add("--qk-pos-emb-head-dim", a.qk_rope_head_dim);
    flags.add("--v-head-dim", a.v_head_dim);
  }
  void operator()(const model::GroupedQueryAttention& a) const {
    flags.add("--num-attention-heads", a.heads);
    if (a.kv_heads == a.heads) return;
    flags.add("--group-query-attention");
    flags.add("--num-query-groups", a.kv_heads);
    flags.add("--kv-channels", a.head_dim);
  }
};

// The flags say a thing once for all layers that have it.
void check_layers_agree(const model::ModelSpec& m) {
  for (const model::LayerSpec& a : m.kinds) {
    for (const model::LayerSpec& b : m.kinds) {
      if (a.mixer == b.mixer && (a.mlp.index() != b.mlp.index() || a.mlp == b.mlp)) continue;
      throw base::Error("its layers differ in what Megatron-LM's flags say of all of them", m.name,
                        "write the plan in another format");
    }
  }
}

void add_experts(Flags& flags, const model::ModelSpec& m, const model::MixtureOfExperts& experts) {
  flags.add("--num-experts", experts.routed_experts);
  flags.add("--moe-layer-freq", "\"" + layer_pattern(m) + "\"");
  flags.add("--moe-ffn-hidden-size", experts.expert_intermediate);
  if (experts.shared_intermediate > 0) flags.add("--moe-shared-expert-intermediate-size", experts.shared_intermediate);
  flags.add("--moe-router-topk", experts.experts_per_token);
  if (experts.groups > 1) {
    flags.add("--moe-router-num-groups", experts.groups);
    flags.add("--moe-router-group-topk", experts.groups_per_token);
  }
  flags.add("--moe-router-score-function", experts.score == model::RouterScore::sigmoid ? "sigmoid" : "softmax");
  flags.add("--moe-grouped-gemm");
}

void add_model(Flags& flags, const sim::Inputs& in) {
  const model::ModelSpec& m = in.model;
  check_layers_agree(m);
  flags.add("--num-layers", m.layer_count());
  flags.add("--hidden-size", m.hidden);
  for (const model::LayerSpec& kind : m.kinds) {
    if (const auto* dense = std::get_if<model::DenseMlp>(&kind.mlp))
      flags.add("--ffn-hidden-size", dense->intermediate);
  }
  std::visit(MixerFlags{flags}, m.kinds.front().mixer);
  flags.add("--swiglu");
  if (!m.tied_embeddings) flags.add("--untie-embeddings-and-output-weights");
  if (in.plan.mtp) flags.add("--mtp-num-layers", m.mtp_modules);
  if (const model::MixtureOfExperts* experts = model::experts_of(m)) add_experts(flags, m, *experts);
}

void add_parallelism(Flags& flags, const sim::Inputs& in) {
  const model::Parallelism& p = in.plan.parallel;
  flags.add("--tensor-model-parallel-size", p.tensor);
  if (p.tensor > 1) flags.add("--sequence-parallel");
  flags.add("--pipeline-model-parallel-size", p.pipeline);
  flags.add("--context-parallel-size", p.context);
  if (model::experts_of(in.model) != nullptr) {
    flags.add("--expert-model-parallel-size", p.expert);
    flags.add("--expert-tensor-parallel-size", p.expert_tensor);
    flags.add("--moe-token-dispatcher-type", "flex");
    flags.add("--moe-flex-dispatcher-backend", "deepep");
    if (in.plan.communication_sms > 0) flags.add("--moe-deepep-num-sms", in.plan.communication_sms);
  }
  flags.add("--use-distributed-optimizer");
  flags.add("--micro-batch-size", in.plan.micro_batch.sequences);
  flags.add("--global-batch-size", in.plan.global_batch);
  flags.add("--seq-length", in.plan.micro_batch.sequence_length);
}

void add_precision(Flags& flags, const sim::Plan& plan) {
  flags.add("--bf16");
  if (plan.precision == model::Precision::bf16) return;
  flags.add("--fp8-format", plan.precision == model::Precision::fp8_block ? "e4m3" : "hybrid");
  flags.add("--fp8-recipe", plan.precision == model::Precision::fp8_block ? "blockwise" : "tensorwise");
}

void add_recompute(Flags& flags, const model::Recompute& recompute) {
  if (recompute.full) {
    flags.add("--recompute-granularity", "full");
    flags.add("--recompute-method", "uniform");
    flags.add("--recompute-num-layers", 1);
    return;
  }
  std::string modules;
  if (recompute.core_attn) modules += " core_attn";
  if (recompute.norm) modules += " layernorm";
  if (recompute.mla_up_proj) modules += " mla_up_proj";
  if (recompute.moe_act || recompute.swiglu) modules += " moe_act";
  if (modules.empty()) return;
  flags.add("--recompute-granularity", "selective");
  flags.add("--recompute-modules" + modules);
}

}  // namespace

std::string layout_string(const sim::Inputs& inputs, const std::vector<std::int64_t>& layers_per_stage) {
  std::vector<std::string> stages;
  for (std::size_t s = 0; s < layers_per_stage.size(); ++s) {
    std::string stage = s == 0 ? "E" : "";
    stage += std::string(static_cast<std::size_t>(layers_per_stage[s]), 't');
    if (s + 1 == layers_per_stage.size()) {
      if (inputs.plan.mtp) stage += std::string(static_cast<std::size_t>(inputs.model.mtp_modules), 'm');
      stage += "L";
    }
    stages.push_back(std::move(stage));
  }
  std::string out;
  for (std::size_t begin = 0, end = 0; begin < stages.size(); begin = end) {
    while (end < stages.size() && stages[end] == stages[begin]) ++end;
    const bool last = end == stages.size();
    if (end - begin > 1)
      out += fmt::format("({}|)*{}", stages[begin], end - begin);
    else
      out += stages[begin] + (last ? "" : "|");
  }
  return out;
}

std::string megatron_flags(const sim::Inputs& inputs, const std::vector<std::int64_t>& layers_per_stage) {
  Flags flags;
  const sim::Plan& plan = inputs.plan;
  const bool looped = plan.schedule == "interleaved-1f1b" || plan.schedule == "interleaved-overlap";
  if (plan.schedule != "1f1b" && !looped)
    flags.add(fmt::format("# Megatron-LM has no schedule {}: it runs 1f1b with these flags", plan.schedule));
  flags.add(fmt::format("# {} GPUs, data parallelism {}", plan.gpus, plan.parallel.data));
  add_parallelism(flags, inputs);
  if (looped) flags.add("--num-virtual-stages-per-pipeline-rank", plan.chunks);
  if (plan.schedule == "interleaved-overlap") {
    flags.add("--overlap-moe-expert-parallel-comm");
    flags.add("--delay-wgrad-compute");
  }
  if ((looped || plan.schedule == "1f1b") && plan.parallel.pipeline > 1)
    flags.add("--pipeline-model-parallel-layout", "\"" + layout_string(inputs, layers_per_stage) + "\"");
  add_precision(flags, plan);
  add_recompute(flags, plan.recompute);
  add_model(flags, inputs);
  return flags.text();
}

}  // namespace hourglass::planner
