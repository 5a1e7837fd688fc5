#pragma once

#include <cstdint>
#include <vector>

#include "model/context.h"

// A linear layer on one GPU, and the sizes that every part of a layer needs: internal to model/.
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
  std::int64_t tokens;   // sequences * q_length
  std::int64_t shard;    // tokens / tensor: what sequence-parallel parts work on
  std::int64_t kv_rows;  // sequences * kv_length: after gathering over context
  std::int64_t hidden;
  Precision precision;
  bool fp8_block;  // DeepSeek-V3's recipe, quantised by its own kernels wherever tensors are kept or sent
  Dtype stored;    // of what kernels between linear layers write: E4M3 under fp8_block
};

// One of `parts` parts of a width, at least 1.
std::int64_t share(std::int64_t whole, std::int64_t parts);
inline constexpr double bf16_size = bytes_of(Dtype::bf16);
double bf16_bytes(std::int64_t rows, std::int64_t width);

Linear mtp_linear(const LayerContext& context);
Linear head_linear(const LayerContext& context);

// Bytes an element of a linear layer's input as it is kept. fp8_tensor keeps the copy along tokens; what other kernels
// need beside it stays BF16.
double stored_size(const Shapes& shapes);
// Bytes of both operands of the weight gradient.
double weight_operands(const Linear& linear, const Shapes& shapes);

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

}  // namespace hourglass::model
