// The router's gradient: with w_i = scale s_i / S, S the sum over the chosen,
//   ds_i = scale / S (dw_i - sum_j dw_j s_j / S),      dlogit_i = ds_i s_i (1 - s_i),
// and zero for experts not chosen.
#include "kernels/routing.h"

#include <algorithm>
#include <numeric>

#include "kernels/arithmetic.h"
#include "kernels/eigen_map.h"

namespace hourglass::kernels {

namespace {

std::size_t position(Index i) { return static_cast<std::size_t>(i); }

// The `count` best of `candidates` by score, best first, ties to the lower index.
template <class T>
void keep_best(std::vector<std::int32_t>& candidates, Index count, const T* score) {
  const auto better = [&](std::int32_t a, std::int32_t b) {
    return score[a] != score[b] ? score[a] > score[b] : a < b;
  };
  std::partial_sort(candidates.begin(), candidates.begin() + count, candidates.end(), better);
  candidates.resize(position(count));
}

template <class T>
T two_best(const T* scores, Index count) {
  T best = scores[0], second = T(0);
  for (Index i = 1; i < count; ++i) {
    if (i == 1 || scores[i] > second) second = scores[i];
    if (second > best) std::swap(best, second);
  }
  return best + second;
}

// The experts of one token, `biased` being its scores with the bias.
template <class T>
std::vector<std::int32_t> choose(const RouterShape& shape, const T* biased) {
  const Index each = shape.experts / shape.groups;
  std::vector<std::int32_t> groups(position(shape.groups));
  std::iota(groups.begin(), groups.end(), 0);
  if (shape.groups_per_token < shape.groups) {
    std::vector<T> score(groups.size());
    for (Index g = 0; g < shape.groups; ++g) score[position(g)] = two_best(biased + g * each, each);
    keep_best(groups, shape.groups_per_token, score.data());
  }
  std::vector<std::int32_t> candidates;
  for (const std::int32_t g : groups) {
    for (Index i = 0; i < each; ++i) candidates.push_back(static_cast<std::int32_t>(g * each + i));
  }
  keep_best(candidates, shape.top_k, biased);
  return candidates;
}

}  // namespace

template <class T>
void Router<T>::forward(const RouterShape& shape, const Tensor<T>& logits, const Tensor<T>& bias, Choice<T>& choice) {
  const Index tokens = logits.rows(), experts = shape.experts, k = shape.top_k;
  choice.experts.resize(position(tokens * k));
  choice.weights.resize(tokens, k);
  choice.scores.resize(tokens, experts);
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    T* scores = choice.scores.row(t);
    Values<T>(scores, experts) = T(1) / (T(1) + (-ConstValues<T>(logits.row(t), experts)).exp());
    std::vector<T> biased(position(experts));
    for (Index e = 0; e < experts; ++e) biased[position(e)] = scores[e] + bias.data()[e];
    const std::vector<std::int32_t> chosen = choose(shape, biased.data());
    T sum = T(0);
    for (const std::int32_t e : chosen) sum += scores[e];
    for (Index i = 0; i < k; ++i) {
      const std::int32_t e = chosen[position(i)];
      choice.experts[position(t * k + i)] = e;
      choice.weights(t, i) = static_cast<T>(shape.scale) * scores[e] / sum;
    }
  }
}

template <class T>
void Router<T>::input_gradient(const RouterShape& shape, const Choice<T>& choice, const Tensor<T>& dweights,
                               Tensor<T>& dlogits) {
  const Index tokens = dweights.rows(), k = shape.top_k;
  dlogits.resize(tokens, shape.experts);
  dlogits.fill(T(0));
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const std::int32_t* chosen = choice.experts.data() + t * k;
    T sum = T(0), along = T(0);
    for (Index i = 0; i < k; ++i) {
      const T s = choice.scores(t, chosen[i]);
      sum += s;
      along += dweights(t, i) * s;
    }
    for (Index i = 0; i < k; ++i) {
      const T s = choice.scores(t, chosen[i]);
      dlogits(t, chosen[i]) = static_cast<T>(shape.scale) / sum * (dweights(t, i) - along / sum) * s * (T(1) - s);
    }
  }
}

Permutation permutation_of(const std::vector<std::int32_t>& experts_of_slots, Index experts, Index top_k) {
  Permutation p{top_k, std::vector<Index>(position(experts + 1), 0), std::vector<Index>(experts_of_slots.size()),
                std::vector<Index>(experts_of_slots.size())};
  for (const std::int32_t e : experts_of_slots) ++p.offsets[position(e) + 1];
  std::partial_sum(p.offsets.begin(), p.offsets.end(), p.offsets.begin());
  std::vector<Index> next(p.offsets.begin(), p.offsets.end() - 1);
  for (std::size_t slot = 0; slot < experts_of_slots.size(); ++slot) {
    const Index row = next[position(experts_of_slots[slot])]++;
    p.slot_of_row[position(row)] = static_cast<Index>(slot);
    p.row_of_slot[slot] = row;
  }
  return p;
}

template <class T>
void Permute<T>::forward(const Permutation& p, const Tensor<T>& x, Tensor<T>& rows) {
  const Index count = static_cast<Index>(p.slot_of_row.size());
  rows.resize(count, x.columns());
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < count; ++i) {
    const T* source = x.row(p.slot_of_row[position(i)] / p.top_k);
    std::copy(source, source + x.columns(), rows.row(i));
  }
}

template <class T>
void Permute<T>::input_gradient(const Permutation& p, const Tensor<T>& drows, Tensor<T>& dx) {
  const Index tokens = static_cast<Index>(p.row_of_slot.size()) / p.top_k, width = drows.columns();
  dx.resize(tokens, width);
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    Values<T> sum(dx.row(t), width);
    sum = ConstValues<T>(drows.row(p.row_of_slot[position(t * p.top_k)]), width);
    for (Index i = 1; i < p.top_k; ++i)
      sum += ConstValues<T>(drows.row(p.row_of_slot[position(t * p.top_k + i)]), width);
  }
}

template <class T>
void Unpermute<T>::forward(const Permutation& p, const Tensor<T>& rows, const Tensor<T>& weights, Tensor<T>& y) {
  const Index tokens = weights.rows(), width = rows.columns();
  y.resize(tokens, width);
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    Values<T> sum(y.row(t), width);
    sum = ConstValues<T>(rows.row(p.row_of_slot[position(t * p.top_k)]), width) * weights(t, 0);
    for (Index i = 1; i < p.top_k; ++i)
      sum += ConstValues<T>(rows.row(p.row_of_slot[position(t * p.top_k + i)]), width) * weights(t, i);
  }
}

template <class T>
void Unpermute<T>::input_gradient(const Permutation& p, const Tensor<T>& dy, const Tensor<T>& rows,
                                  const Tensor<T>& weights, Tensor<T>& drows, Tensor<T>& dweights) {
  const Index tokens = weights.rows(), width = rows.columns();
  drows.resize(rows.rows(), width);
  dweights.resize(tokens, p.top_k);
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const ConstValues<T> gradient(dy.row(t), width);
    for (Index i = 0; i < p.top_k; ++i) {
      const Index row = p.row_of_slot[position(t * p.top_k + i)];
      Values<T>(drows.row(row), width) = gradient * weights(t, i);
      dweights(t, i) = (gradient * ConstValues<T>(rows.row(row), width)).sum();
    }
  }
}

template struct Router<float>;
template struct Router<double>;
template struct Permute<float>;
template struct Permute<double>;
template struct Unpermute<float>;
template struct Unpermute<double>;

}  // namespace hourglass::kernels
