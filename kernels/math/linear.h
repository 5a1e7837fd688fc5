#pragma once

#include <vector>

#include "kernels/math/tensor.h"

// Linear layers, one and many. Forward, input gradient and weight gradient are separate calls, because a schedule may
// run the last of them much later. Weight gradients are added to what is there (main gradients).
namespace hourglass::kernels {

template <class T>
struct Linear {
  // y[m, n] = x[m, k] w[n, k]^T
  static void forward(const Tensor<T>& x, const Tensor<T>& w, Tensor<T>& y);
  static void input_gradient(const Tensor<T>& dy, const Tensor<T>& w, Tensor<T>& dx);
  static void weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, Tensor<T>& dw);
};

// `offsets.size() - 1` experts: expert e multiplies rows [offsets[e], offsets[e + 1]) by its own weight, rows
// [e n, (e + 1) n) of w[experts n, k]. Experts without rows are legal.
template <class T>
struct GroupedLinear {
  static void forward(const Tensor<T>& x, const Tensor<T>& w, const std::vector<Index>& offsets, Tensor<T>& y);
  static void input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const std::vector<Index>& offsets, Tensor<T>& dx);
  static void weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, const std::vector<Index>& offsets,
                              Tensor<T>& dw);
};

}  // namespace hourglass::kernels
