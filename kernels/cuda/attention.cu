// FlashAttention-2 (Dao, arXiv 2307.08691) on mma.sync: the form that runs on sm_80 and newer. It is not what Hopper's
// wgmma reaches (FlashAttention-3, arXiv 2407.08608); the device's facts in the samples say so. A warp owns 16 rows of
// the result; operands come in tiles through shared memory, double-buffered by cp.async, rows padded by 16 bytes so
// that ldmatrix meets no bank conflict.
#include "kernels/cuda/attention_tiles.h"

namespace hourglass::kernels::cuda {

namespace {

// The sum, or the largest, over the four lanes that share a row of the accumulators.
HOURGLASS_DEVICE float row_sum(float value) {
  value += exchange_xor(value, 1);
  return value + exchange_xor(value, 2);
}
HOURGLASS_DEVICE float row_largest(float value) {
  value = fmaxf(value, exchange_xor(value, 1));
  return fmaxf(value, exchange_xor(value, 2));
}

constexpr int forward_warps = 8, forward_queries = forward_warps * warp_rows, forward_keys = 64;

// What a warp knows of its rows g and g + 8 after the keys so far: largest score and sum of exponentials.
struct Softmax {
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};
};

// Turns scores into exponentials and rescales what was summed before, so that all refer to the new largest score.
template <int tiles, int columns>
HOURGLASS_DEVICE void online_softmax(float (&s)[tiles][4], float (&o)[columns][4], Softmax& state, float scale) {
  HOURGLASS_UNROLL
  for (int half = 0; half < 2; ++half) {
    float largest = state.largest[half];
    HOURGLASS_UNROLL
    for (int n = 0; n < tiles; ++n) largest = fmaxf(largest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
    largest = row_largest(largest);
    const float offset = largest * scale * log2_e, shrink = exp2f(state.largest[half] * scale * log2_e - offset);
    state.largest[half] = largest;
    float sum = 0.0f;
    HOURGLASS_UNROLL
    for (int n = 0; n < tiles; ++n) {
      s[n][2 * half] = exp2f(s[n][2 * half] * scale * log2_e - offset);
      s[n][2 * half + 1] = exp2f(s[n][2 * half + 1] * scale * log2_e - offset);
      sum += s[n][2 * half] + s[n][2 * half + 1];
    }
    state.sum[half] = state.sum[half] * shrink + sum;
    HOURGLASS_UNROLL
    for (int n = 0; n < columns; ++n) {
      o[n][2 * half] *= shrink;
      o[n][2 * half + 1] *= shrink;
    }
  }
}

// Scores that a query does not see become minus infinity. Element i of tile n: row g + 8 (i / 2), column 2 t + i mod 2.
template <int tiles>
HOURGLASS_DEVICE void mask_scores(float (&s)[tiles][4], int first_query, int first_key, const AttentionSizes& sizes) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  HOURGLASS_UNROLL
  for (int n = 0; n < tiles; ++n) {
    HOURGLASS_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (!sees(first_query + g + i / 2 * 8, first_key + n * 8 + 2 * t + i % 2, sizes)) s[n][i] = -INFINITY;
    }
  }
}

template <int qk, int vd>
HOURGLASS_KERNEL void HOURGLASS_BOUNDS(forward_warps * 32)
    attention_forward_kernel(AttentionSizes sizes, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k,
                             const Bf16* v) {
  constexpr int key_tile = forward_keys * (qk + pad), value_tile = forward_keys * (vd + pad);
  Bf16* queries = reinterpret_cast<Bf16*>(dynamic_shared());
  Bf16 *keys = queries + forward_queries * (qk + pad), *values = keys + 2 * key_tile;
  const int first = (grid_x() - 1 - block_x()) * forward_queries;  // the longest first
  const int head = block_y(), kv_head = head / (sizes.heads / sizes.kv_heads);
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd,
              o_stride = sizes.heads * vd;
  const Bf16 *k_head = k + start * k_stride + kv_head * qk, *v_head = v + start * v_stride + kv_head * vd;
  const int end = sizes.causal && first + forward_queries < sizes.length ? first + forward_queries : sizes.length;
  load_tile<qk>(queries, q + start * q_stride + head * qk, q_stride, first, forward_queries, sizes.length);
  load_tile<qk>(keys, k_head, k_stride, 0, forward_keys, sizes.length);
  load_tile<vd>(values, v_head, v_stride, 0, forward_keys, sizes.length);
  copy_commit();
  const int mine = first + warp_index() * warp_rows;
  float out[vd / 8][4] = {};
  Softmax state;
  for (int key = 0, stage = 0; key < end; key += forward_keys, stage ^= 1) {
    if (key + forward_keys < end) {
      load_tile<qk>(keys + (stage ^ 1) * key_tile, k_head, k_stride, key + forward_keys, forward_keys, sizes.length);
      load_tile<vd>(values + (stage ^ 1) * value_tile, v_head, v_stride, key + forward_keys, forward_keys,
                    sizes.length);
    }
    copy_commit();
    copy_wait<1>();
    synchronize();
    if (warp_sees(mine, key, sizes)) {
      float s[forward_keys / 8][4];
      multiply_rows<qk>(s, queries + warp_index() * warp_rows * (qk + pad), keys + stage * key_tile);
      if (key + forward_keys > sizes.length || (sizes.causal && key + forward_keys > mine))
        mask_scores(s, mine, key, sizes);
      online_softmax(s, out, state, sizes.scale);
      multiply_columns<vd>(out, s, values + stage * value_tile);
    }
    synchronize();
  }
  const float low = row_sum(state.sum[0]), high = row_sum(state.sum[1]);
  store_rows<vd>(o + start * o_stride + head * vd, o_stride, out, mine, sizes.length, 1.0f / low, 1.0f / high);
  if (lane_index() % 4 != 0) return;
  const int row = mine + lane_index() / 4;
  if (row < sizes.length) log_sum[(start + row) * sizes.heads + head] = state.largest[0] * sizes.scale + logf(low);
  if (row + 8 < sizes.length)
    log_sum[(start + row + 8) * sizes.heads + head] = state.largest[1] * sizes.scale + logf(high);
}

template <int qk, int vd>
void forward(Stream stream, const AttentionSizes& sizes, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k,
             const Bf16* v, Index batch) {
  const Index halves = forward_queries * (qk + pad) + 2 * forward_keys * (qk + vd + 2 * pad);
  const Grid grid{divide_up(sizes.length, forward_queries), sizes.heads, batch, forward_warps * 32,
                  static_cast<std::size_t>(halves) * sizeof(Bf16)};
  launch("attention_forward", attention_forward_kernel<qk, vd>, stream, grid, sizes, o, log_sum, q, k, v);
}

}  // namespace

AttentionSizes attention_sizes(const AttentionShape& a, Index tokens) {
  require(attention_supported(a),
          "head widths other than (64, 64), (128, 128) and (192, 128), or heads that are no multiple of the key-value "
          "heads",
          "attention");
  require(tokens % a.length == 0, "the tokens are not whole sequences", "attention");
  return {static_cast<int>(a.length), static_cast<int>(a.heads), static_cast<int>(a.kv_heads), a.causal,
          1.0f / sqrtf(static_cast<float>(a.qk_dim))};
}

bool attention_supported(const AttentionShape& a) {
  const bool widths = (a.qk_dim == 64 && a.v_dim == 64) || ((a.qk_dim == 128 || a.qk_dim == 192) && a.v_dim == 128);
  return widths && a.length > 0 && a.length < 1 << 24 && a.kv_heads > 0 && a.heads % a.kv_heads == 0 && a.heads > 0;
}

void attention_forward(Stream stream, const AttentionShape& a, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k,
                       const Bf16* v, Index tokens) {
  const AttentionSizes sizes = attention_sizes(a, tokens);
  const auto run = a.qk_dim == 192 ? forward<192, 128> : a.qk_dim == 128 ? forward<128, 128> : forward<64, 64>;
  run(stream, sizes, o, log_sum, q, k, v, tokens / a.length);
}

}  // namespace hourglass::kernels::cuda
