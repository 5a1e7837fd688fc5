#include "kernels/cuda/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hourglass::kernels::cuda {

namespace {

constexpr std::size_t least_flush_bytes = std::size_t{256} << 20;

}  // namespace

Bench::Bench()
    : facts(device_facts("the CUDA backend")),
      flush(static_cast<Index>(std::max(least_flush_bytes, 2 * facts.cache_bytes))) {}

std::string CudaCase::check() {
  for (const Output& o : outputs_) poison(o.data, o.bytes, stream());
  enqueue(stream());
  synchronize(stream());
  for (const Output& o : outputs_) {
    const Index bad = o.is_bf16
                          ? count_nan(stream(), static_cast<const Bf16*>(o.data), static_cast<Index>(o.bytes / 2))
                          : count_nan(stream(), static_cast<const float*>(o.data), static_cast<Index>(o.bytes / 4));
    if (bad > 0) return fmt::format("{} values of {} were not written, or are NaN", bad, o.name);
  }
  return compare();
}

// The memset that evicts the cache takes longer than the host needs to enqueue the rest, so the kernel starts without
// waiting for the host.
RunTime CudaCase::run() {
  poison(bench_.flush.get(), bench_.flush.bytes(), stream());
  start_.record(stream());
  enqueue(stream());
  end_.record(stream());
  end_.wait();
  return {end_.seconds_since(start_), false};
}

DeviceArray<Bf16> CudaCase::random(Index count, float deviation) {
  DeviceArray<Bf16> array(count);
  fill_normal(stream(), array.get(), count, deviation, next_seed());
  synchronize(stream());
  return array;
}
DeviceArray<float> CudaCase::random_float(Index count, float deviation) {
  DeviceArray<float> array(count);
  fill_normal(stream(), array.get(), count, deviation, next_seed());
  synchronize(stream());
  return array;
}

namespace {

template <class T>
std::vector<T> raw_part(const DeviceArray<T>& x, Index columns, Index first, Index count, Index column, Index width) {
  std::vector<T> raw(static_cast<std::size_t>(count * width));
  copy_out_rows(raw.data(), static_cast<std::size_t>(width) * sizeof(T), x.get() + first * columns + column,
                static_cast<std::size_t>(columns) * sizeof(T), static_cast<std::size_t>(count));
  return raw;
}

}  // namespace

Tensor<float> part(const DeviceArray<Bf16>& x, Index columns, Index first, Index count, Index column, Index width) {
  const std::vector<Bf16> raw = raw_part(x, columns, first, count, column, width);
  Tensor<float> values(count, width);
  for (std::size_t i = 0; i < raw.size(); ++i)
    values.data()[i] = float_of(static_cast<std::uint32_t>(raw[i].bits) << 16);
  return values;
}
Tensor<float> part(const DeviceArray<float>& x, Index columns, Index first, Index count, Index column, Index width) {
  const std::vector<float> raw = raw_part(x, columns, first, count, column, width);
  Tensor<float> values(count, width);
  std::copy(raw.begin(), raw.end(), values.data());
  return values;
}

std::string differences(const char* name, const Tensor<float>& got, const Tensor<float>& expected, double tolerance) {
  double squares = 0.0, worst = 0.0;
  for (Index i = 0; i < expected.size(); ++i) squares += std::pow(static_cast<double>(expected.data()[i]), 2.0);
  const double typical = std::sqrt(squares / static_cast<double>(std::max<Index>(expected.size(), 1))) + 1e-30;
  Index wrong = 0;
  for (Index i = 0; i < expected.size(); ++i) {
    const double wanted = expected.data()[i];
    const double error = std::abs(static_cast<double>(got.data()[i]) - wanted) / (std::abs(wanted) + typical);
    if (!(error <= tolerance)) ++wrong, worst = std::max(worst, error);
  }
  if (wrong == 0) return "";
  return fmt::format("{} of {} values of {} differ from the CPU's, by up to {:.2g} of them and the typical value",
                     wrong, expected.size(), name, worst);
}

}  // namespace hourglass::kernels::cuda
