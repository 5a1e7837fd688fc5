// FlashAttention-2 (Dao, arXiv 2307.08691) on mma.sync: the form that runs on sm_80 and newer. It is not what Hopper's
// wgmma reaches (FlashAttention-3, arXiv 2407.08608), and its samples say what it is. A warp owns 16 rows of the
// result; operands come in tiles through shared memory, double-buffered by cp.async, rows padded by 16 bytes so that
// ldmatrix meets no bank conflict.
//
// The gradient is two kernels instead of one with atomic sums: one owns rows of dk and dv and walks over queries, one
// owns rows of dq and walks over keys. Scores and dP are computed twice (7 GEMMs instead of 5), and the result is the
// same bit for bit in every run.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

constexpr int pad = 8, warp_rows = 16;
constexpr float log2_e = 1.44269504f;

struct Sizes {
  int length, heads, kv_heads;
  bool causal;
  float scale;
};

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

HOURGLASS_DEVICE bool sees(int query, int key, const Sizes& sizes) {
  return key < sizes.length && (!sizes.causal || key <= query);
}

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
HOURGLASS_DEVICE void mask_scores(float (&s)[tiles][4], int first_query, int first_key, const Sizes& sizes) {
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
    attention_forward_kernel(Sizes sizes, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k, const Bf16* v) {
  constexpr int key_tile = forward_keys * (qk + pad), value_tile = forward_keys * (vd + pad);
  Bf16* queries = reinterpret_cast<Bf16*>(dynamic_shared());
  Bf16 *keys = queries + forward_queries * (qk + pad), *values = keys + 2 * key_tile;
  const int first = (grid_x() - 1 - block_x()) * forward_queries;  // the longest first
  const int head = block_y(), kv_head = head / (sizes.heads / sizes.kv_heads);
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd, o_stride = sizes.heads * vd;
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
      load_tile<vd>(values + (stage ^ 1) * value_tile, v_head, v_stride, key + forward_keys, forward_keys, sizes.length);
    }
    copy_commit();
    copy_wait<1>();
    synchronize();
    float s[forward_keys / 8][4];
    multiply_rows<qk>(s, queries + warp_index() * warp_rows * (qk + pad), keys + stage * key_tile);
    if (key + forward_keys > sizes.length || (sizes.causal && key + forward_keys > mine)) mask_scores(s, mine, key, sizes);
    online_softmax(s, out, state, sizes.scale);
    multiply_columns<vd>(out, s, values + stage * value_tile);
    synchronize();
  }
  const float low = row_sum(state.sum[0]), high = row_sum(state.sum[1]);
  store_rows<vd>(o + start * o_stride + head * vd, o_stride, out, mine, sizes.length, 1.0f / low, 1.0f / high);
  if (lane_index() % 4 != 0) return;
  const int row = mine + lane_index() / 4;
  if (row < sizes.length) log_sum[(start + row) * sizes.heads + head] = state.largest[0] * sizes.scale + logf(low);
  if (row + 8 < sizes.length) log_sum[(start + row + 8) * sizes.heads + head] = state.largest[1] * sizes.scale + logf(high);
}

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

constexpr int gradient_warps = 4, gradient_rows = gradient_warps * warp_rows, gradient_tile = 32;

struct GradientInputs {
  const Bf16 *d_o, *q, *k, *v;
  const float *log_sum, *delta;
};

// log_sum and delta of the queries of a tile, side by side. Read by all after the next synchronize().
HOURGLASS_DEVICE void load_statistics(float* statistics, const GradientInputs& in, Index start, int first, int head, const Sizes& sizes) {
  if (thread_index() >= gradient_tile) return;
  const int query = first + thread_index();
  const Index at = (start + query) * sizes.heads + head;
  statistics[thread_index()] = query < sizes.length ? in.log_sum[at] : 0.0f;
  statistics[gradient_tile + thread_index()] = query < sizes.length ? in.delta[at] : 0.0f;
}

template <int qk, int vd>
HOURGLASS_KERNEL void HOURGLASS_BOUNDS(gradient_warps * 32)
    attention_key_gradient_kernel(Sizes sizes, Bf16* dk, Bf16* dv, GradientInputs in) {
  constexpr int q_tile = gradient_tile * (qk + pad), o_tile = gradient_tile * (vd + pad), tiles = gradient_tile / 8;
  Bf16 *keys = reinterpret_cast<Bf16*>(dynamic_shared()), *values = keys + gradient_rows * (qk + pad);
  Bf16 *queries = values + gradient_rows * (vd + pad), *outputs = queries + 2 * q_tile;
  float* statistics = reinterpret_cast<float*>(outputs + 2 * o_tile);
  const int first = block_x() * gradient_rows, kv_head = block_y(), share = sizes.heads / sizes.kv_heads;
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd, o_stride = sizes.heads * vd;
  load_tile<qk>(keys, in.k + start * k_stride + kv_head * qk, k_stride, first, gradient_rows, sizes.length);
  load_tile<vd>(values, in.v + start * v_stride + kv_head * vd, v_stride, first, gradient_rows, sizes.length);
  // The tiles of all query heads of this key-value head, one after the other.
  const int begin = sizes.causal ? first / gradient_tile * gradient_tile : 0;
  const int each = (sizes.length - begin + gradient_tile - 1) / gradient_tile, count = each * share;
  const auto load = [&](int item, int stage) {
    const int head = kv_head * share + item / each, query = begin + item % each * gradient_tile;
    load_tile<qk>(queries + stage * q_tile, in.q + start * q_stride + head * qk, q_stride, query, gradient_tile, sizes.length);
    load_tile<vd>(outputs + stage * o_tile, in.d_o + start * o_stride + head * vd, o_stride, query, gradient_tile, sizes.length);
    load_statistics(statistics + stage * 2 * gradient_tile, in, start, query, head, sizes);
  };
  load(0, 0);
  copy_commit();
  const int mine = first + warp_index() * warp_rows, g = lane_index() / 4, t = lane_index() % 4;
  float key_sum[qk / 8][4] = {}, value_sum[vd / 8][4] = {};
  for (int item = 0, stage = 0; item < count; ++item, stage ^= 1) {
    if (item + 1 < count) load(item + 1, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    synchronize();
    float s[tiles][4], dp[tiles][4];
    multiply_rows<qk>(s, keys + warp_index() * warp_rows * (qk + pad), queries + stage * q_tile);
    multiply_rows<vd>(dp, values + warp_index() * warp_rows * (vd + pad), outputs + stage * o_tile);
    const float* known = statistics + stage * 2 * gradient_tile;
    HOURGLASS_UNROLL
    for (int n = 0; n < tiles; ++n) {
      HOURGLASS_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int column = n * 8 + 2 * t + i % 2, query = begin + item % each * gradient_tile + column;
        const bool seen = query < sizes.length && sees(query, mine + g + i / 2 * 8, sizes);
        softmax_gradient(s[n][i], dp[n][i], seen, known[column], known[gradient_tile + column], sizes.scale);
      }
    }
    multiply_columns<vd>(value_sum, s, outputs + stage * o_tile);
    multiply_columns<qk>(key_sum, dp, queries + stage * q_tile);
    synchronize();
  }
  store_rows<qk>(dk + start * k_stride + kv_head * qk, k_stride, key_sum, mine, sizes.length, 1.0f, 1.0f);
  store_rows<vd>(dv + start * v_stride + kv_head * vd, v_stride, value_sum, mine, sizes.length, 1.0f, 1.0f);
}

template <int qk, int vd>
HOURGLASS_KERNEL void HOURGLASS_BOUNDS(gradient_warps * 32)
    attention_query_gradient_kernel(Sizes sizes, Bf16* dq, GradientInputs in) {
  constexpr int k_tile = gradient_tile * (qk + pad), v_tile = gradient_tile * (vd + pad), tiles = gradient_tile / 8;
  Bf16 *queries = reinterpret_cast<Bf16*>(dynamic_shared()), *outputs = queries + gradient_rows * (qk + pad);
  Bf16 *keys = outputs + gradient_rows * (vd + pad), *values = keys + 2 * k_tile;
  const int first = (grid_x() - 1 - block_x()) * gradient_rows, head = block_y(), kv_head = head / (sizes.heads / sizes.kv_heads);
  const Index start = static_cast<Index>(block_z()) * sizes.length;
  const Index q_stride = sizes.heads * qk, k_stride = sizes.kv_heads * qk, v_stride = sizes.kv_heads * vd, o_stride = sizes.heads * vd;
  load_tile<qk>(queries, in.q + start * q_stride + head * qk, q_stride, first, gradient_rows, sizes.length);
  load_tile<vd>(outputs, in.d_o + start * o_stride + head * vd, o_stride, first, gradient_rows, sizes.length);
  const auto load = [&](int key, int stage) {
    load_tile<qk>(keys + stage * k_tile, in.k + start * k_stride + kv_head * qk, k_stride, key, gradient_tile, sizes.length);
    load_tile<vd>(values + stage * v_tile, in.v + start * v_stride + kv_head * vd, v_stride, key, gradient_tile, sizes.length);
  };
  load(0, 0);
  copy_commit();
  const int mine = first + warp_index() * warp_rows, g = lane_index() / 4, t = lane_index() % 4;
  float known[2][2];  // log_sum and delta of rows g and g + 8
  for (int half = 0; half < 2; ++half) {
    const int query = mine + g + 8 * half;
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
    float s[tiles][4], dp[tiles][4];
    multiply_rows<qk>(s, queries + warp_index() * warp_rows * (qk + pad), keys + stage * k_tile);
    multiply_rows<vd>(dp, outputs + warp_index() * warp_rows * (vd + pad), values + stage * v_tile);
    HOURGLASS_UNROLL
    for (int n = 0; n < tiles; ++n) {
      HOURGLASS_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int query = mine + g + i / 2 * 8;
        const bool seen = query < sizes.length && sees(query, key + n * 8 + 2 * t + i % 2, sizes);
        softmax_gradient(s[n][i], dp[n][i], seen, known[i / 2][0], known[i / 2][1], sizes.scale);
      }
    }
    multiply_columns<qk>(sum, dp, keys + stage * k_tile);
    synchronize();
  }
  store_rows<qk>(dq + start * q_stride + head * qk, q_stride, sum, mine, sizes.length, 1.0f, 1.0f);
}

template <int qk, int vd>
void forward(Stream stream, const Sizes& sizes, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k, const Bf16* v, Index batch) {
  const Index halves = forward_queries * (qk + pad) + 2 * forward_keys * (qk + vd + 2 * pad);
  const Grid grid{divide_up(sizes.length, forward_queries), sizes.heads, batch, forward_warps * 32, static_cast<std::size_t>(halves) * sizeof(Bf16)};
  launch("attention_forward", attention_forward_kernel<qk, vd>, stream, grid, sizes, o, log_sum, q, k, v);
}

template <int qk, int vd>
void gradient(Stream stream, const Sizes& sizes, const AttentionGradient& out, const GradientInputs& in, Index batch) {
  const Index halves = (gradient_rows + 2 * gradient_tile) * (qk + vd + 2 * pad);
  const std::size_t bytes = static_cast<std::size_t>(halves) * sizeof(Bf16) + 4 * gradient_tile * sizeof(float);
  const Index tiles = divide_up(sizes.length, gradient_rows);
  launch("attention_key_gradient", attention_key_gradient_kernel<qk, vd>, stream, {tiles, sizes.kv_heads, batch, gradient_warps * 32, bytes},
         sizes, out.dk, out.dv, in);
  launch("attention_query_gradient", attention_query_gradient_kernel<qk, vd>, stream, {tiles, sizes.heads, batch, gradient_warps * 32, bytes},
         sizes, out.dq, in);
}

Sizes sizes_of(const AttentionShape& a, Index tokens) {
  require(attention_supported(a), "head widths other than (64, 64), (128, 128) and (192, 128), or heads that are no multiple of the key-value heads", "attention");
  require(tokens % a.length == 0, "the tokens are not whole sequences", "attention");
  return {static_cast<int>(a.length), static_cast<int>(a.heads), static_cast<int>(a.kv_heads), a.causal, 1.0f / sqrtf(static_cast<float>(a.qk_dim))};
}

}  // namespace

bool attention_supported(const AttentionShape& a) {
  const bool widths = (a.qk_dim == 64 && a.v_dim == 64) || ((a.qk_dim == 128 || a.qk_dim == 192) && a.v_dim == 128);
  return widths && a.length > 0 && a.length < 1 << 24 && a.kv_heads > 0 && a.heads % a.kv_heads == 0 && a.heads > 0;
}

void attention_forward(Stream stream, const AttentionShape& a, Bf16* o, float* log_sum, const Bf16* q, const Bf16* k,
                       const Bf16* v, Index tokens) {
  const Sizes sizes = sizes_of(a, tokens);
  const auto run = a.qk_dim == 192 ? forward<192, 128> : a.qk_dim == 128 ? forward<128, 128> : forward<64, 64>;
  run(stream, sizes, o, log_sum, q, k, v, tokens / a.length);
}

void attention_input_gradient(Stream stream, const AttentionShape& a, const AttentionGradient& out, const Bf16* d_o,
                              const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* o, const float* log_sum,
                              Index tokens) {
  const Sizes sizes = sizes_of(a, tokens);
  launch("attention_delta", delta_kernel, stream, {divide_up(tokens * a.heads, 8)}, out.delta, d_o, o, tokens * a.heads, static_cast<int>(a.v_dim));
  const auto run = a.qk_dim == 192 ? gradient<192, 128> : a.qk_dim == 128 ? gradient<128, 128> : gradient<64, 64>;
  run(stream, sizes, out, {d_o, q, k, v, log_sum, out.delta}, tokens / a.length);
}

}  // namespace hourglass::kernels::cuda
