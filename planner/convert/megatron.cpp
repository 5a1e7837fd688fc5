// Megatron-LM's flags (megatron/training/arguments.py and the configuration classes it takes them from) as a plan and,
// unless one is named, a model. Defaults are Megatron-LM's: data parallelism fills the GPUs, layers are split evenly over
// the stages, weight gradients are computed with the input gradients, FP8 scales whole tensors. A model becomes a
// config.json of the family that has its parts: llama or qwen3 (dense), mixtral or qwen3_moe (every layer with experts),
// glm4_moe (dense layers first, or shared experts), deepseek_v3 (multi-latent attention).
#include "planner/convert/megatron.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "planner/convert/megatron_flags.h"

namespace hourglass::planner {

namespace {

using base::Json;

// Products of three of the first fit into 64 bits.
constexpr std::int64_t most_gpus = 1'000'000, most_layers = 4096, most_sequences = 1'000'000;

class Importer {
 public:
  Importer(const std::string& text, const MegatronOptions& options) : flags_(text, options.file), options_(options) {}

  MegatronImport run() {
    layers_ = flags_.count("num-layers", options_.model.empty() ? -1 : 0, most_layers);
    experts_ = flags_.count("num-experts", 0);
    if (options_.model.empty()) add_model();
    add_parallelism();
    add_schedule();
    add_batch();
    add_precision();
    add_recompute();
    add_overlap();
    sort_unread();
    return std::move(out_);
  }

 private:
  void add_parallelism() {
    Json& plan = out_.plan;
    plan["name"] = "megatron";
    if (!options_.model.empty()) plan["model"] = options_.model;
    plan["cluster"] = options_.cluster;
    std::int64_t gpus = options_.gpus;
    const std::int64_t per_node = flags_.count("nproc-per-node", 0, most_gpus),
                       nodes = flags_.count("nnodes", 1, most_gpus);
    if (gpus == 0) gpus = per_node * nodes;
    if (gpus == 0) throw base::Error("does not say on how many GPUs it runs", options_.file, "give --gpus N");
    if (gpus > most_gpus)
      throw base::Error(fmt::format("{} GPUs are more than {}", gpus, most_gpus), options_.file, "give --gpus N");
    tensor_ = flags_.count("tensor-model-parallel-size", 1, most_gpus);
    pipeline_ = flags_.count("pipeline-model-parallel-size", 1, most_gpus);
    context_ = flags_.count("context-parallel-size", 1, most_gpus);
    plan["gpus"] = gpus;
    plan["tensor_parallel"] = tensor_;
    plan["pipeline_parallel"] = pipeline_;
    plan["context_parallel"] = context_;
    plan["expert_parallel"] = flags_.count("expert-model-parallel-size", 1);
    // Megatron-LM's default is the tensor parallelism.
    plan["expert_tensor_parallel"] = experts_ > 0 ? flags_.count("expert-tensor-parallel-size", tensor_) : 1;
    if (tensor_ * pipeline_ * context_ == 0 || gpus % (tensor_ * pipeline_ * context_) != 0)
      throw base::Error(fmt::format("{} GPUs are not a multiple of tensor x pipeline x context = {} x {} x {}", gpus,
                                    tensor_, pipeline_, context_),
                        options_.file, "give --gpus N");
    data_ = gpus / (tensor_ * pipeline_ * context_);
    if (tensor_ > 1 && !flags_.has("sequence-parallel"))
      out_.assumed.emplace_back("sequence parallelism, which the flags leave out");
    flags_.has("use-distributed-optimizer");
    const std::string sharding = flags_.text("data-parallel-sharding-strategy", "optim");
    if (sharding != "optim" && sharding != "no_shard")
      out_.assumed.push_back("ZeRO-1 in place of --data-parallel-sharding-strategy " + base::printable(sharding));
  }

  void add_schedule() {
    std::int64_t chunks = flags_.count("num-virtual-stages-per-pipeline-rank", 1, most_layers);
    const std::int64_t per_stage = flags_.count("num-layers-per-virtual-pipeline-stage", 0);
    if (per_stage > 0 && layers_ % (pipeline_ * per_stage) != 0)
      flags_.fail("num-layers-per-virtual-pipeline-stage",
                  fmt::format("{} layers do not fill {} ranks", layers_, pipeline_), "choose a divisor");
    if (per_stage > 0) chunks = layers_ / (pipeline_ * per_stage);
    std::vector<std::int64_t> split;
    if (flags_.has("pipeline-model-parallel-layout")) {
      split = parse_layout(flags_.text("pipeline-model-parallel-layout"),
                           options_.file + " --pipeline-model-parallel-layout");
      if (split.size() % static_cast<std::size_t>(pipeline_) != 0)
        flags_.fail("pipeline-model-parallel-layout",
                    fmt::format("{} stages are not a multiple of {} pipeline ranks", split.size(), pipeline_),
                    "correct it");
      chunks = static_cast<std::int64_t>(split.size()) / pipeline_;
    } else {
      split = even_split(pipeline_ * chunks);
    }
    const bool overlap = flags_.has("overlap-moe-expert-parallel-comm");
    out_.plan["schedule"] =
        chunks > 1 && pipeline_ > 1 ? (overlap ? "interleaved-overlap" : "interleaved-1f1b") : "1f1b";
    if (chunks > 1 && pipeline_ > 1) out_.plan["chunks"] = chunks;
    if (overlap && chunks == 1)
      out_.assumed.emplace_back("no overlap of expert-parallel communication: it needs virtual stages");
    if (!split.empty()) out_.plan["layers_per_stage"] = split;
  }

  std::vector<std::int64_t> even_split(std::int64_t stages) {
    const std::int64_t first = flags_.count("decoder-first-pipeline-num-layers", 0),
                       last = flags_.count("decoder-last-pipeline-num-layers", 0);
    const std::int64_t between = stages - (first > 0) - (last > 0);
    if (layers_ == 0 || stages == 1) return {};
    if (between < 1 || stages > most_layers || (layers_ - first - last) % between != 0 || first + last > layers_) {
      out_.assumed.push_back(fmt::format("a balanced split: {} layers do not divide over {} stages", layers_, stages));
      return {};
    }
    std::vector<std::int64_t> split(static_cast<std::size_t>(stages), (layers_ - first - last) / between);
    if (first > 0) split.front() = first;
    if (last > 0) split.back() = last;
    return split;
  }

  void add_batch() {
    const std::int64_t micro_batch = flags_.count("micro-batch-size", -1, most_sequences);
    out_.plan["micro_batch"] = micro_batch;
    out_.plan["sequence_length"] = flags_.count("seq-length", -1);
    out_.plan["global_batch"] = flags_.count("global-batch-size", micro_batch * data_);
    if (flags_.has("rampup-batch-size"))
      out_.assumed.emplace_back("the full batch from the start: add a batch_ramp to a training stage");
  }

  void add_precision() {
    std::string precision = "bf16";
    if (flags_.has("fp8-format") || flags_.has("fp8-recipe")) {
      const std::string recipe = flags_.text("fp8-recipe", "delayed");
      precision = recipe == "blockwise" ? "fp8_block" : "fp8_tensor";
      if (recipe != "blockwise" && recipe != "delayed" && recipe != "tensorwise")
        out_.assumed.push_back("tensorwise scales in place of --fp8-recipe " + base::printable(recipe));
    }
    flags_.has("bf16");
    if (flags_.has("fp16")) out_.assumed.emplace_back("BF16 in place of FP16, which takes the same time");
    out_.plan["precision"] = precision;
  }

  void add_recompute() {
    const std::string granularity = flags_.text("recompute-granularity");
    const std::vector<std::string> modules = flags_.texts("recompute-modules");
    flags_.text("recompute-method");
    const std::int64_t some = flags_.count("recompute-num-layers", 0);
    Json names = Json::array();
    if (granularity == "full") {
      names.push_back("full");
      if (some > 1) out_.assumed.emplace_back("full recomputation of every layer, whatever --recompute-num-layers");
    }
    if (granularity == "selective" && modules.empty()) names.push_back("core_attn");
    if (granularity == "selective") {
      for (const std::string& module : modules) {
        const std::string name = module == "layernorm" ? "norm" : module;
        if (name == "norm" || name == "mla_up_proj" || name == "moe_act" || name == "core_attn")
          names.push_back(name);
        else
          out_.assumed.push_back("nothing for --recompute-modules " + base::printable(module) +
                                 ", which is not modelled");
      }
    }
    if (flags_.has("recompute-activations") && names.empty()) names.push_back("core_attn");
    if (!names.empty()) out_.plan["recompute"] = names;
  }

  void add_overlap() {
    Json& plan = out_.plan;
    plan["mtp"] = flags_.count("mtp-num-layers", 0) > 0;
    if (plan["expert_parallel"] > 1) {
      const std::string backend = flags_.text("moe-flex-dispatcher-backend"),
                        dispatcher = flags_.text("moe-token-dispatcher-type");
      plan["communication_sms"] = flags_.count("moe-deepep-num-sms", 20);
      if (dispatcher != "flex")
        out_.assumed.push_back("DeepEP's dispatch and combine in place of the dispatcher " +
                               (dispatcher.empty() ? std::string("allgather") : base::printable(dispatcher)));
    }
    plan["overlap_weight_gradients"] = flags_.has("delay-wgrad-compute");
    if (flags_.has("overlap-grad-reduce")) plan["overlap_gradient_reduce"] = true;
    if (flags_.has("overlap-param-gather")) plan["overlap_parameter_gather"] = true;
  }

  std::int64_t default_ffn(std::int64_t hidden) const {
    // arguments.py: SwiGLU's two thirds of 4 x hidden, a multiple of 64.
    return swiglu_ ? hidden * 8 / 3 / 64 * 64 : 4 * hidden;
  }

  void add_model() {
    const std::int64_t hidden = flags_.count("hidden-size", -1), heads = flags_.count("num-attention-heads", -1);
    swiglu_ = flags_.has("swiglu");
    if (!swiglu_) out_.assumed.emplace_back("SwiGLU: the flags ask for another activation");
    const std::int64_t ffn = flags_.count("ffn-hidden-size", default_ffn(hidden));
    Json& m = out_.model;
    const bool latent = flags_.has("multi-latent-attention"), norm = flags_.has("qk-layernorm");
    m["model_type"] = latent ? "deepseek_v3" : norm ? "qwen3" : "llama";
    m["hidden_size"] = hidden;
    m["num_hidden_layers"] = layers_;
    m["num_attention_heads"] = heads;
    m["intermediate_size"] = ffn;
    std::int64_t vocabulary = flags_.count("vocab-size", flags_.count("padded-vocab-size", 0));
    if (vocabulary == 0) {
      vocabulary = 128256;
      out_.assumed.emplace_back("a vocabulary of 128256, which comes from the tokenizer");
    }
    m["vocab_size"] = vocabulary;
    m["max_position_embeddings"] = flags_.count("max-position-embeddings", flags_.count("seq-length", 4096));
    m["tie_word_embeddings"] = !flags_.has("untie-embeddings-and-output-weights");
    if (latent)
      add_latent(m, heads);
    else
      add_grouped(m, heads, hidden);
    if (experts_ > 0) add_experts(m, latent, norm, ffn);
    if (latent && experts_ == 0)
      throw base::Error("multi-latent attention without experts is of no family that is known", options_.file,
                        "name a config.json with --model");
  }

  void add_latent(Json& m, std::int64_t heads) {
    m["num_key_value_heads"] = heads;
    const std::int64_t q_rank = flags_.count("q-lora-rank", 0);
    m["q_lora_rank"] = q_rank > 0 ? Json(q_rank) : Json(nullptr);
    m["kv_lora_rank"] = flags_.count("kv-lora-rank", 512);
    m["qk_nope_head_dim"] = flags_.count("qk-head-dim", 128);
    m["qk_rope_head_dim"] = flags_.count("qk-pos-emb-head-dim", 64);
    m["v_head_dim"] = flags_.count("v-head-dim", 128);
    m["num_nextn_predict_layers"] = flags_.count("mtp-num-layers", 0);
  }

  void add_grouped(Json& m, std::int64_t heads, std::int64_t hidden) {
    const bool grouped = flags_.has("group-query-attention");
    const std::int64_t groups = flags_.count("num-query-groups", 1);
    m["num_key_value_heads"] = grouped ? groups : heads;
    if (heads > 0) m["head_dim"] = flags_.count("kv-channels", hidden / heads);
  }

  // "([0]*3+[1]*58)", "1", or "2": every second layer.
  std::int64_t dense_first() {
    const std::string pattern = flags_.text("moe-layer-freq", "1");
    if (pattern == "1") return 0;
    std::int64_t dense = 0;
    int used = 0;
    const std::string wanted = pattern;
    long long zeros = 0, ones = 0;
    if (std::sscanf(wanted.c_str(), "([0]*%lld+[1]*%lld)%n", &zeros, &ones, &used) == 2 &&
        static_cast<std::size_t>(used) == wanted.size() && zeros >= 0 && zeros <= layers_ && ones == layers_ - zeros) {
      dense = zeros;
    } else {
      flags_.fail("moe-layer-freq", "'" + base::printable(pattern) + "' is not understood",
                  "write \"([0]*D+[1]*M)\", or name a config.json with --model");
    }
    return dense;
  }

  void add_experts(Json& m, bool latent, bool norm, std::int64_t ffn) {
    const std::int64_t width = flags_.count("moe-ffn-hidden-size", ffn), top_k = flags_.count("moe-router-topk", 2);
    const std::int64_t shared = flags_.count("moe-shared-expert-intermediate-size", 0), dense = dense_first();
    const bool plain = !latent && shared == 0 && dense == 0;
    if (!latent) m["model_type"] = plain ? (norm ? "qwen3_moe" : "mixtral") : "glm4_moe";
    m["num_experts_per_tok"] = top_k;
    if (plain && !norm) {
      m["num_local_experts"] = experts_;
      m["intermediate_size"] = width;
      return;
    }
    m["moe_intermediate_size"] = width;
    if (plain) {
      m["num_experts"] = experts_;
      return;
    }
    if (width == 0 || shared % width != 0)
      flags_.fail("moe-shared-expert-intermediate-size",
                  fmt::format("{} is not a multiple of the experts' width {}", shared, width),
                  "name a config.json with --model");
    m["n_routed_experts"] = experts_;
    m["n_shared_experts"] = shared / width;
    m["first_k_dense_replace"] = dense;
    m["n_group"] = flags_.count("moe-router-num-groups", 1);
    m["topk_group"] = flags_.count("moe-router-group-topk", 1);
    if (latent) {
      const std::string score = flags_.text("moe-router-score-function", "softmax");
      m["scoring_func"] = score;
      m["topk_method"] = "noaux_tc";
    } else {
      m["use_qk_norm"] = norm;
    }
  }

  // Flags about the optimizer's course, data, logs and checkpoints, and kernels that are taken for granted.
  static bool without_effect(const std::string& name) {
    static const char* const beginnings[] = {"lr",
                                             "min-lr",
                                             "weight-decay",
                                             "adam",
                                             "clip-grad",
                                             "init-method",
                                             "save",
                                             "load",
                                             "data-",
                                             "dataset",
                                             "tokenizer",
                                             "vocab-file",
                                             "merge-file",
                                             "log-",
                                             "eval",
                                             "tensorboard",
                                             "wandb",
                                             "train-",
                                             "seed",
                                             "split",
                                             "distributed-backend",
                                             "distributed-timeout",
                                             "dist-ckpt",
                                             "ckpt",
                                             "master-",
                                             "node-rank",
                                             "rdzv",
                                             "transformer-impl",
                                             "attention-backend",
                                             "attention-dropout",
                                             "hidden-dropout",
                                             "attention-softmax",
                                             "use-flash-attn",
                                             "position-embedding",
                                             "rotary",
                                             "use-rotary",
                                             "no-rope",
                                             "normalization",
                                             "norm-epsilon",
                                             "disable-bias",
                                             "no-",
                                             "moe-router",
                                             "moe-aux",
                                             "moe-grouped",
                                             "moe-permute",
                                             "moe-enable",
                                             "moe-z-loss",
                                             "moe-token",
                                             "moe-flex",
                                             "mtp-loss",
                                             "manual-gc",
                                             "exit-",
                                             "override",
                                             "use-mcore",
                                             "use-checkpoint",
                                             "num-workers",
                                             "mmap",
                                             "cross-entropy",
                                             "initial-loss",
                                             "loss-scale",
                                             "timing",
                                             "profile",
                                             "make-vocab",
                                             "beta-",
                                             "mscale",
                                             "use-dist",
                                             "enable-",
                                             "check-",
                                             "accumulate",
                                             "mock-data",
                                             "spec"};
    return name == "optimizer" || std::any_of(std::begin(beginnings), std::end(beginnings),
                                              [&](const char* beginning) { return name.starts_with(beginning); });
  }

  void sort_unread() {
    for (const std::string& name : flags_.unread())
      (without_effect(name) ? out_.ignored : out_.unknown).push_back("--" + base::printable(name));
  }

  MegatronFlags flags_;
  const MegatronOptions& options_;
  MegatronImport out_;
  std::int64_t layers_ = 0, experts_ = 0, tensor_ = 1, pipeline_ = 1, context_ = 1, data_ = 1;
  bool swiglu_ = true;
};

// Expands x*n and (...)*n from `at` on, up to a closing parenthesis or the end.
std::string expand(const std::string& text, std::size_t& at, int depth, const std::string& where) {
  const auto wrong = [&](const std::string& what) -> base::Error {
    return base::Error(what + " in '" + base::printable(text) + "'", where, "write for instance E|(t|)*3,m|m||L");
  };
  if (depth > 8) throw wrong("too many parentheses");
  std::string out;
  while (at < text.size() && text[at] != ')') {
    std::string item(1, text[at]);
    if (text[at] == '(') {
      item = expand(text, ++at, depth + 1, where);
      if (at >= text.size()) throw wrong("a parenthesis is not closed");
    } else if (std::string("EtmL|").find(text[at]) == std::string::npos) {
      throw wrong("there is an unknown letter");
    }
    ++at;
    std::int64_t times = 1;
    if (at < text.size() && text[at] == '*') {
      times = 0;
      while (++at < text.size() && text[at] >= '0' && text[at] <= '9' && times < 10000)
        times = times * 10 + (text[at] - '0');
      if (times == 0 || times >= 10000) throw wrong("a number of repeats is missing");
    }
    if (out.size() + item.size() * static_cast<std::size_t>(times) > 100000) throw wrong("there is too much");
    for (std::int64_t i = 0; i < times; ++i) out += item;
  }
  return out;
}

}  // namespace

std::vector<std::int64_t> parse_layout(const std::string& layout, const std::string& where) {
  std::string text = layout;
  std::erase_if(text, [](char c) { return c == ',' || c == ' '; });
  std::size_t at = 0;
  const std::string all = expand(text, at, 0, where);
  if (at != text.size()) throw base::Error("a parenthesis is not opened in '" + base::printable(layout) + "'", where);
  std::vector<std::int64_t> layers(1, 0);
  for (const char c : all) {
    if (c == '|')
      layers.push_back(0);
    else if (c == 't')
      ++layers.back();
  }
  return layers;
}

MegatronImport import_megatron(const std::string& text, const MegatronOptions& options) {
  return Importer(text, options).run();
}

}  // namespace hourglass::planner
