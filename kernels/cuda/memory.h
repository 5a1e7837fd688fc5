#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/operators.h"

// Memory of the device, owned.
namespace hourglass::kernels::cuda {

// Why there is no GPU that these kernels run on, after "there is": "none (...)". "": there is one.
std::string no_device();

void* allocate(std::size_t bytes);  // filled with 0xff: NaN as BF16, FP32 and FP8
void release(void* memory);
void copy_in(void* device, const void* host, std::size_t bytes);
void copy_out(void* host, const void* device, std::size_t bytes);  // after all work enqueued before
// `rows` pieces of row_bytes, `pitch` apart on the device, side by side on the host.
void copy_out_rows(void* host, std::size_t row_bytes, const void* device, std::size_t pitch, std::size_t rows);
void poison(void* device, std::size_t bytes, Stream stream);  // 0xff again

template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(Index count)
      : data_(static_cast<T*>(allocate(static_cast<std::size_t>(count) * sizeof(T)))), count_(count) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<Index>(values.size())) {
    copy_in(data_, values.data(), bytes());
  }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { release(data_); }

  T* get() const { return data_; }
  Index size() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }
  std::vector<T> values() const {
    std::vector<T> host(static_cast<std::size_t>(count_));
    copy_out(host.data(), data_, bytes());
    return host;
  }

 private:
  T* data_ = nullptr;
  Index count_ = 0;
};

}  // namespace hourglass::kernels::cuda
