// A plan as Megatron-LM's flags (megatron/training/arguments.py) and as its layout string. Megatron-LM runs
// 1f1b, interleaved 1f1b and, with --overlap-moe-expert-parallel-comm, the overlapped one; other schedules are named in a
// comment. Its data parallelism follows from the GPUs; tensor parallelism implies sequence parallelism here and there.
#include "planner/convert/plan_file.h"

#include <fmt/format.h>

namespace hourglass::planner {

namespace {

// Layers as Megatron-LM's --moe-layer-freq has them: "([0]*3+[1]*58)".
std::string layer_pattern(const std::vector<model::LayerKind>& layers) {
  std::string out;
  for (std::size_t begin = 0, end = 0; begin < layers.size(); begin = end) {
    while (end < layers.size() && layers[end] == layers[begin]) ++end;
    out +=
        fmt::format("{}[{}]*{}", out.empty() ? "" : "+", layers[begin] == model::LayerKind::moe ? 1 : 0, end - begin);
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

void add_model(Flags& flags, const sim::Inputs& in) {
  const model::ModelSpec& m = in.model;
  flags.add("--num-layers", m.layer_count());
  flags.add("--hidden-size", m.hidden);
  if (m.dense_intermediate > 0) flags.add("--ffn-hidden-size", m.dense_intermediate);
  flags.add("--num-attention-heads", m.attention.heads);
  if (m.attention.kind == model::AttentionKind::mla) {
    flags.add("--multi-latent-attention");
    if (m.attention.q_lora_rank > 0) flags.add("--q-lora-rank", m.attention.q_lora_rank);
    flags.add("--kv-lora-rank", m.attention.kv_lora_rank);
    flags.add("--qk-head-dim", m.attention.qk_nope_head_dim);
    flags.add("--qk-pos-emb-head-dim", m.attention.qk_rope_head_dim);
    flags.add("--v-head-dim", m.attention.v_head_dim);
  } else if (m.attention.kv_heads != m.attention.heads) {
    flags.add("--group-query-attention");
    flags.add("--num-query-groups", m.attention.kv_heads);
    flags.add("--kv-channels", m.attention.qk_head_dim);
  }
  flags.add("--swiglu");
  if (!m.tied_embeddings) flags.add("--untie-embeddings-and-output-weights");
  if (in.plan.mtp) flags.add("--mtp-num-layers", m.mtp_modules);
  if (m.moe.routed_experts == 0) return;
  flags.add("--num-experts", m.moe.routed_experts);
  flags.add("--moe-layer-freq", "\"" + layer_pattern(m.layers) + "\"");
  flags.add("--moe-ffn-hidden-size", m.moe.expert_intermediate);
  if (m.moe.shared_intermediate > 0) flags.add("--moe-shared-expert-intermediate-size", m.moe.shared_intermediate);
  flags.add("--moe-router-topk", m.moe.experts_per_token);
  if (m.moe.groups > 1) {
    flags.add("--moe-router-num-groups", m.moe.groups);
    flags.add("--moe-router-group-topk", m.moe.groups_per_token);
  }
  flags.add("--moe-router-score-function", m.moe.score == model::RouterScore::sigmoid ? "sigmoid" : "softmax");
  flags.add("--moe-grouped-gemm");
}

void add_parallelism(Flags& flags, const sim::Inputs& in) {
  const model::Parallelism& p = in.plan.parallel;
  flags.add("--tensor-model-parallel-size", p.tensor);
  if (p.tensor > 1) flags.add("--sequence-parallel");
  flags.add("--pipeline-model-parallel-size", p.pipeline);
  flags.add("--context-parallel-size", p.context);
  if (in.model.moe.routed_experts > 0) {
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
