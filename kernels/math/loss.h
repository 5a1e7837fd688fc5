#pragma once

#include <vector>

#include "kernels/math/tensor.h"

// Both ends of a language model: the embedding of tokens and the cross-entropy of logits.
namespace hourglass::kernels {

template <class T>
struct Embedding {
  static void forward(const std::vector<std::int32_t>& tokens, const Tensor<T>& table, Tensor<T>& y);
  static void weight_gradient(const std::vector<std::int32_t>& tokens, const Tensor<T>& dy, Tensor<T>& dtable);
};

// loss = sum over rows with a target of `weight` (log sum exp(logits) - logits[target]); a target of -1 counts nothing.
// The gradient replaces the logits, which are the largest tensor of a model.
template <class T>
struct CrossEntropy {
  static double forward(const Tensor<T>& logits, const std::vector<std::int32_t>& targets, double weight,
                        Tensor<T>& log_sum);
  static void input_gradient(Tensor<T>& logits, const std::vector<std::int32_t>& targets, double weight,
                             const Tensor<T>& log_sum);
};

}  // namespace hourglass::kernels
