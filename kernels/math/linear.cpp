// Eigen's GEMM, which splits one product over OpenMP threads by itself. Grouped products are shared out by expert
// instead, one thread each: inside a parallel region Eigen does not split further, and experts are many.
#include "kernels/math/linear.h"

#include "base/error.h"
#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

namespace {

void require(bool fits, const char* what) {
  if (!fits) throw base::Error(std::string("the shapes of a ") + what + " do not fit together", "kernels");
}

Index experts_of(const std::vector<Index>& offsets, Index rows, Index weight_rows) {
  const Index experts = static_cast<Index>(offsets.size()) - 1;
  require(experts > 0 && offsets.back() == rows && weight_rows % experts == 0, "grouped linear layer");
  return experts;
}

}  // namespace

template <class T>
void Linear<T>::forward(const Tensor<T>& x, const Tensor<T>& w, Tensor<T>& y) {
  require(x.columns() == w.columns(), "linear layer");
  y.resize(x.rows(), w.rows());
  whole(y).noalias() = whole(x) * whole(w).transpose();
}

template <class T>
void Linear<T>::input_gradient(const Tensor<T>& dy, const Tensor<T>& w, Tensor<T>& dx) {
  require(dy.columns() == w.rows(), "linear layer's input gradient");
  dx.resize(dy.rows(), w.columns());
  whole(dx).noalias() = whole(dy) * whole(w);
}

template <class T>
void Linear<T>::weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, Tensor<T>& dw) {
  require(dy.rows() == x.rows(), "linear layer's weight gradient");
  dw.resize(dy.columns(), x.columns());
  whole(dw).noalias() += whole(dy).transpose() * whole(x);
}

template <class T>
void GroupedLinear<T>::forward(const Tensor<T>& x, const Tensor<T>& w, const std::vector<Index>& offsets,
                               Tensor<T>& y) {
  const Index experts = experts_of(offsets, x.rows(), w.rows()), n = w.rows() / experts, k = w.columns();
  y.resize(x.rows(), n);
#pragma omp parallel for schedule(dynamic)
  for (Index e = 0; e < experts; ++e) {
    const Index first = offsets[position(e)], rows = offsets[position(e + 1)] - first;
    if (rows > 0)
      block(y, first, rows, 0, n).noalias() = block(x, first, rows, 0, k) * block(w, e * n, n, 0, k).transpose();
  }
}

template <class T>
void GroupedLinear<T>::input_gradient(const Tensor<T>& dy, const Tensor<T>& w, const std::vector<Index>& offsets,
                                      Tensor<T>& dx) {
  const Index experts = experts_of(offsets, dy.rows(), w.rows()), n = w.rows() / experts, k = w.columns();
  dx.resize(dy.rows(), k);
#pragma omp parallel for schedule(dynamic)
  for (Index e = 0; e < experts; ++e) {
    const Index first = offsets[position(e)], rows = offsets[position(e + 1)] - first;
    if (rows > 0) block(dx, first, rows, 0, k).noalias() = block(dy, first, rows, 0, n) * block(w, e * n, n, 0, k);
  }
}

template <class T>
void GroupedLinear<T>::weight_gradient(const Tensor<T>& dy, const Tensor<T>& x, const std::vector<Index>& offsets,
                                       Tensor<T>& dw) {
  const Index n = dy.columns(), k = x.columns(), experts = static_cast<Index>(offsets.size()) - 1;
  require(dy.rows() == x.rows() && experts > 0 && offsets.back() == x.rows(), "grouped weight gradient");
  dw.resize(experts * n, k);
#pragma omp parallel for schedule(dynamic)
  for (Index e = 0; e < experts; ++e) {
    const Index first = offsets[position(e)], rows = offsets[position(e + 1)] - first;
    if (rows > 0)
      block(dw, e * n, n, 0, k).noalias() += block(dy, first, rows, 0, n).transpose() * block(x, first, rows, 0, k);
  }
}

template struct Linear<float>;
template struct Linear<double>;
template struct GroupedLinear<float>;
template struct GroupedLinear<double>;

}  // namespace hourglass::kernels
