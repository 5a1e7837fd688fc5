#pragma once

#include "kernels/cuda/operators.h"
#include "kernels/cuda/simt.h"
#include "kernels/math/fp8.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#endif

// BF16 and FP8 as the kernels see them: bits, computed with as floats. Where the GPU has an instruction for a
// conversion it is used; kernels/math/fp8.h is what it must agree with.
namespace hourglass::kernels::cuda {

HOURGLASS_HOST_DEVICE inline float to_float(float x) { return x; }
HOURGLASS_HOST_DEVICE inline float to_float(Bf16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
HOURGLASS_HOST_DEVICE inline Bf16 to_bf16(float x) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#else
  return {static_cast<std::uint16_t>(bits_of(bf16_round(x)) >> 16)};
#endif
}
HOURGLASS_HOST_DEVICE inline void assign(float& to, float x) { to = x; }
HOURGLASS_HOST_DEVICE inline void assign(Bf16& to, float x) { to = to_bf16(x); }

// Two values in one word, the first in the lower half, as the tensor cores take them.
HOURGLASS_HOST_DEVICE inline std::uint32_t pack(float first, float second) {
  return static_cast<std::uint32_t>(to_bf16(first).bits) | static_cast<std::uint32_t>(to_bf16(second).bits) << 16;
}

constexpr int piece = 8;  // BF16 values in 16 bytes

// Eight neighbouring values of a tensor, 16-byte aligned.
HOURGLASS_DEVICE void load8(const Bf16* from, float (&to)[8]) {
  const Words words = *reinterpret_cast<const Words*>(from);
  const std::uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
  HOURGLASS_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = float_of(pairs[i] << 16);
    to[2 * i + 1] = float_of(pairs[i] & 0xffff0000u);
  }
}
HOURGLASS_DEVICE void store8(Bf16* to, const float (&from)[8]) {
  *reinterpret_cast<Words*>(to) =
      Words{pack(from[0], from[1]), pack(from[2], from[3]), pack(from[4], from[5]), pack(from[6], from[7])};
}
HOURGLASS_DEVICE void load8(const float* from, float (&to)[8]) {
  HOURGLASS_UNROLL
  for (int i = 0; i < 2; ++i) {
    const Words words = reinterpret_cast<const Words*>(from)[i];
    to[4 * i] = float_of(words.x);
    to[4 * i + 1] = float_of(words.y);
    to[4 * i + 2] = float_of(words.z);
    to[4 * i + 3] = float_of(words.w);
  }
}

// Four codes, the first in the lowest byte.
HOURGLASS_DEVICE std::uint32_t encode4(float a, float b, float c, float d, const Fp8Format format) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  const __nv_fp8_interpretation_t kind = format.mantissa_bits == 3 ? __NV_E4M3 : __NV_E5M2;
  const std::uint32_t low = __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, kind);
  const std::uint32_t high = __nv_cvt_float2_to_fp8x2(make_float2(c, d), __NV_SATFINITE, kind);
  return low | high << 16;
#else
  return static_cast<std::uint32_t>(fp8_encode(a, format)) | static_cast<std::uint32_t>(fp8_encode(b, format)) << 8 |
         static_cast<std::uint32_t>(fp8_encode(c, format)) << 16 |
         static_cast<std::uint32_t>(fp8_encode(d, format)) << 24;
#endif
}

}  // namespace hourglass::kernels::cuda
