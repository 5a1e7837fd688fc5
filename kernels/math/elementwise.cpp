// Every row is read once and written once, vectorised along the row by Eigen; rows are shared out to threads.
//
// Gradient of the normalisation: with r = 1 / rms and n = width, y_i = g_i x_i r gives
//   dx_i = r (g_i dy_i - x_i r^2 / n sum_j g_j dy_j x_j),      dg_i = sum over rows of dy_i x_i r.
#include "kernels/math/elementwise.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "kernels/math/arithmetic.h"
#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

template <class T>
void RmsNorm<T>::forward(const Tensor<T>& x, const Tensor<T>& gain, Tensor<T>& y, Tensor<T>& inverse_rms) {
  const Index rows = x.rows(), width = x.columns();
  y.resize(rows, width);
  inverse_rms.resize(rows, 1);
  const ConstValues<T> g(gain.data(), width);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) {
    const ConstValues<T> in(x.row(r), width);
    const T inverse = T(1) / std::sqrt(in.square().sum() / static_cast<T>(width) + static_cast<T>(epsilon));
    inverse_rms(r, 0) = inverse;
    Values<T>(y.row(r), width) = in * g * inverse;
  }
}

template <class T>
void RmsNorm<T>::input_gradient(const Tensor<T>& dy, const Tensor<T>& x, const Tensor<T>& gain,
                                const Tensor<T>& inverse_rms, Tensor<T>& dx) {
  const Index rows = x.rows(), width = x.columns();
  dx.resize(rows, width);
  const ConstValues<T> g(gain.data(), width);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) {
    const ConstValues<T> in(x.row(r), width), d(dy.row(r), width);
    const T inverse = inverse_rms(r, 0);
    const T along = (g * d * in).sum() * inverse * inverse / static_cast<T>(width);
    Values<T>(dx.row(r), width) = (g * d - in * along) * inverse;
  }
}

template <class T>
void RmsNorm<T>::weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, const Tensor<T>& inverse_rms,
                                 Tensor<T>& dgain) {
  const Index rows = x.rows(), width = x.columns(), share = 256, shares = (rows + share - 1) / share;
  dgain.resize(1, width);
  // Fixed shares of rows, whose sums are added in order: the same result on any number of threads. The main gradient is
  // added to once, so that its error does not grow with the rows.
  Tensor<T> sums(shares, width);
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < shares; ++i) {
    Values<T> sum(sums.row(i), width);
    for (Index r = i * share; r < std::min(rows, (i + 1) * share); ++r)
      sum += ConstValues<T>(dy.row(r), width) * ConstValues<T>(x.row(r), width) * inverse_rms(r, 0);
  }
  for (Index i = 1; i < shares; ++i) Values<T>(sums.row(0), width) += ConstValues<T>(sums.row(i), width);
  if (shares > 0) Values<T>(dgain.data(), width) += ConstValues<T>(sums.row(0), width);
}

template <class T>
Rotary<T> Rotary<T>::table(Index length, Index width, double base) {
  Rotary rotary{length, width, Tensor<T>(length, width / 2), Tensor<T>(length, width / 2)};
  for (Index position = 0; position < length; ++position) {
    for (Index i = 0; i < width / 2; ++i) {
      const double frequency = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(width));
      rotary.cosines(position, i) = static_cast<T>(std::cos(static_cast<double>(position) * frequency));
      rotary.sines(position, i) = static_cast<T>(std::sin(static_cast<double>(position) * frequency));
    }
  }
  return rotary;
}

template <class T>
void Rotary<T>::turn(Tensor<T>& x, Index heads, Index step, Index first, T direction) const {
  // A pair is a complex number, which is what Eigen has vector instructions for (the product is rotate() of
  // arithmetic.h); a row's factors serve all its heads.
  using Pairs = Eigen::Map<Eigen::Array<std::complex<T>, 1, Eigen::Dynamic>>;
  const Index pairs = width / 2;
#pragma omp parallel
  {
    Eigen::Array<std::complex<T>, 1, Eigen::Dynamic> factors(pairs);
#pragma omp for schedule(static)
    for (Index r = 0; r < x.rows(); ++r) {
      const T *cosine = cosines.row(r % length), *sine = sines.row(r % length);
      for (Index i = 0; i < pairs; ++i) factors[i] = {cosine[i], direction * sine[i]};
      for (Index h = 0; h < heads; ++h) {
        T* pair = x.row(r) + first + h * step;
        if (r + 4 < x.rows()) fetch(pair + 4 * x.columns(), width);  // strides that no prefetcher follows
        Pairs(reinterpret_cast<std::complex<T>*>(pair), pairs) *= factors;
      }
    }
  }
}

// In pieces of a row, so that what one line leaves is in the first-level cache for the next.
constexpr Index swiglu_piece = 1024;

template <class T>
void Swiglu<T>::forward(const Tensor<T>& gate_up, Tensor<T>& y) {
  const Index rows = gate_up.rows(), width = gate_up.columns() / 2;
  y.resize(rows, width);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) {
    for (Index first = 0; first < width; first += swiglu_piece) {
      const Index count = std::min(swiglu_piece, width - first);
      const ConstValues<T> gate(gate_up.row(r) + first, count), up(gate_up.row(r) + width + first, count);
      Values<T>(y.row(r) + first, count) = gate / (T(1) + (-gate).exp()) * up;
    }
  }
}

template <class T>
void Swiglu<T>::input_gradient(const Tensor<T>& dy, const Tensor<T>& gate_up, Tensor<T>& dgate_up) {
  const Index rows = gate_up.rows(), width = gate_up.columns() / 2;
  dgate_up.resize(rows, 2 * width);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < rows; ++r) {
    for (Index first = 0; first < width; first += swiglu_piece) {
      const Index count = std::min(swiglu_piece, width - first);
      const ConstValues<T> gate(gate_up.row(r) + first, count), up(gate_up.row(r) + width + first, count),
          d(dy.row(r) + first, count);
      Values<T> dgate(dgate_up.row(r) + first, count), dup(dgate_up.row(r) + width + first, count);
      dgate = T(1) / (T(1) + (-gate).exp());  // the sigmoid, here for a moment
      dup = d * gate * dgate;
      dgate = d * up * dgate * (T(1) + gate * (T(1) - dgate));
    }
  }
}

template struct RmsNorm<float>;
template struct RmsNorm<double>;
template struct Rotary<float>;
template struct Rotary<double>;
template struct Swiglu<float>;
template struct Swiglu<double>;

}  // namespace hourglass::kernels
