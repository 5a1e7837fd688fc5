// Router, permutation and the moves of rows. The router gives a token to a warp: lane l holds the experts l, l + 32,
// ... Everything is deterministic: ties go to the lower index, the permutation is a stable counting sort, and sums run
// in the order of a token's choices.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

constexpr int most_experts = 512, lane_experts = most_experts / 32;
constexpr float nothing = -3.402823466e38f;

struct Best {
  float value;
  int index;
};
HOURGLASS_DEVICE Best better(const Best& a, const Best& b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}
HOURGLASS_DEVICE Best warp_best(Best best) {
  for (int mask = 16; mask > 0; mask >>= 1)
    best = better(best, {exchange_xor(best.value, mask), exchange_xor(best.index, mask)});
  return best;
}

struct RouterSizes {
  int experts, top_k, groups, groups_per_token, each;
  float scale;
};

// The sum of the two best of a group; of a group of one, that one.
HOURGLASS_DEVICE float group_score(const float (&biased)[lane_experts], const RouterSizes& sizes, int group) {
  float first = nothing, second = nothing;
  HOURGLASS_UNROLL
  for (int i = 0; i < lane_experts; ++i) {
    const int expert = i * 32 + lane_index();
    if (expert >= sizes.experts || expert / sizes.each != group) continue;
    if (biased[i] > first) {
      second = first, first = biased[i];
    } else if (biased[i] > second) {
      second = biased[i];
    }
  }
  for (int mask = 16; mask > 0; mask >>= 1) {
    const float other_first = exchange_xor(first, mask), other_second = exchange_xor(second, mask);
    second = fmaxf(fminf(first, other_first), fmaxf(second, other_second));
    first = fmaxf(first, other_first);
  }
  return sizes.each > 1 ? first + second : first;
}

// The groups that may be chosen from, a bit each. groups <= 32: lane g holds the score of group g.
HOURGLASS_DEVICE std::uint32_t choose_groups(const float (&biased)[lane_experts], const RouterSizes& sizes) {
  if (sizes.groups_per_token >= sizes.groups) return 0xffffffffu;
  float score = nothing;
  for (int g = 0; g < sizes.groups; ++g) {
    const float found = group_score(biased, sizes, g);
    if (lane_index() == g) score = found;
  }
  std::uint32_t chosen = 0;
  for (int i = 0; i < sizes.groups_per_token; ++i) {
    const bool open = lane_index() < sizes.groups && (chosen >> lane_index() & 1u) == 0u;
    const Best best = warp_best({open ? score : nothing, open ? lane_index() : 1 << 20});
    chosen |= 1u << best.index;
  }
  return chosen;
}

// The best of the experts that are still open, which its lane then closes. If nothing compares (NaN), the first.
HOURGLASS_DEVICE int take_best(float (&biased)[lane_experts], bool (&open)[lane_experts], const RouterSizes& sizes) {
  Best best{nothing, 1 << 20};
  HOURGLASS_UNROLL
  for (int i = 0; i < lane_experts; ++i) {
    if (i * 32 < sizes.experts && open[i]) best = better(best, {biased[i], i * 32 + lane_index()});
  }
  best = warp_best(best);
  HOURGLASS_UNROLL
  for (int i = 0; i < lane_experts; ++i) {
    if (i * 32 + lane_index() == best.index) open[i] = false;
  }
  return best.index < sizes.experts ? best.index : 0;
}

HOURGLASS_KERNEL void router_forward_kernel(RouterSizes sizes, std::int32_t* experts, float* weights, float* scores,
                                            const float* logits, const float* bias, Index tokens) {
  const Index token = static_cast<Index>(block_x()) * (block_threads() / 32) + warp_index();
  if (token >= tokens) return;  // the whole warp
  float biased[lane_experts], chosen_score = 0.0f, sum = 0.0f;
  bool open[lane_experts];
  HOURGLASS_UNROLL
  for (int i = 0; i < lane_experts; ++i) {
    const int expert = i * 32 + lane_index();
    open[i] = expert < sizes.experts;
    biased[i] = nothing;
    if (!open[i]) continue;
    const float score = sigmoid(logits[token * sizes.experts + expert]);
    scores[token * sizes.experts + expert] = score;
    biased[i] = score + bias[expert];
  }
  const std::uint32_t groups = choose_groups(biased, sizes);
  HOURGLASS_UNROLL
  for (int i = 0; i < lane_experts; ++i)
    open[i] = open[i] && (groups >> ((i * 32 + lane_index()) / sizes.each) & 1u) != 0u;
  synchronize_warp();  // the scores are read by other lanes
  int chosen = 0;
  for (int k = 0; k < sizes.top_k; ++k) {
    const int expert = take_best(biased, open, sizes);
    const float score = scores[token * sizes.experts + expert];
    sum += score;
    if (lane_index() == k) chosen = expert, chosen_score = score;
  }
  if (lane_index() < sizes.top_k) {
    experts[token * sizes.top_k + lane_index()] = chosen;
    weights[token * sizes.top_k + lane_index()] = sizes.scale * chosen_score / sum;
  }
}

HOURGLASS_KERNEL void router_input_gradient_kernel(RouterSizes sizes, float* dlogits, const std::int32_t* experts,
                                                   const float* scores, const float* dweights, Index tokens) {
  const Index token = static_cast<Index>(block_x()) * (block_threads() / 32) + warp_index();
  if (token >= tokens) return;
  const int lane = lane_index();
  const int expert = lane < sizes.top_k ? experts[token * sizes.top_k + lane] : 0;
  const float score = lane < sizes.top_k ? scores[token * sizes.experts + expert] : 0.0f;
  const float gradient = lane < sizes.top_k ? dweights[token * sizes.top_k + lane] : 0.0f;
  const float sum = warp_sum(score), along = warp_sum(gradient * score);
  for (int e = lane; e < sizes.experts; e += 32) dlogits[token * sizes.experts + e] = 0.0f;
  synchronize_warp();
  if (lane < sizes.top_k)
    dlogits[token * sizes.experts + expert] = sizes.scale / sum * (gradient - along / sum) * score * (1.0f - score);
}

// Counting sort in three steps: each block counts its chunk of slots; one block turns counts into first rows, expert
// after expert and within an expert chunk after chunk; each block places its chunk, a thread an expert, in order.
constexpr int chunk = 1024, sort_threads = 1024;

HOURGLASS_KERNEL void count_kernel(std::int32_t* counts, const std::int32_t* experts_of_slots, Index slots,
                                   int experts) {
  HOURGLASS_SHARED int found[sort_threads];
  for (int e = thread_index(); e < experts; e += block_threads()) found[e] = 0;
  synchronize();
  for (int i = thread_index(); i < chunk; i += block_threads()) {
    const Index slot = static_cast<Index>(block_x()) * chunk + i;
    if (slot < slots) add_atomically(&found[experts_of_slots[slot]], 1);
  }
  synchronize();
  for (int e = thread_index(); e < experts; e += block_threads())
    counts[static_cast<Index>(block_x()) * experts + e] = found[e];
}

HOURGLASS_KERNEL void first_rows_kernel(std::int32_t* offsets, std::int32_t* counts, int chunks, int experts) {
  HOURGLASS_SHARED int totals[sort_threads];
  const int expert = thread_index();
  if (expert < experts) {
    int total = 0;
    for (int c = 0; c < chunks; ++c) total += counts[static_cast<Index>(c) * experts + expert];
    totals[expert] = total;
  }
  synchronize();
  if (expert >= experts) return;
  int first = 0;
  for (int e = 0; e < expert; ++e) first += totals[e];
  offsets[expert] = first;
  if (expert == experts - 1) offsets[experts] = first + totals[expert];
  for (int c = 0; c < chunks; ++c) {
    std::int32_t& count = counts[static_cast<Index>(c) * experts + expert];
    const int here = count;
    count = first;
    first += here;
  }
}

HOURGLASS_KERNEL void place_kernel(DevicePermutation p, const std::int32_t* first_rows,
                                   const std::int32_t* experts_of_slots, Index slots, int experts) {
  HOURGLASS_SHARED int chosen[chunk];
  const Index start = static_cast<Index>(block_x()) * chunk;
  for (int i = thread_index(); i < chunk; i += block_threads())
    chosen[i] = start + i < slots ? experts_of_slots[start + i] : -1;
  synchronize();
  if (thread_index() >= experts) return;
  int row = first_rows[static_cast<Index>(block_x()) * experts + thread_index()];
  for (int i = 0; i < chunk; ++i) {
    if (chosen[i] != thread_index()) continue;
    p.slot_of_row[row] = static_cast<std::int32_t>(start + i);
    p.row_of_slot[start + i] = row++;
  }
}

HOURGLASS_KERNEL void permute_forward_kernel(Words* rows, const Words* x, const std::int32_t* slot_of_row, int top_k,
                                             int words) {
  const Index row = block_x(), token = slot_of_row[row] / top_k;
  for (int c = thread_index(); c < words; c += block_threads()) rows[row * words + c] = x[token * words + c];
}

// y[token] = sum over choices of weight x row; without weights, the gradient of the permutation.
HOURGLASS_KERNEL void gather_kernel(Bf16* y, const Bf16* rows, const float* weights, const std::int32_t* row_of_slot,
                                    int top_k, int width) {
  const Index token = block_x();
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    float sum[piece] = {}, values[piece];
    for (int k = 0; k < top_k; ++k) {
      const float weight = weights != nullptr ? weights[token * top_k + k] : 1.0f;
      load8(rows + static_cast<Index>(row_of_slot[token * top_k + k]) * width + c, values);
      for (int i = 0; i < piece; ++i) sum[i] += weight * values[i];
    }
    store8(y + token * width + c, sum);
  }
}

HOURGLASS_KERNEL void sum_rows_kernel(Bf16* y, const Bf16* rows, const std::int32_t* offsets,
                                      const std::int32_t* sources, int width) {
  const Index row = block_x();
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    float sum[piece] = {}, values[piece];
    for (int at = offsets[row]; at < offsets[row + 1]; ++at) {
      load8(rows + static_cast<Index>(sources[at]) * width + c, values);
      for (int i = 0; i < piece; ++i) sum[i] += values[i];
    }
    store8(y + row * width + c, sum);
  }
}

HOURGLASS_KERNEL void unpermute_input_gradient_kernel(Bf16* drows, float* dweights, const Bf16* dy, const Bf16* rows,
                                                      const float* weights, const std::int32_t* row_of_slot, int top_k,
                                                      int width) {
  HOURGLASS_SHARED float scratch[32];
  const Index slot = block_x(), token = slot / top_k, row = row_of_slot[slot];
  const float weight = weights[slot];
  float sum = 0.0f, gradients[piece], values[piece];
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    load8(dy + token * width + c, gradients);
    load8(rows + row * width + c, values);
    for (int i = 0; i < piece; ++i) {
      sum += gradients[i] * values[i];
      gradients[i] *= weight;
    }
    store8(drows + row * width + c, gradients);
  }
  sum = block_sum(sum, scratch);
  if (thread_index() == 0) dweights[slot] = sum;
}

RouterSizes sizes_of(const RouterShape& shape, const char* where) {
  require(shape.experts > 0 && shape.experts <= most_experts && shape.groups > 0 && shape.groups <= 32 &&
              shape.experts % shape.groups == 0 && shape.groups_per_token > 0 && shape.top_k > 0 && shape.top_k <= 32 &&
              shape.top_k <= shape.experts / shape.groups * shape.groups_per_token,
          "the router has more than 512 experts, 32 groups or 32 choices, or groups that do not fit", where);
  return {static_cast<int>(shape.experts),
          static_cast<int>(shape.top_k),
          static_cast<int>(shape.groups),
          static_cast<int>(shape.groups_per_token),
          static_cast<int>(shape.experts / shape.groups),
          static_cast<float>(shape.scale)};
}

int row_threads(Index width) { return static_cast<int>(width >= 2048 ? 256 : 64); }

}  // namespace

void router_forward(Stream stream, const RouterShape& shape, std::int32_t* experts, float* weights, float* scores,
                    const float* logits, const float* bias, Index tokens) {
  launch("router_forward", router_forward_kernel, stream, {divide_up(tokens, 8)}, sizes_of(shape, "router_forward"),
         experts, weights, scores, logits, bias, tokens);
}

void router_input_gradient(Stream stream, const RouterShape& shape, float* dlogits, const std::int32_t* experts,
                           const float* scores, const float* dweights, Index tokens) {
  launch("router_input_gradient", router_input_gradient_kernel, stream, {divide_up(tokens, 8)},
         sizes_of(shape, "router_input_gradient"), dlogits, experts, scores, dweights, tokens);
}

Index permutation_workspace(Index slots, Index experts) { return divide_up(slots, chunk) * experts; }

void permutation(Stream stream, const DevicePermutation& p, std::int32_t* workspace,
                 const std::int32_t* experts_of_slots, Index slots, Index experts) {
  require(experts > 0 && experts <= sort_threads && slots <= std::numeric_limits<std::int32_t>::max(),
          "more than 1024 experts or 2^31 slots", "permutation");
  const Index chunks = divide_up(slots, chunk);
  const int count = static_cast<int>(experts);
  launch("count_slots", count_kernel, stream, {chunks}, workspace, experts_of_slots, slots, count);
  launch("first_rows", first_rows_kernel, stream, {1, 1, 1, static_cast<int>(divide_up(experts, 32) * 32)}, p.offsets,
         workspace, static_cast<int>(chunks), count);
  launch("place_slots", place_kernel, stream, {chunks, 1, 1, static_cast<int>(divide_up(experts, 32) * 32)}, p,
         workspace, experts_of_slots, slots, count);
}

void permute_forward(Stream stream, Bf16* rows, const Bf16* x, const DevicePermutation& p, Index slots, Index top_k,
                     Index width) {
  require_pieces(width, "permute_forward");
  launch("permute_forward", permute_forward_kernel, stream, {slots, 1, 1, row_threads(width)},
         reinterpret_cast<Words*>(rows), reinterpret_cast<const Words*>(x), p.slot_of_row, static_cast<int>(top_k),
         static_cast<int>(width / piece));
}

void gather_rows(Stream stream, Bf16* to, const Bf16* from, const std::int32_t* rows, Index count, Index width) {
  permute_forward(stream, to, from, {nullptr, const_cast<std::int32_t*>(rows), nullptr}, count, 1, width);
}

void sum_rows(Stream stream, Bf16* y, const Bf16* rows, const std::int32_t* offsets, const std::int32_t* sources,
              Index count, Index width) {
  require_pieces(width, "sum_rows");
  launch("sum_rows", sum_rows_kernel, stream, {count, 1, 1, row_threads(width)}, y, rows, offsets, sources,
         static_cast<int>(width));
}

void permute_input_gradient(Stream stream, Bf16* dx, const Bf16* drows, const DevicePermutation& p, Index tokens,
                            Index top_k, Index width) {
  unpermute_forward(stream, dx, drows, nullptr, p, tokens, top_k, width);
}

void unpermute_forward(Stream stream, Bf16* y, const Bf16* rows, const float* weights, const DevicePermutation& p,
                       Index tokens, Index top_k, Index width) {
  require_pieces(width, "unpermute_forward");
  launch("gather_rows", gather_kernel, stream, {tokens, 1, 1, row_threads(width)}, y, rows, weights, p.row_of_slot,
         static_cast<int>(top_k), static_cast<int>(width));
}

void unpermute_input_gradient(Stream stream, Bf16* drows, float* dweights, const Bf16* dy, const Bf16* rows,
                              const float* weights, const DevicePermutation& p, Index tokens, Index top_k,
                              Index width) {
  require_pieces(width, "unpermute_input_gradient");
  launch("unpermute_input_gradient", unpermute_input_gradient_kernel, stream,
         {tokens * top_k, 1, 1, row_threads(width)}, drows, dweights, dy, rows, weights, p.row_of_slot,
         static_cast<int>(top_k), static_cast<int>(width));
}

}  // namespace hourglass::kernels::cuda
