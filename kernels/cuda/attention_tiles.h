#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/types.h"

// What attention's kernels, forward and gradient, have in common: tiles in shared memory and products of them.
namespace hourglass::kernels::cuda {

constexpr int pad = 8;         // BF16 values after each row, against bank conflicts
constexpr int warp_rows = 16;  // of a result, for a warp
constexpr float log2_e = 1.44269504f;

struct AttentionSizes {
  int length, heads, kv_heads;
  bool causal;
  float scale;
};

// Of a call, checked. Throws base::Error for what there is no kernel for. In attention.cu.
AttentionSizes attention_sizes(const AttentionShape& a, Index tokens);

// Rows [first, first + rows) of a head into shared memory, in the background; zeros beyond `length`.
template <int dim>
HOURGLASS_DEVICE void load_tile(Bf16* tile, const Bf16* head, Index stride, int first, int rows, int length) {
  constexpr int pieces = dim / 8;
  for (int i = thread_index(); i < rows * pieces; i += block_threads()) {
    const int r = i / pieces, c = i % pieces * 8;
    const bool valid = first + r < length;
    copy_async(tile + r * (dim + pad) + c, head + (valid ? first + r : 0) * stride + c, valid);
  }
}

// c[16, 8 tiles] = a[16, dim] b[8 tiles, dim]^T, both row by row in shared memory.
template <int dim, int tiles>
HOURGLASS_DEVICE void multiply_rows(float (&c)[tiles][4], const Bf16* a, const Bf16* b) {
  const int lane = lane_index();
  const Bf16* row_of_a = a + lane % 16 * (dim + pad) + lane / 16 * 8;
  const Bf16* row_of_b = b + (lane / 16 * 8 + lane % 8) * (dim + pad) + lane / 8 % 2 * 8;
  HOURGLASS_UNROLL
  for (int n = 0; n < tiles; ++n) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0f;
  HOURGLASS_UNROLL
  for (int k = 0; k < dim; k += 16) {
    std::uint32_t left[4], right[4];
    load_matrices(left, row_of_a + k);
    HOURGLASS_UNROLL
    for (int n = 0; n < tiles; n += 2) {
      load_matrices(right, row_of_b + n * 8 * (dim + pad) + k);
      multiply_bf16(c[n], left, right[0], right[1]);
      multiply_bf16(c[n + 1], left, right[2], right[3]);
    }
  }
}

// c[16, dim] += p[16, 8 tiles] b[8 tiles, dim]: p as the accumulators of multiply_rows hold it, which is, rounded to
// BF16, how the tensor cores want their left operand.
template <int dim, int tiles>
HOURGLASS_DEVICE void multiply_columns(float (&c)[dim / 8][4], const float (&p)[tiles][4], const Bf16* b) {
  const int lane = lane_index();
  const Bf16* row_of_b = b + lane % 16 * (dim + pad) + lane / 16 * 8;
  HOURGLASS_UNROLL
  for (int k = 0; k < tiles; k += 2) {
    const std::uint32_t left[4] = {pack(p[k][0], p[k][1]), pack(p[k][2], p[k][3]), pack(p[k + 1][0], p[k + 1][1]),
                                   pack(p[k + 1][2], p[k + 1][3])};
    HOURGLASS_UNROLL
    for (int n = 0; n < dim / 8; n += 2) {
      std::uint32_t right[4];
      load_matrices_transposed(right, row_of_b + k * 8 * (dim + pad) + n * 8);
      multiply_bf16(c[n], left, right[0], right[1]);
      multiply_bf16(c[n + 1], left, right[2], right[3]);
    }
  }
}

template <int dim>
HOURGLASS_DEVICE void store_rows(Bf16* head, Index stride, const float (&c)[dim / 8][4], int first, int length,
                                 float scale_low, float scale_high) {
  const int row = first + lane_index() / 4, column = lane_index() % 4 * 2;
  HOURGLASS_UNROLL
  for (int n = 0; n < dim / 8; ++n) {
    Bf16* at = head + row * stride + n * 8 + column;
    if (row < length) *reinterpret_cast<std::uint32_t*>(at) = pack(c[n][0] * scale_low, c[n][1] * scale_low);
    if (row + 8 < length)
      *reinterpret_cast<std::uint32_t*>(at + 8 * stride) = pack(c[n][2] * scale_high, c[n][3] * scale_high);
  }
}

HOURGLASS_DEVICE bool sees(int query, int key, const AttentionSizes& sizes) {
  return key < sizes.length && (!sizes.causal || key <= query);
}

// Whether any of a warp's 16 queries sees any key from `first_key` on. The same for all its lanes.
HOURGLASS_DEVICE bool warp_sees(int first_query, int first_key, const AttentionSizes& sizes) {
  return first_query < sizes.length && (!sizes.causal || first_key < first_query + warp_rows);
}

}  // namespace hourglass::kernels::cuda
