#pragma once

#include <Eigen/Core>

#include "kernels/math/tensor.h"

// Tensors as Eigen sees them. Only the .cpp files of this room include it: the room is compiled for this machine's
// processor, with Eigen in a namespace of its own (see CMakeLists.txt), so no Eigen type may cross its headers.
namespace hourglass::kernels {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Strided = Eigen::Map<RowMajor<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstStrided = Eigen::Map<const RowMajor<T>, 0, Eigen::OuterStride<>>;
template <class T>
using Values = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;
template <class T>
using ConstValues = Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>>;

// `rows` rows from `first_row`, `columns` columns from `first_column`.
template <class T>
Strided<T> block(Tensor<T>& t, Index first_row, Index rows, Index first_column, Index columns) {
  return {t.row(first_row) + first_column, rows, columns, Eigen::OuterStride<>(t.columns())};
}
template <class T>
ConstStrided<T> block(const Tensor<T>& t, Index first_row, Index rows, Index first_column, Index columns) {
  return {t.row(first_row) + first_column, rows, columns, Eigen::OuterStride<>(t.columns())};
}
template <class T>
Strided<T> whole(Tensor<T>& t) {
  return block(t, 0, t.rows(), 0, t.columns());
}
template <class T>
ConstStrided<T> whole(const Tensor<T>& t) {
  return block(t, 0, t.rows(), 0, t.columns());
}

// Asks for memory that is needed soon and that the processor cannot foresee: a row somewhere else. Into the
// second-level cache, line by line.
template <class T>
void fetch(const T* values, Index count) {
  constexpr Index line = 64 / sizeof(T);
  for (Index i = 0; i < count; i += line) __builtin_prefetch(values + i, 0, 2);
}

}  // namespace hourglass::kernels
