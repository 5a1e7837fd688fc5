#pragma once

#include <cstdint>

#include "kernels/math/arithmetic.h"
#include "kernels/math/attention.h"
#include "kernels/math/fp8.h"
#include "kernels/math/token_routing.h"

// Our own kernels, as host code calls them: pointers to device memory, row-major, enqueued on a stream. Activations are
// BF16 and computed with in FP32, what the CPU kernels of the same name do is the reference. Sizes that a kernel cannot
// take throw base::Error before anything is launched. Gradients of weights are added to what is there.
struct CUstream_st;

namespace hourglass::kernels::cuda {

using Stream = CUstream_st*;

struct Bf16 {
  std::uint16_t bits;
};

// y, dx[rows, width]; gain, dgain[width]; inverse_rms[rows]. width: a multiple of 8.
void rms_norm_forward(Stream stream, Bf16* y, float* inverse_rms, const Bf16* x, const float* gain, Index rows,
                      Index width, float epsilon);
void rms_norm_input_gradient(Stream stream, Bf16* dx, const Bf16* dy, const Bf16* x, const float* gain,
                             const float* inverse_rms, Index rows, Index width);
// workspace: rms_norm_strips(rows) x width.
Index rms_norm_strips(Index rows);
void rms_norm_weight_gradient(Stream stream, float* dgain, float* workspace, const Bf16* dy, const Bf16* x,
                              const float* inverse_rms, Index rows, Index width);

// In place, as Rotary<T> describes: `heads` vectors of `width` values, `step` apart, from column `first` of a row of
// `columns`; position: row mod length. direction 1, or -1 for the gradient. width, step, first, columns: even.
struct RotaryPlace {
  Index rows = 0, columns = 0, heads = 0, step = 0, first = 0, width = 0, length = 0;
};
void rotary(Stream stream, Bf16* x, const float* cosines, const float* sines, const RotaryPlace& place,
            float direction);

// gate_up[rows, 2 width] -> y[rows, width]. width: a multiple of 8.
void swiglu_forward(Stream stream, Bf16* y, const Bf16* gate_up, Index rows, Index width);
void swiglu_input_gradient(Stream stream, Bf16* dgate_up, const Bf16* dy, const Bf16* gate_up, Index rows, Index width);

void residual_add(Stream stream, Bf16* y, const Bf16* x, Index count);  // y += x
void cast(Stream stream, Bf16* to, const float* from, Index count);
void cast(Stream stream, float* to, const Bf16* from, Index count);
void transpose(Stream stream, Bf16* to, const Bf16* from, Index rows, Index columns);

// Master weights and gradients in FP32, moments in FP32 or, as DeepSeek-V3 keeps them (report, section 3.3.3), BF16;
// the BF16 weight of the next step is written in the same pass. `weight` may be null.
void adamw(Stream stream, const AdamW& options, float gradient_scale, float* master, Bf16* weight, float* m, float* v,
           const float* gradient, Index count);
void adamw(Stream stream, const AdamW& options, float gradient_scale, float* master, Bf16* weight, Bf16* m, Bf16* v,
           const float* gradient, Index count);

// FP8 codes with block scales as cuBLASLt takes them (CUDA 12.9+):
//   1 x 128, along the inner dimension: scales[ceil(inner / 128)][outer rounded up to 4];
//   128 x 128:                          scales[ceil(outer / 128)][ceil(inner / 128) rounded up to 4].
struct ScaledFp8 {
  std::uint8_t* codes = nullptr;
  float* scales = nullptr;
};
Index row_scale_count(Index outer, Index inner);
Index block_scale_count(Index outer, Index inner);
struct Fp8Options {
  Fp8Format format = e4m3;
  bool power_of_two = false;
};
// rows, width of x. `transposed` is [width, rows]; it may be left out of quantize_blocks. width, and rows where
// something is transposed: a multiple of 16.
void quantize_rows(Stream stream, ScaledFp8 y, const Bf16* x, Index rows, Index width, const Fp8Options& options);
void quantize_columns(Stream stream, ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                      const Fp8Options& options);
void quantize_blocks(Stream stream, ScaledFp8 y, ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                     const Fp8Options& options);
// One scale for the whole tensor, given: codes of x / scale.
void quantize_tensor(Stream stream, std::uint8_t* codes, const Bf16* x, float scale, Index count, Fp8Format format);
// SwiGLU and the cast of its result in one pass, and without it a round trip of BF16 through memory.
void swiglu_quantize(Stream stream, ScaledFp8 y, const Bf16* gate_up, Index rows, Index width,
                     const Fp8Options& options);

// Router<T>: weights[tokens, top_k], scores[tokens, experts], experts at most 512, groups and top_k at most 32.
void router_forward(Stream stream, const RouterShape& shape, std::int32_t* experts, float* weights, float* scores,
                    const float* logits, const float* bias, Index tokens);
void router_input_gradient(Stream stream, const RouterShape& shape, float* dlogits, const std::int32_t* experts,
                           const float* scores, const float* dweights, Index tokens);

// permutation_of on the device: stable, so the same as on the CPU. workspace: permutation_workspace(slots, experts)
// integers. experts at most 1024.
struct DevicePermutation {
  std::int32_t* offsets = nullptr;      // experts + 1
  std::int32_t* slot_of_row = nullptr;  // slots
  std::int32_t* row_of_slot = nullptr;  // slots
};
Index permutation_workspace(Index slots, Index experts);
void permutation(Stream stream, const DevicePermutation& p, std::int32_t* workspace,
                 const std::int32_t* experts_of_slots, Index slots, Index experts);
// rows[slots, width], x and y[slots / top_k, width]. width: a multiple of 8.
void permute_forward(Stream stream, Bf16* rows, const Bf16* x, const DevicePermutation& p, Index slots, Index top_k,
                     Index width);
void permute_input_gradient(Stream stream, Bf16* dx, const Bf16* drows, const DevicePermutation& p, Index tokens,
                            Index top_k, Index width);
void unpermute_forward(Stream stream, Bf16* y, const Bf16* rows, const float* weights, const DevicePermutation& p,
                       Index tokens, Index top_k, Index width);
void unpermute_input_gradient(Stream stream, Bf16* drows, float* dweights, const Bf16* dy, const Bf16* rows,
                              const float* weights, const DevicePermutation& p, Index tokens, Index top_k, Index width);

// to[i] = from[rows[i]];   y[i] = sum of rows[sources[offsets[i]]] to rows[sources[offsets[i + 1] - 1]], zeros for
// none.
void gather_rows(Stream stream, Bf16* to, const Bf16* from, const std::int32_t* rows, Index count, Index width);
void sum_rows(Stream stream, Bf16* y, const Bf16* rows, const std::int32_t* offsets, const std::int32_t* sources,
              Index count, Index width);

// Attention<T>, for the head widths (qk, v) of (64, 64), (128, 128) and (192, 128) = MLA. log_sum, delta: [tokens,
// heads]. `delta` is scratch of the gradient.
bool attention_supported(const AttentionShape& shape);
void attention_forward(Stream stream, const AttentionShape& shape, Bf16* o, float* log_sum, const Bf16* q,
                       const Bf16* k, const Bf16* v, Index tokens);
struct AttentionGradient {
  Bf16 *dq, *dk, *dv;
  float* delta;
};
void attention_input_gradient(Stream stream, const AttentionShape& shape, const AttentionGradient& gradient,
                              const Bf16* d_o, const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* o,
                              const float* log_sum, Index tokens);

}  // namespace hourglass::kernels::cuda
