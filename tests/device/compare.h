#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/memory.h"
#include "kernels/math/quantize.h"
#include "kernels/math/tensor.h"

// Tensors to the device and back, and the comparison with what the CPU kernels make of the same numbers.
namespace hourglass::kernels::cuda {

inline Tensor<float> rounded(Tensor<float> x) {
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = bf16_round(x.data()[i]);
  return x;
}
// Normal numbers that BF16 holds exactly.
inline Tensor<float> random_bf16(Index rows, Index columns, base::Random& random, double deviation = 1.0) {
  return rounded(random_normal<float>(rows, columns, deviation, random));
}

inline DeviceArray<Bf16> bf16_on_device(const Tensor<float>& x) {
  std::vector<Bf16> values(static_cast<std::size_t>(x.size()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i].bits = static_cast<std::uint16_t>(bits_of(bf16_round(x.data()[i])) >> 16);
  return DeviceArray<Bf16>(values);
}
inline DeviceArray<float> float_on_device(const Tensor<float>& x) {
  return DeviceArray<float>(std::vector<float>(x.data(), x.data() + x.size()));
}

inline float value_of(float x) { return x; }
inline float value_of(Bf16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }

// Every value within `tolerance` of the expected one, relative to it plus the tensor's root mean square.
template <class T>
void check_close(const DeviceArray<T>& got, const Tensor<float>& expected, double tolerance) {
  const std::vector<T> values = got.values();
  REQUIRE(static_cast<Index>(values.size()) == expected.size());
  double square = 0.0, worst = 0.0;
  for (Index i = 0; i < expected.size(); ++i) square += std::pow(static_cast<double>(expected.data()[i]), 2.0);
  const double typical = std::sqrt(square / static_cast<double>(expected.size())) + 1e-30;
  for (Index i = 0; i < expected.size(); ++i) {
    const double wanted = expected.data()[i], value = value_of(values[static_cast<std::size_t>(i)]);
    const double error = std::abs(value - wanted) / (std::abs(wanted) + typical);
    if (!(error <= worst)) worst = error;  // NaN stays
  }
  CHECK(worst <= tolerance);
}

constexpr double bf16_tolerance = 0.0045;    // half a step, 2^-9, and the arithmetic before it
constexpr double sum_tolerance = 0.02;       // sums of products that were rounded to BF16 on the way, the worst of all
constexpr double gradient_tolerance = 0.04;  // and of products of those

}  // namespace hourglass::kernels::cuda
