// Attention's gradient, recomputing the probabilities from log_sum. Two kernels instead of one with atomic sums: one
// owns rows of dk and dv and walks over queries, one owns rows of dq and walks over keys. Scores and dP are computed
// twice (7 GEMMs instead of 5), and the result is the same bit for bit in every run.
#include "kernels/cuda/attention_tiles.h"

namespace hourglass::kernels::cuda {

namespace {

// delta[token, head] = sum over the head of dO O: what the softmax's gradient subtracts.
HOURGLASS_KERNEL void delta_kernel(float* delta, const Bf16* d_o, const Bf16* o, Index count, int vd) {
  const Index item = static_cast<Index>(block_x()) * (block_threads() / 32) + warp_index();
  if (item >= count) return;  // the whole warp
  float sum = 0.0f;
  for (int c = lane_index(); c < vd; c += 32) sum += to_float(d_o[item * vd + c]) * to_float(o[item * vd + c]);
  sum = warp_sum(sum);
  if (lane_index() == 0) delta[item] = sum;
}

// s becomes p = exp(scale s - log_sum), dp becomes dS = scale p (dp - delta), for one element.
HOURGLASS_DEVICE void softmax_gradient(float& s, float& dp, bool seen, float log_sum, float delta, float scale) {
  s = seen ? exp2f((s * scale - log_sum) * log2_e) : 0.0f;
  dp = s * (dp - delta) * scale;
}

// The same for a warp's tiles: of the kernel whose rows are keys, and of the one whose rows are queries.
template <int tiles>
HOURGLASS_DEVICE void key_side_gradient(float (&s)[tiles][4], float (&dp)[tiles][4], const float* known,
                                        int first_query, int first_key, const AttentionSizes& sizes) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  HOURGLASS_UNROLL
  for (int n = 0; n < tiles; ++n) {
    HOURGLASS_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int column = n * 8 + 2 * t + i % 2, query = first_query + column;
      const bool seen = query < sizes.length && sees(query, first_key + g + i / 2 * 8, sizes);
      softmax_gradient(s[n][i], dp[n][i], seen, known[column], known[tiles * 8 + column], sizes.scale);
    }
  }
}
template <int tiles>
HOURGLASS_DEVICE void query_side_gradient(float (&s)[tiles][4], float (&dp)[tiles][4], const float (&known)[2][2],
                                          int first_query, int first_key, const AttentionSizes& sizes) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  HOURGLASS_UNROLL
  for (int n = 0; n < tiles; ++n) {
    HOURGLASS_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int query = first_query + g + i / 2 * 8;
      const bool seen = query < sizes.length && sees(query, first_key + n * 8 + 2 * t + i % 2, sizes);
      softmax_gradient(s[n][i], dp[n][i], seen, known[i / 2][0], known[i / 2][1], sizes.scale);
    }
  }
}

constexpr int gradient_warps = 4, gradient_rows = gradient_warps * warp_rows, gradient_tile = 32;

struct GradientInputs {
  const Bf16 *d_o, *q, *k, *v;
  const float *log_sum, *delta;
};

// log_sum and delta of the queries of a tile, side by side. Read by all after the next synchronize().
HOURGLASS_DEVICE void load_statistics(float* statistics, const GradientInputs& in, Index start, int first, int head,
                                      const AttentionSizes& sizes) {
  if (thread_index() >= gradient_tile) return;
  const int query = first + thread_index();
  const Index at = (start + query) * sizes.heads + head;
  statistics[thread_index()] = query < sizes.length ? in.log_sum[at] : 0.0f;
  statistics[gradient_tile + thread_index()] = query < sizes.length ? in.delta[at] : 0.0f;
}

template <int qk, int vd>
HOURGLASS_KERNEL void HOURGLASS_BOUNDS(gradient_warps * 32)
    attention_key_gradient_kernel(AttentionSizes sizes, Bf16* dk, Bf16* dv, GradientInputs in) {
  constexpr int q_tile = gradient_tile * (qk + pad), o_tile = gradient_tile * (vd + pad), tiles = gradient_tile / 8;
  Bf16 *keys = reinterpret_cast<Bf16*>(dynamic_shared()), *values = keys + gradient_rows * (qk + pad);
  Bf16 *queries = values + gradient_rows * (vd + pad), *outputs = queries + 2 * q_tile;
  float* statistics = reinterpret_cast<float*>(outputs + 2 * o_tile);
  const int first = block_x() * gradient_rows, kv_head = block_y(), share = sizes.heads / sizes.kv_heads;
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd,
              o_stride = sizes.heads * vd;
  load_tile<qk>(keys, in.k + start * k_stride + kv_head * qk, k_stride, first, gradient_rows, sizes.length);
  load_tile<vd>(values, in.v + start * v_stride + kv_head * vd, v_stride, first, gradient_rows, sizes.length);
  // The tiles of all query heads of this key-value head, one after the other.
  const int begin = sizes.causal ? first / gradient_tile * gradient_tile : 0;
  const int each = (sizes.length - begin + gradient_tile - 1) / gradient_tile, count = each * share;
  const auto load = [&](int item, int stage) {
    const int head = kv_head * share + item / each, query = begin + item % each * gradient_tile;
    load_tile<qk>(queries + stage * q_tile, in.q + start * q_stride + head * qk, q_stride, query, gradient_tile,
                  sizes.length);
    load_tile<vd>(outputs + stage * o_tile, in.d_o + start * o_stride + head * vd, o_stride, query, gradient_tile,
                  sizes.length);
    load_statistics(statistics + stage * 2 * gradient_tile, in, start, query, head, sizes);
  };
  load(0, 0);
  copy_commit();
  const int mine = first + warp_index() * warp_rows;
  float key_sum[qk / 8][4] = {}, value_sum[vd / 8][4] = {};
  for (int item = 0, stage = 0; item < count; ++item, stage ^= 1) {
    if (item + 1 < count) load(item + 1, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    synchronize();
    const int query = begin + item % each * gradient_tile;
    if (mine < sizes.length && (!sizes.causal || mine < query + gradient_tile)) {
      float s[tiles][4], dp[tiles][4];
      multiply_rows<qk>(s, keys + warp_index() * warp_rows * (qk + pad), queries + stage * q_tile);
      multiply_rows<vd>(dp, values + warp_index() * warp_rows * (vd + pad), outputs + stage * o_tile);
      key_side_gradient(s, dp, statistics + stage * 2 * gradient_tile, query, mine, sizes);
      multiply_columns<vd>(value_sum, s, outputs + stage * o_tile);
      multiply_columns<qk>(key_sum, dp, queries + stage * q_tile);
    }
    synchronize();
  }
  store_rows<qk>(dk + start * k_stride + kv_head * qk, k_stride, key_sum, mine, sizes.length, 1.0f, 1.0f);
  store_rows<vd>(dv + start * v_stride + kv_head * vd, v_stride, value_sum, mine, sizes.length, 1.0f, 1.0f);
}

template <int qk, int vd>
HOURGLASS_KERNEL void HOURGLASS_BOUNDS(gradient_warps * 32)
    attention_query_gradient_kernel(AttentionSizes sizes, Bf16* dq, GradientInputs in) {
  constexpr int k_tile = gradient_tile * (qk + pad), v_tile = gradient_tile * (vd + pad), tiles = gradient_tile / 8;
  Bf16 *queries = reinterpret_cast<Bf16*>(dynamic_shared()), *outputs = queries + gradient_rows * (qk + pad);
  Bf16 *keys = outputs + gradient_rows * (vd + pad), *values = keys + 2 * k_tile;
  const int first = (grid_x() - 1 - block_x()) * gradient_rows, head = block_y(),
            kv_head = head / (sizes.heads / sizes.kv_heads);
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd,
              o_stride = sizes.heads * vd;
  load_tile<qk>(queries, in.q + start * q_stride + head * qk, q_stride, first, gradient_rows, sizes.length);
  load_tile<vd>(outputs, in.d_o + start * o_stride + head * vd, o_stride, first, gradient_rows, sizes.length);
  const auto load = [&](int key, int stage) {
    load_tile<qk>(keys + stage * k_tile, in.k + start * k_stride + kv_head * qk, k_stride, key, gradient_tile,
                  sizes.length);
    load_tile<vd>(values + stage * v_tile, in.v + start * v_stride + kv_head * vd, v_stride, key, gradient_tile,
                  sizes.length);
  };
  load(0, 0);
  copy_commit();
  const int mine = first + warp_index() * warp_rows;
  float known[2][2];  // log_sum and delta of rows g and g + 8
  for (int half = 0; half < 2; ++half) {
    const int query = mine + lane_index() / 4 + 8 * half;
    const Index at = (start + query) * sizes.heads + head;
    known[half][0] = query < sizes.length ? in.log_sum[at] : 0.0f;
    known[half][1] = query < sizes.length ? in.delta[at] : 0.0f;
  }
  const int end = sizes.causal && first + gradient_rows < sizes.length ? first + gradient_rows : sizes.length;
  float sum[qk / 8][4] = {};
  for (int key = 0, stage = 0; key < end; key += gradient_tile, stage ^= 1) {
    if (key + gradient_tile < end) load(key + gradient_tile, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    synchronize();
    if (warp_sees(mine, key, sizes)) {
      float s[tiles][4], dp[tiles][4];
      multiply_rows<qk>(s, queries + warp_index() * warp_rows * (qk + pad), keys + stage * k_tile);
      multiply_rows<vd>(dp, outputs + warp_index() * warp_rows * (vd + pad), values + stage * v_tile);
      query_side_gradient(s, dp, known, mine, key, sizes);
      multiply_columns<qk>(sum, dp, keys + stage * k_tile);
    }
    synchronize();
  }
  store_rows<qk>(dq + start * q_stride + head * qk, q_stride, sum, mine, sizes.length, 1.0f, 1.0f);
}

template <int qk, int vd>
void gradient(Stream stream, const AttentionSizes& sizes, const AttentionGradient& out, const GradientInputs& in,
              Index batch) {
  const Index halves = (gradient_rows + 2 * gradient_tile) * (qk + vd + 2 * pad);
  const std::size_t bytes = static_cast<std::size_t>(halves) * sizeof(Bf16) + 4 * gradient_tile * sizeof(float);
  const Index tiles = divide_up(sizes.length, gradient_rows);
  launch("attention_key_gradient", attention_key_gradient_kernel<qk, vd>, stream,
         {tiles, sizes.kv_heads, batch, gradient_warps * 32, bytes}, sizes, out.dk, out.dv, in);
  launch("attention_query_gradient", attention_query_gradient_kernel<qk, vd>, stream,
         {tiles, sizes.heads, batch, gradient_warps * 32, bytes}, sizes, out.dq, in);
}

}  // namespace

void attention_input_gradient(Stream stream, const AttentionShape& a, const AttentionGradient& out, const Bf16* d_o,
                              const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* o, const float* log_sum,
                              Index tokens) {
  const AttentionSizes sizes = attention_sizes(a, tokens);
  launch("attention_delta", delta_kernel, stream, {divide_up(tokens * a.heads, 8)}, out.delta, d_o, o, tokens * a.heads,
         static_cast<int>(a.v_dim));
  const auto run = a.qk_dim == 192 ? gradient<192, 128> : a.qk_dim == 128 ? gradient<128, 128> : gradient<64, 64>;
  run(stream, sizes, out, {d_o, q, k, v, log_sum, out.delta}, tokens / a.length);
}

}  // namespace hourglass::kernels::cuda
