#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/pass.h"
#include "model/ops/operators.h"
#include "model/spec.h"

// What the operators of a layer depend on beside the layer: the parallel layout, the micro-batch, the precision, and
// what is recomputed; and the form that they come in.
namespace hourglass::model {

// What is recomputed in the backward pass instead of kept (Megatron-Core's names).
struct Recompute {
  bool norm = false, mla_up_proj = false, swiglu = false, moe_act = false, core_attn = false, full = false;
};
// From names; throws base::Error with a suggestion for an unknown one. "none" is allowed alone.
Recompute read_recompute(const std::vector<std::string>& names, const std::string& where);
std::vector<std::string> recompute_names(const Recompute& recompute);  // of what is recomputed
const std::vector<std::string>& precision_names();                     // in the order of Precision

// The work of one micro-batch: sequences x sequence_length tokens, whole (before context and tensor splitting).
struct MicroBatch {
  std::int64_t sequences = 1;
  std::int64_t sequence_length = 4096;
};

struct LayerContext {
  const ModelSpec* model = nullptr;
  Parallelism parallel;
  MicroBatch micro_batch;
  Precision precision = Precision::bf16;
  Recompute recompute;
  bool fp8_dispatch = true;  // with fp8_block: dispatch sends E4M3 with scales; combine is BF16
};

using base::Pass;

// A layer's pass in four parts. Forward runs attention, dispatch, mlp, combine; backward_input runs combine (the
// gradients are dispatched), mlp, dispatch (they are combined), attention. backward_weight has attention and mlp only.
// Dense layers have empty dispatch and combine. Recomputed operators are part of backward_input.
enum Part : std::size_t { attention = 0, dispatch = 1, mlp = 2, combine = 3 };
using LayerPass = std::array<std::vector<Operator>, 4>;

// Tokens of one micro-batch on one GPU before the tensor (sequence-parallel) split: sequences * length / context.
std::int64_t local_tokens(const LayerContext& context);

}  // namespace hourglass::model
