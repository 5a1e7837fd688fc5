#include "kernels/math/loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

namespace {

// The sum of exp(x - largest), asking for what lies `ahead` of it as it goes, so that memory works during exponentials.
template <class T>
T sum_of_exponentials(const T* x, Index count, T largest, Index ahead) {
  using Packet = typename Eigen::internal::packet_traits<T>::type;
  constexpr Index lanes = Eigen::internal::packet_traits<T>::size;
  const Packet shift = Eigen::internal::pset1<Packet>(largest);
  Packet sum = Eigen::internal::pset1<Packet>(T(0));
  Index i = 0;
  for (; i + lanes <= count; i += lanes) {
    __builtin_prefetch(x + i + ahead);
    const Packet value = Eigen::internal::psub(Eigen::internal::ploadu<Packet>(x + i), shift);
    sum = Eigen::internal::padd(sum, Eigen::internal::pexp(value));
  }
  T total = Eigen::internal::predux(sum);
  for (; i < count; ++i) total += std::exp(x[i] - largest);
  return total;
}

// One pass over memory: a piece that fits the first-level cache gives its largest value and its sum of exponentials,
// and what was summed before is scaled to the new largest (Milakov and Gimelshein, arXiv 1805.02867).
template <class T>
T log_sum_exp(const T* x, Index width) {
  constexpr Index piece = 1024;
  T largest = x[0], sum = T(0);
  for (Index first = 0; first < width; first += piece) {
    const Index count = std::min(piece, width - first);
    const T here = ConstValues<T>(x + first, count).maxCoeff();
    if (here > largest) {
      sum *= std::exp(largest - here);
      largest = here;
    }
    sum += sum_of_exponentials(x + first, count, largest, piece);
  }
  return largest + std::log(sum);
}

}  // namespace

template <class T>
void Embedding<T>::forward(const std::vector<std::int32_t>& tokens, const Tensor<T>& table, Tensor<T>& y) {
  const Index rows = static_cast<Index>(tokens.size());
  y.resize(rows, table.columns());
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) {
    const T* source = table.row(tokens[position(r)]);
    if (r + 1 < rows) fetch(table.row(tokens[position(r + 1)]), table.columns());
    std::copy(source, source + table.columns(), y.row(r));
  }
}

// Tokens repeat, so that the rows of each token are summed in order and the sum is added as a whole: one rounding of
// the main gradient however often a token comes. A token is one thread's: the same result on any number of them.
template <class T>
void Embedding<T>::weight_gradient(const std::vector<std::int32_t>& tokens, const Tensor<T>& dy, Tensor<T>& dtable) {
  std::vector<std::size_t> begin(position(dtable.rows()) + 1, 0);  // of each token's rows in `rows`
  for (const std::int32_t token : tokens) ++begin[position(token) + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<Index> rows(tokens.size());
  std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
  for (std::size_t r = 0; r < tokens.size(); ++r) rows[next[position(tokens[r])]++] = static_cast<Index>(r);
#pragma omp parallel
  {
    Eigen::Array<T, 1, Eigen::Dynamic> sum(dy.columns());
#pragma omp for schedule(dynamic, 64)
    for (Index token = 0; token < dtable.rows(); ++token) {
      const std::size_t first = begin[position(token)], last = begin[position(token) + 1];
      if (first == last) continue;
      sum = ConstValues<T>(dy.row(rows[first]), dy.columns());
      for (std::size_t i = first + 1; i < last; ++i) sum += ConstValues<T>(dy.row(rows[i]), dy.columns());
      if (last < rows.size()) fetch(dy.row(rows[last]), dy.columns());
      Values<T>(dtable.row(token), dy.columns()) += sum;
    }
  }
}

template <class T>
double CrossEntropy<T>::forward(const Tensor<T>& logits, const std::vector<std::int32_t>& targets, double weight,
                                Tensor<T>& log_sum) {
  const Index rows = logits.rows(), width = logits.columns();
  log_sum.resize(rows, 1);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) log_sum(r, 0) = log_sum_exp(logits.row(r), width);
  double loss = 0.0;
  for (Index r = 0; r < rows; ++r) {
    const std::int32_t target = targets[position(r)];
    if (target >= 0) loss += weight * static_cast<double>(log_sum(r, 0) - logits(r, target));
  }
  return loss;
}

template <class T>
void CrossEntropy<T>::input_gradient(Tensor<T>& logits, const std::vector<std::int32_t>& targets, double weight,
                                     const Tensor<T>& log_sum) {
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < logits.rows(); ++r) {
    const std::int32_t target = targets[position(r)];
    Values<T> x(logits.row(r), logits.columns());
    if (target < 0) {
      x.setZero();
      continue;
    }
    x = (x - log_sum(r, 0)).exp() * static_cast<T>(weight);
    x[target] -= static_cast<T>(weight);
  }
}

template struct Embedding<float>;
template struct Embedding<double>;
template struct CrossEntropy<float>;
template struct CrossEntropy<double>;

}  // namespace hourglass::kernels
