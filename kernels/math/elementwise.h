#pragma once

#include "kernels/math/tensor.h"

// The memory-bound kernels between GEMMs: normalisation, rotary embedding, SwiGLU.
namespace hourglass::kernels {

// y = gain x / sqrt(mean(x^2) + epsilon), row by row (Zhang and Sennrich, arXiv 1910.07467). gain is [1, width];
// inverse_rms [rows, 1] is kept for the gradients.
template <class T>
struct RmsNorm {
  static constexpr double epsilon = 1e-6;
  static void forward(const Tensor<T>& x, const Tensor<T>& gain, Tensor<T>& y, Tensor<T>& inverse_rms);
  static void input_gradient(const Tensor<T>& dy, const Tensor<T>& x, const Tensor<T>& gain,
                             const Tensor<T>& inverse_rms, Tensor<T>& dx);
  static void weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, const Tensor<T>& inverse_rms, Tensor<T>& dgain);
};

// Rotary embedding of neighbouring pairs, as DeepSeek-V3's reference code has it. Row r of a tensor is position
// r mod length; in each row, `heads` vectors of `width` values are turned, the h-th from column first + h step on.
template <class T>
struct Rotary {
  Index length = 0, width = 0;
  Tensor<T> cosines, sines;  // [length, width / 2]

  static Rotary table(Index length, Index width, double base = 10000.0);
  void forward(Tensor<T>& x, Index heads, Index step, Index first) const { turn(x, heads, step, first, T(1)); }
  void input_gradient(Tensor<T>& dx, Index heads, Index step, Index first) const {
    turn(dx, heads, step, first, T(-1));
  }

 private:
  void turn(Tensor<T>& x, Index heads, Index step, Index first, T direction) const;
};

// y[rows, width] from gate_up[rows, 2 width]: gates left, ups right.
template <class T>
struct Swiglu {
  static void forward(const Tensor<T>& gate_up, Tensor<T>& y);
  static void input_gradient(const Tensor<T>& dy, const Tensor<T>& gate_up, Tensor<T>& dgate_up);
};

}  // namespace hourglass::kernels
