#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "base/random.h"

// The one container of the CPU kernels: a row-major matrix whose storage begins on a cache line. Tokens are rows.
namespace hourglass::kernels {

using Index = std::int64_t;

// The place of an index in a std::vector.
constexpr std::size_t position(Index i) { return static_cast<std::size_t>(i); }

template <class T>
struct CacheLineAllocator {
  using value_type = T;

  // Large tensors ask for large pages: kernels that gather rows from anywhere would else wait for page tables.
  static constexpr std::size_t line = 64, large_page = std::size_t{2} << 20, large = 2 * large_page;
  static constexpr std::align_val_t alignment(std::size_t count) {
    return std::align_val_t{count * sizeof(T) >= large ? large_page : line};
  }

  CacheLineAllocator() = default;
  template <class U>
  explicit CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(std::size_t count) {
    void* memory = ::operator new(count * sizeof(T), alignment(count));
#ifdef MADV_HUGEPAGE
    if (count * sizeof(T) >= large) madvise(memory, count * sizeof(T), MADV_HUGEPAGE);  // advice: may be refused
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) { ::operator delete(memory, alignment(count)); }
  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) { return true; }
};

template <class T>
class Tensor {
 public:
  Tensor() = default;
  Tensor(Index rows, Index columns)  // zeros
      : rows_(rows), columns_(columns), values_(static_cast<std::size_t>(rows * columns)) {}

  Index rows() const { return rows_; }
  Index columns() const { return columns_; }
  Index size() const { return rows_ * columns_; }
  bool empty() const { return values_.empty(); }
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  T* row(Index r) { return values_.data() + r * columns_; }
  const T* row(Index r) const { return values_.data() + r * columns_; }
  T& operator()(Index r, Index c) { return values_.data()[r * columns_ + c]; }
  const T& operator()(Index r, Index c) const { return values_.data()[r * columns_ + c]; }

  // Outputs of kernels are resized; one that already fits keeps its memory and its values.
  void resize(Index rows, Index columns) {
    if (rows == rows_ && columns == columns_) return;
    *this = Tensor(rows, columns);
  }
  void fill(T value) { std::fill(values_.begin(), values_.end(), value); }
  void add(const Tensor& other) {
    for (Index i = 0; i < size(); ++i) data()[i] += other.data()[i];
  }

 private:
  Index rows_ = 0, columns_ = 0;
  std::vector<T, CacheLineAllocator<T>> values_;
};

template <class T>
Tensor<T> random_normal(Index rows, Index columns, double deviation, base::Random& random) {
  Tensor<T> tensor(rows, columns);
  for (Index i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<T>(deviation * random.normal());
  return tensor;
}

}  // namespace hourglass::kernels
