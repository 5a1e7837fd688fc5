// FP8 against tables that follow from the definition of the formats, code by code, not from our own arithmetic.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "base/error.h"
#include "kernels/math/fp8.h"
#include "kernels/math/quantize.h"

using namespace hourglass;
using namespace hourglass::kernels;

namespace {

// The value of a code by the definition, in long-hand.
double value_of(int code, int mantissa_bits, int bias) {
  const int fraction = code & ((1 << mantissa_bits) - 1), field = (code & 0x7f) >> mantissa_bits;
  const double significand = fraction / static_cast<double>(1 << mantissa_bits) + (field > 0 ? 1.0 : 0.0);
  return (code & 0x80 ? -1.0 : 1.0) * std::ldexp(significand, (field > 0 ? field : 1) - bias);
}

}  // namespace

TEST_CASE("every code decodes to its value and encodes back to itself") {
  for (const auto& [format, bits, bias] : {std::tuple{e4m3, 3, 7}, std::tuple{e5m2, 2, 15}}) {
    for (int code = 0; code < 256; ++code) {
      const float value = fp8_decode(static_cast<std::uint8_t>(code), format);
      if (static_cast<std::uint32_t>(code & 0x7f) > format.largest_code) {
        CHECK((bits == 2 && (code & 0x7f) == 0x7c ? std::isinf(value) : std::isnan(value)));
        continue;
      }
      CHECK(static_cast<double>(value) == value_of(code, bits, bias));
      CHECK(fp8_encode(value, format) == code);
    }
  }
  CHECK(fp8_decode(0x7e, e4m3) == 448.0f);
  CHECK(fp8_decode(0x7b, e5m2) == 57344.0f);
  CHECK(fp8_decode(0x01, e4m3) == 0x1p-9f);
  CHECK(fp8_decode(0x01, e5m2) == 0x1p-16f);
}

TEST_CASE("between two codes the nearer is taken, at the middle the even one") {
  for (const Fp8Format format : {e4m3, e5m2}) {
    for (std::uint32_t code = 0; code < format.largest_code; ++code) {
      const auto below = static_cast<std::uint8_t>(code), above = static_cast<std::uint8_t>(code + 1);
      const float low = fp8_decode(below, format), high = fp8_decode(above, format), middle = 0.5f * (low + high);
      CHECK(fp8_encode(middle, format) == (code % 2 == 0 ? below : above));
      CHECK(fp8_encode(std::nextafter(middle, low), format) == below);
      CHECK(fp8_encode(std::nextafter(middle, high), format) == above);
      CHECK(fp8_encode(-std::nextafter(middle, high), format) == (above | 0x80));
    }
  }
}

TEST_CASE("beyond the largest value, infinities and NaN") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(fp8_encode(1e30f, e4m3) == 0x7e);
  CHECK(fp8_encode(-infinity, e4m3) == 0xfe);
  CHECK(fp8_encode(infinity, e5m2) == 0x7b);
  CHECK(fp8_encode(std::nanf(""), e4m3) == 0x7f);
  CHECK(fp8_encode(-0.0f, e4m3) == 0x80);
  CHECK(fp8_encode(1e-40f, e5m2) == 0);
}

TEST_CASE("bfloat16 rounds to even and keeps NaN") {
  CHECK(bf16_round(1.0f) == 1.0f);
  CHECK(bf16_round(1.0f + 0x1p-8f) == 1.0f);
  CHECK(bf16_round(1.0f + 0x3p-8f) == 1.0f + 0x1p-6f);
  CHECK(std::isnan(bf16_round(std::nanf(""))));
}

TEST_CASE("block scales: each block uses the whole range, edges are smaller blocks") {
  base::Random random(5);
  Tensor<float> x = random_normal<float>(130, 200, 1.0, random);
  x(129, 199) = 1000.0f;
  for (const QuantizeOptions& options : {QuantizeOptions{1, 128, e4m3, false}, QuantizeOptions{128, 128, e4m3, false},
                                         QuantizeOptions{0, 0, e5m2, false}, QuantizeOptions{1, 128, e4m3, true}}) {
    const Quantized q = quantize(x, options);
    const Index blocks = options.block_rows == 1 ? 130 * 2 : options.block_rows == 128 ? 4 : 1;
    CHECK(q.scales.size() == static_cast<std::size_t>(blocks));
    const double half_step = options.format.mantissa_bits == 3 ? 0x1p-4 : 0x1p-3;
    for (Index r = 0; r < x.rows(); ++r) {
      for (Index c = 0; c < x.columns(); ++c) {
        const double error = std::abs(q.at(r, c) - x(r, c));
        const double smallest = std::ldexp(q.scale_at(r, c), q.format.smallest_exponent);
        CHECK(error <= half_step * 1.0001 * std::max<double>(std::abs(x(r, c)), smallest));
      }
    }
    CHECK(q.at(129, 199) == doctest::Approx(1000.0).epsilon(options.power_of_two ? 0.0625 : 1e-6));
    if (options.power_of_two) {
      int exponent = 0;
      CHECK(std::frexp(q.scales[0], &exponent) == 0.5f);
    }
  }
  CHECK(quantize(Tensor<float>(2, 3), {}).scales == std::vector<float>{1.0f, 1.0f});
  CHECK_THROWS_AS(quantize(x, {-1, 128, e4m3, false}), base::Error);
}
