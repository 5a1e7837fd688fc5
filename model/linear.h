#pragma once

#include <cstdint>
#include <vector>

#include "model/layers.h"

// The linear layers of a transformer layer on one GPU: internal to model/, shared by its operator lists and its memory.
namespace hourglass::model {

using Operators = std::vector<Operator>;

// y[rows, out] = x[rows, in] w[out, in]^T on this GPU; `groups` > 1 are the local routed experts, rows their total.
struct Linear {
  const char* name = "";
  std::int64_t rows = 0, in = 0, out = 0;
  std::int64_t groups = 1;
  bool routed = false;
};

// Sizes that every part of a layer needs, on one GPU.
struct Shapes {
  explicit Shapes(const LayerContext& context);
  std::int64_t tensor, context, expert, expert_tensor;
  std::int64_t sequences, q_length, kv_length;
  std::int64_t tokens;                   // sequences * q_length
  std::int64_t shard;                    // tokens / tensor: what sequence-parallel parts work on
  std::int64_t kv_rows;                  // sequences * kv_length: after gathering over context
  std::int64_t hidden, heads, kv_heads;  // heads on this GPU
  Precision precision;
  bool fp8_block;  // DeepSeek-V3's recipe, quantised by its own kernels wherever tensors are kept or sent
  Dtype stored;    // of what kernels between linear layers write: E4M3 under fp8_block
};

struct AttentionLinears {
  std::vector<Linear> input;  // from the hidden state: q_a and kv_a (MLA), or one fused qkv
  std::vector<Linear> up;     // MLA: from the latents to heads
  Linear output;
};
AttentionLinears attention_linears(const LayerContext& context);

// Whether the weight gradient waits for the weight pass. The projection of gathered latents does not: under context
// parallelism its operands are as long as the whole sequence, too large to keep.
bool defers_weight(const LayerContext& context, const Linear& linear);

struct MlpLinears {
  Linear gate_up, down;
};
MlpLinears dense_linears(const LayerContext& context);
MlpLinears shared_linears(const LayerContext& context);  // rows 0 if there is no shared expert
MlpLinears expert_linears(const LayerContext& context);
// Tokens that arrive at this GPU's experts, each counted once, before the split over expert_tensor.
std::int64_t arriving_tokens(const LayerContext& context);
Linear mtp_linear(const LayerContext& context);
Linear head_linear(const LayerContext& context);

// Operators of a linear layer. Under FP8 (DeepSeek-V3 report, section 3.3): the input is quantised in 1x128 tiles, the
// gradient likewise; the weight (128x128) is transposed for the input gradient; both operands of the weight gradient
// are quantised again along tokens. `cast_input` false: the producer already wrote FP8.
//
// Under fp8_tensor (Transformer Engine's tensorwise recipes; Hopper multiplies FP8 only with both operands along k):
// one kernel quantises the input, and later the gradient, and writes it along both dimensions; weights are quantised
// once a step, which is not counted.
void add_forward(Operators& list, const Linear& linear, Precision precision, bool cast_input = true);
void add_backward_input(Operators& list, const Linear& linear, Precision precision);
void add_backward_weight(Operators& list, const Linear& linear, Precision precision);
Dtype operand_dtype(Precision precision);  // of a GEMM's inputs
void add_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width, Dtype from, Dtype to,
              bool transpose = false);
// From BF16, written along both dimensions by one kernel.
void add_double_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width);

// The two halves of a layer (attention.cpp, mlp.cpp).
void add_attention_forward(Operators& list, const LayerContext& context, LayerKind kind);
void add_attention_backward_input(Operators& list, const LayerContext& context, LayerKind kind);
void add_attention_backward_weight(Operators& list, const LayerContext& context, LayerKind kind);
void add_mlp_forward(LayerPass& pass, const LayerContext& context, LayerKind kind);
void add_mlp_backward_input(LayerPass& pass, const LayerContext& context, LayerKind kind);
void add_mlp_backward_weight(LayerPass& pass, const LayerContext& context, LayerKind kind);

}  // namespace hourglass::model
