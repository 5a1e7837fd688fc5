// The router's gradient: with w_i = scale s_i / S, S the sum over the chosen,
//   ds_i = scale / S (dw_i - sum_j dw_j s_j / S),      dlogit_i = ds_i s_i (1 - s_i),
// and zero for experts not chosen.
#include "kernels/math/token_routing.h"

#include <algorithm>
#include <numeric>

#include "kernels/math/arithmetic.h"
#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

namespace {

template <class T>
T two_best(const T* scores, Index count) {
  T best = scores[0], second = T(0);
  for (Index i = 1; i < count; ++i) {
    if (i == 1 || scores[i] > second) second = scores[i];
    if (second > best) std::swap(best, second);
  }
  return best + second;
}

// The best so far, best first, ties to the lower index if offered in order: an insertion sort of a few, most of whose
// offers fail at the first comparison.
template <class T>
class Best {
 public:
  explicit Best(Index count) : values_(position(count)), indices_(position(count)) {}
  void clear() { filled_ = 0; }
  void offer(T value, std::int32_t index) {
    if (filled_ == values_.size() && !(value > values_.back())) return;
    if (filled_ < values_.size()) ++filled_;
    std::size_t place = filled_ - 1;
    for (; place > 0 && value > values_[place - 1]; --place) {
      values_[place] = values_[place - 1];
      indices_[place] = indices_[place - 1];
    }
    values_[place] = value;
    indices_[place] = index;
  }
  std::vector<std::int32_t>& indices() { return indices_; }

 private:
  std::vector<T> values_;
  std::vector<std::int32_t> indices_;
  std::size_t filled_ = 0;
};

// Chooses the experts of one token after the other; its memory is allocated once.
template <class T>
class Chooser {
 public:
  explicit Chooser(const RouterShape& shape) : shape_(shape), groups_(shape.groups_per_token), experts_(shape.top_k) {}

  // `biased`: the scores with the bias.
  const std::vector<std::int32_t>& operator()(const T* biased) {
    const Index each = shape_.experts / shape_.groups;
    experts_.clear();
    if (shape_.groups_per_token >= shape_.groups) {
      offer(biased, 0, shape_.experts);
      return experts_.indices();
    }
    groups_.clear();
    for (Index g = 0; g < shape_.groups; ++g)
      groups_.offer(two_best(biased + g * each, each), static_cast<std::int32_t>(g));
    // In the order of their indices, so that ties still go to the lower one.
    std::sort(groups_.indices().begin(), groups_.indices().end());
    for (const std::int32_t g : groups_.indices()) offer(biased, g * each, each);
    return experts_.indices();
  }

 private:
  void offer(const T* biased, Index first, Index count) {
    for (Index e = first; e < first + count; ++e) experts_.offer(biased[e], static_cast<std::int32_t>(e));
  }

  RouterShape shape_;
  Best<T> groups_, experts_;
};

// A token's rows lie anywhere. `body(first, count)` treats columns [first, first + count) of token t; meanwhile the
// same columns of the next token's rows are asked for.
template <class T, class Body>
void for_each_piece(const Permutation& p, const Tensor<T>& rows, Index t, const Body& body) {
  constexpr Index piece = 256;
  const std::size_t next = position((t + 1) * p.top_k), slots = p.row_of_slot.size();
  for (Index first = 0; first < rows.columns(); first += piece) {
    const Index count = std::min(piece, rows.columns() - first);
    for (std::size_t i = next; i < next + position(p.top_k) && i < slots; ++i)
      fetch(rows.row(p.row_of_slot[i]) + first, count);
    body(first, count);
  }
}

}  // namespace

template <class T>
void Router<T>::forward(const RouterShape& shape, const Tensor<T>& logits, const Tensor<T>& bias, Choice<T>& choice) {
  const Index tokens = logits.rows(), experts = shape.experts, k = shape.top_k;
  choice.experts.resize(position(tokens * k));
  choice.weights.resize(tokens, k);
  choice.scores.resize(tokens, experts);
#pragma omp parallel
  {
    Chooser<T> choose(shape);
    std::vector<T> biased(position(experts));
#pragma omp for schedule(static)
    for (Index t = 0; t < tokens; ++t) {
      T* scores = choice.scores.row(t);
      Values<T> sigmoids(scores, experts);
      sigmoids = T(1) / (T(1) + (-ConstValues<T>(logits.row(t), experts)).exp());
      Values<T>(biased.data(), experts) = sigmoids + ConstValues<T>(bias.data(), experts);
      const std::vector<std::int32_t>& chosen = choose(biased.data());
      T sum = T(0);
      for (const std::int32_t e : chosen) sum += scores[e];
      for (Index i = 0; i < k; ++i) {
        const std::int32_t e = chosen[position(i)];
        choice.experts[position(t * k + i)] = e;
        choice.weights(t, i) = static_cast<T>(shape.scale) * scores[e] / sum;
      }
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
  const Index tokens = x.rows();
  rows.resize(static_cast<Index>(p.slot_of_row.size()), x.columns());
  // By token, so that each is read once and in order; its rows are its own.
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const T* source = x.row(t);
    for (Index i = 0; i < p.top_k; ++i)
      std::copy(source, source + x.columns(), rows.row(p.row_of_slot[position(t * p.top_k + i)]));
  }
}

template <class T>
void Permute<T>::input_gradient(const Permutation& p, const Tensor<T>& drows, Tensor<T>& dx) {
  const Index tokens = static_cast<Index>(p.row_of_slot.size()) / p.top_k;
  dx.resize(tokens, drows.columns());
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const Index* row = p.row_of_slot.data() + t * p.top_k;
    for_each_piece(p, drows, t, [&](Index first, Index count) {
      Values<T> sum(dx.row(t) + first, count);
      sum = ConstValues<T>(drows.row(row[0]) + first, count);
      for (Index i = 1; i < p.top_k; ++i) sum += ConstValues<T>(drows.row(row[i]) + first, count);
    });
  }
}

template <class T>
void Unpermute<T>::forward(const Permutation& p, const Tensor<T>& rows, const Tensor<T>& weights, Tensor<T>& y) {
  const Index tokens = weights.rows();
  y.resize(tokens, rows.columns());
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const Index* row = p.row_of_slot.data() + t * p.top_k;
    for_each_piece(p, rows, t, [&](Index first, Index count) {
      Values<T> sum(y.row(t) + first, count);
      sum = ConstValues<T>(rows.row(row[0]) + first, count) * weights(t, 0);
      for (Index i = 1; i < p.top_k; ++i) sum += ConstValues<T>(rows.row(row[i]) + first, count) * weights(t, i);
    });
  }
}

template <class T>
void Unpermute<T>::input_gradient(const Permutation& p, const Tensor<T>& dy, const Tensor<T>& rows,
                                  const Tensor<T>& weights, Tensor<T>& drows, Tensor<T>& dweights) {
  const Index tokens = weights.rows();
  drows.resize(rows.rows(), rows.columns());
  dweights.resize(tokens, p.top_k);
#pragma omp parallel for schedule(static)
  for (Index t = 0; t < tokens; ++t) {
    const Index* row = p.row_of_slot.data() + t * p.top_k;
    std::fill_n(dweights.row(t), p.top_k, T(0));
    for_each_piece(p, rows, t, [&](Index first, Index count) {
      const ConstValues<T> gradient(dy.row(t) + first, count);
      for (Index i = 0; i < p.top_k; ++i) {
        Values<T>(drows.row(row[i]) + first, count) = gradient * weights(t, i);
        dweights(t, i) += (gradient * ConstValues<T>(rows.row(row[i]) + first, count)).sum();
      }
    });
  }
}

template struct Router<float>;
template struct Router<double>;
template struct Permute<float>;
template struct Permute<double>;
template struct Unpermute<float>;
template struct Unpermute<double>;

}  // namespace hourglass::kernels
