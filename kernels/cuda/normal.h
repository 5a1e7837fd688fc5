#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/math/arithmetic.h"

// Random numbers that need no state: number i of a stream is a hash of (seed, i), so that every thread makes its own.
namespace hourglass::kernels::cuda {

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
HOURGLASS_HOST_DEVICE inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Standard normal (Box and Muller 1958).
HOURGLASS_HOST_DEVICE inline float normal_number(std::uint64_t seed, std::uint64_t i) {
  const std::uint64_t bits = mixed(mixed(seed) + i);
  const float u = (static_cast<float>(bits >> 40) + 0.5f) * 0x1.0p-24f;  // in (0, 1)
  const float angle = 6.28318531f * (static_cast<float>(bits & 0xffffffu) * 0x1.0p-24f);
  return sqrtf(-2.0f * logf(u)) * cosf(angle);
}

}  // namespace hourglass::kernels::cuda
