#pragma once

#include <cstdint>

namespace hourglass::model {

// e5m6: DeepSeek-V3's 12-bit format for the cached attention output (report, section 3.3.3).
enum class Dtype : std::uint8_t { e4m3, e5m2, e5m6, bf16, fp32 };
constexpr double bytes_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::e4m3:
    case Dtype::e5m2:
      return 1.0;
    case Dtype::e5m6:
      return 1.5;
    case Dtype::bf16:
      return 2.0;
    case Dtype::fp32:
      return 4.0;
  }
  return 0.0;
}
constexpr bool is_fp8(Dtype dtype) { return dtype == Dtype::e4m3 || dtype == Dtype::e5m2; }
const char* name_of(Dtype dtype);

// The recipe of a training run: what linear layers multiply in.
enum class Precision : std::uint8_t {
  bf16,
  fp8_block,  // E4M3, 1x128 and 128x128 scales (DeepSeek-V3 section 3.3)
  fp8_tensor  // one scale a tensor (Transformer Engine's delayed and current scaling; Megatron: tensorwise)
};

}  // namespace hourglass::model
