#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/spec.h"
#include "planner/convert/megatron.h"

using namespace hourglass;

namespace {

planner::MegatronOptions options(std::int64_t gpus) { return {"script", "clusters/h100.json", "", gpus}; }

bool holds(const std::vector<std::string>& items, const std::string& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

}  // namespace

TEST_CASE("a launch script with variables, arrays, quotes and comments becomes a plan and a model") {
  const planner::MegatronImport imported = planner::import_megatron(R"(#!/bin/bash
TP=4          # tensor
PP=${PP:-2}
MODEL_ARGS=(
    --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336
    --num-attention-heads 32 --group-query-attention --num-query-groups 8
    --swiglu --untie-embeddings-and-output-weights --vocab_size 128256
)
EXTRA="--fp8-format hybrid --recompute-granularity selective"
torchrun --nproc_per_node 8 --nnodes=2 pretrain_gpt.py \
    ${MODEL_ARGS[@]} $EXTRA \
    --tensor-model-parallel-size $TP --sequence-parallel \
    --pipeline-model-parallel-size ${PP} \
    --num-virtual-stages-per-pipeline-rank 2 \
    --micro-batch-size 1 --global-batch-size 128 --seq-length 8192 \
    --lr 3e-4 --bf16 --quantum-flux 3
)",
                                                                    options(0));
  const base::Json& plan = imported.plan;
  CHECK(plan["gpus"] == 16);
  CHECK(plan["tensor_parallel"] == 4);
  CHECK(plan["pipeline_parallel"] == 2);
  CHECK(plan["schedule"] == "interleaved-1f1b");
  CHECK(plan["chunks"] == 2);
  CHECK(plan["layers_per_stage"] == base::Json({8, 8, 8, 8}));
  CHECK(plan["global_batch"] == 128);
  CHECK(plan["precision"] == "fp8_tensor");
  CHECK(plan["recompute"] == base::Json({"core_attn"}));
  CHECK(imported.unknown == std::vector<std::string>{"--quantum-flux"});
  CHECK(holds(imported.ignored, "--lr"));
  const model::ModelSpec model = model::model_from_json(imported.model, "model", "model");
  CHECK(model.layer_count() == 32);
  CHECK(std::get<model::GroupedQueryAttention>(model.kinds[0].mixer).kv_heads == 8);
  CHECK(std::get<model::GroupedQueryAttention>(model.kinds[0].mixer).head_dim == 128);
}

TEST_CASE("an MoE model with latent attention") {
  const planner::MegatronImport imported = planner::import_megatron(
      "--num-layers 61 --hidden-size 7168 --ffn-hidden-size 18432 --num-attention-heads 128 --multi-latent-attention "
      "--q-lora-rank 1536 --kv-lora-rank 512 --qk-head-dim 128 --qk-pos-emb-head-dim 64 --v-head-dim 128 --swiglu "
      "--num-experts 256 --moe-layer-freq \"([0]*3+[1]*58)\" --moe-ffn-hidden-size 2048 "
      "--moe-shared-expert-intermediate-size 2048 --moe-router-topk 8 --moe-router-num-groups 8 "
      "--moe-router-group-topk 4 --moe-router-score-function sigmoid --mtp-num-layers 1 --vocab-size 129280 "
      "--untie-embeddings-and-output-weights --pipeline-model-parallel-size 16 --expert-model-parallel-size 64 "
      "--pipeline-model-parallel-layout \"Ettt|(tttt|)*14mL\" --micro-batch-size 1 --seq-length 4096 "
      "--global-batch-size 15360 --fp8-recipe blockwise --moe-token-dispatcher-type flex",
      options(2048));
  const model::ModelSpec model = model::model_from_json(imported.model, "model", "model");
  CHECK(model::experts_of(model)->routed_experts == 256);
  CHECK(model.mtp_modules == 1);
  CHECK(model.layer_count() - model::expert_layers(model) == 3);
  CHECK(imported.plan["precision"] == "fp8_block");
  CHECK(imported.plan["layers_per_stage"].size() == 16);
  CHECK(imported.plan["expert_tensor_parallel"] == 1);
  CHECK(imported.plan["mtp"] == true);
  CHECK(imported.unknown.empty());
}

TEST_CASE("layouts are expanded") {
  CHECK(planner::parse_layout("E|(t|)*3,m|m||L", "x") == std::vector<std::int64_t>{0, 1, 1, 1, 0, 0, 0, 0});
  CHECK(planner::parse_layout("Et*3|(tt|t|)*2L", "x") == std::vector<std::int64_t>{3, 2, 1, 2, 1, 0});
  for (const char* wrong : {"(t", "t)", "x", "t*", "t*0", "((((((((((t))))))))))", "((t*9999)*9999)*9999"})
    CHECK_THROWS_AS(planner::parse_layout(wrong, "x"), base::Error);
}

TEST_CASE("what is missing or wrong is said") {
  const std::string base =
      "--num-layers 4 --hidden-size 512 --num-attention-heads 8 --micro-batch-size 1 --seq-length 512 ";
  CHECK_NOTHROW(planner::import_megatron(base, options(8)));
  CHECK_THROWS_AS(planner::import_megatron(base, options(0)), base::Error);
  CHECK_THROWS_AS(planner::import_megatron("nothing here", options(8)), base::Error);
  CHECK_THROWS_AS(planner::import_megatron(base + "--tensor-model-parallel-size 3", options(8)), base::Error);
  CHECK_THROWS_AS(planner::import_megatron(base + "--tensor-model-parallel-size $TP", options(8)), base::Error);
  CHECK_THROWS_AS(planner::import_megatron(base + "--num-experts 8 --moe-layer-freq 3", options(8)), base::Error);
  CHECK_THROWS_AS(planner::import_megatron("--num-layers 4", options(8)), base::Error);
}

TEST_CASE("a script that would grow without end, and sizes beyond all machines, are refused") {
  std::string script = "A0=xxxxxxxx\n";
  for (int i = 1; i < 40; ++i) {
    const std::string last = "${A" + std::to_string(i - 1) + "}";
    script += "A" + std::to_string(i) + "=" + last + last + "\n";
  }
  CHECK_THROWS_WITH_AS(planner::import_megatron(script + "--num-layers 4", options(8)), doctest::Contains("16 MiB"),
                       base::Error);
  CHECK_THROWS_WITH_AS(planner::parse_layout("((t*9999)*9999)*9999", "f"), doctest::Contains("too much"), base::Error);
  const std::string dense =
      "--num-layers 4 --hidden-size 512 --num-attention-heads 8 --seq-length 512 --micro-batch-size 1 ";
  for (const char* flags :
       {"--tensor-model-parallel-size 999999999999", "--num-layers 999999999999",
        "--num-virtual-stages-per-pipeline-rank 999999999", "--micro-batch-size 999999999999",
        "--nproc-per-node 999999999999", "--num-experts 8 --moe-layer-freq \"([0]*9223372036854775807+[1]*9)\""}) {
    CAPTURE(flags);
    CHECK_THROWS_AS(planner::import_megatron(dense + flags, options(8)), base::Error);
  }
}
