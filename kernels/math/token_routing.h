#pragma once

#include <vector>

#include "kernels/math/tensor.h"

// Which experts a token goes to, and the way there and back.
namespace hourglass::kernels {

// DeepSeek-V3's router (report, section 2.1.2, equations 12 to 16): s = sigmoid(logit); experts are chosen by s + bias,
// first the `groups_per_token` groups whose two best sum highest, then the top_k experts in them; their weights are s
// without the bias, normalised, times `scale`. Ties go to the lower index.
struct RouterShape {
  Index experts = 0, top_k = 0, groups = 1, groups_per_token = 1;
  double scale = 2.5;
};

template <class T>
struct Choice {
  std::vector<std::int32_t> experts;  // [tokens, top_k]
  Tensor<T> weights;                  // [tokens, top_k]
  Tensor<T> scores;                   // [tokens, experts]: sigmoid(logit)
};

template <class T>
struct Router {
  static void forward(const RouterShape& shape, const Tensor<T>& logits, const Tensor<T>& bias, Choice<T>& choice);
  // The choice itself has no gradient; the bias is no trained weight.
  static void input_gradient(const RouterShape& shape, const Choice<T>& choice, const Tensor<T>& dweights,
                             Tensor<T>& dlogits);
};

// The order of rows by expert: row i of the permuted tensor is slot `slot_of_row[i]` (token x top_k + choice).
struct Permutation {
  Index top_k = 0;
  std::vector<Index> offsets;      // experts + 1
  std::vector<Index> slot_of_row;  // rows
  std::vector<Index> row_of_slot;  // rows
};
Permutation permutation_of(const std::vector<std::int32_t>& experts_of_slots, Index experts, Index top_k);

template <class T>
struct Permute {
  // rows[i] = x[token of row i]; the gradient sums the rows of each token.
  static void forward(const Permutation& p, const Tensor<T>& x, Tensor<T>& rows);
  static void input_gradient(const Permutation& p, const Tensor<T>& drows, Tensor<T>& dx);
};
template <class T>
struct Unpermute {
  // y[token] = sum over choices of weights[token, choice] rows[its row].
  static void forward(const Permutation& p, const Tensor<T>& rows, const Tensor<T>& weights, Tensor<T>& y);
  static void input_gradient(const Permutation& p, const Tensor<T>& dy, const Tensor<T>& rows, const Tensor<T>& weights,
                             Tensor<T>& drows, Tensor<T>& dweights);
};

}  // namespace hourglass::kernels
