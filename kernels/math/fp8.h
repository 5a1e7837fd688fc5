#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/math/arithmetic.h"

// FP8 in software, bit for bit what Hopper's conversion instructions give (Micikevicius et al., arXiv 2209.05433):
//   E4M3: bias 7, largest 448 = 0x7e, no infinity, NaN 0x7f;   E5M2: bias 15, largest 57344 = 0x7b, infinity 0x7c.
// Encoding rounds to nearest, ties to even, and saturates to the largest finite value, infinities too
// (cvt.rn.satfinite). Everything is integer arithmetic on the bits of the float, so a compiler's floating-point
// options do not matter, and the same header compiles for host and device.
namespace hourglass::kernels {

struct Fp8Format {
  int mantissa_bits;
  int smallest_exponent;       // of a normal number
  std::uint32_t largest_code;  // finite
  float largest;
};
inline constexpr Fp8Format e4m3{3, -6, 0x7e, 448.0f};
inline constexpr Fp8Format e5m2{2, -14, 0x7b, 57344.0f};

HOURGLASS_HOST_DEVICE inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
HOURGLASS_HOST_DEVICE inline float float_of(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// value >> shift, rounded to nearest, ties to even. 0 <= shift.
HOURGLASS_HOST_DEVICE inline std::uint32_t shift_and_round(std::uint32_t value, int shift) {
  if (shift == 0) return value;
  if (shift > 25) return 0;  // a 24-bit significand is then below half a unit
  const std::uint32_t kept = value >> shift, lost = value & ((1u << shift) - 1u), half = 1u << (shift - 1);
  return kept + (lost > half || (lost == half && (kept & 1u) != 0u) ? 1u : 0u);
}

// In units of the format's spacing at the number's exponent, a significand q has the code (e - e_min) 2^m + q, for
// normal and subnormal numbers alike, and a carry out of the significand lands in the exponent by itself.
HOURGLASS_HOST_DEVICE inline std::uint8_t fp8_encode(float value, const Fp8Format format) {
  const std::uint32_t bits = bits_of(value), sign = (bits >> 24) & 0x80u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint8_t>(sign | 0x7fu);  // NaN
  if (magnitude == 0x7f800000u) return static_cast<std::uint8_t>(sign | format.largest_code);
  if (magnitude < 0x00800000u) return static_cast<std::uint8_t>(sign);  // float subnormals are far below half a unit
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
  const int effective = exponent > format.smallest_exponent ? exponent : format.smallest_exponent;
  const std::uint32_t q = shift_and_round(significand, 23 - format.mantissa_bits + (effective - exponent));
  std::uint32_t code = (static_cast<std::uint32_t>(effective - format.smallest_exponent) << format.mantissa_bits) + q;
  if (code > format.largest_code) code = format.largest_code;
  return static_cast<std::uint8_t>(sign | code);
}

HOURGLASS_HOST_DEVICE inline float fp8_decode(std::uint8_t code, const Fp8Format format) {
  const std::uint32_t magnitude = code & 0x7fu, sign = static_cast<std::uint32_t>(code & 0x80u) << 24;
  if (magnitude > format.largest_code) {
    const bool infinity = format.mantissa_bits == 2 && magnitude == 0x7cu;
    return float_of(sign | (infinity ? 0x7f800000u : 0x7fc00000u));
  }
  const std::uint32_t fraction = magnitude & ((1u << format.mantissa_bits) - 1u);
  const int field = static_cast<int>(magnitude >> format.mantissa_bits);
  const int exponent = (field > 0 ? field - 1 : 0) + format.smallest_exponent - format.mantissa_bits;
  const std::uint32_t significand = field > 0 ? fraction | (1u << format.mantissa_bits) : fraction;
  const float unit = float_of(static_cast<std::uint32_t>(exponent + 127) << 23);  // exact: 2^exponent is normal
  return float_of(bits_of(static_cast<float>(significand) * unit) | sign);
}

// BF16: the upper half of a float, rounded to nearest, ties to even.
HOURGLASS_HOST_DEVICE inline float bf16_round(float value) {
  const std::uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return float_of(bits | 0x400000u);
  return float_of((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

// The scale of a block whose largest magnitude is `largest`: a stored value times the scale is the value. With
// `power_of_two` it is rounded up to one, as DeepSeek-V3 does for activations that are cast twice (report, section
// 3.3.2) and Blackwell's UE8M0 scales require. A block of zeros gets 1.
HOURGLASS_HOST_DEVICE inline float block_scale(float largest, const Fp8Format format, bool power_of_two) {
  if (!(largest >= 1.1754944e-38f * 65536.0f)) return 1.0f;
  const float scale = largest / format.largest;
  if (!power_of_two) return scale;
  const std::uint32_t bits = bits_of(scale);
  return float_of((bits & 0x7fffffu) != 0u ? (bits & 0x7f800000u) + 0x800000u : bits);
}

}  // namespace hourglass::kernels
