#pragma once

#include <vector>

#include "kernels/math/fp8.h"
#include "kernels/math/tensor.h"

// Block-scaled FP8 as DeepSeek-V3 trains with it (report, section 3.3.2): activations in tiles of 1 x 128 along the
// inner dimension, weights in blocks of 128 x 128, one float scale each.
namespace hourglass::kernels {

struct Quantized {
  Index rows = 0, columns = 0;
  Index block_rows = 1, block_columns = 128;
  Fp8Format format = e4m3;
  std::vector<std::uint8_t> codes;  // row-major
  std::vector<float> scales;        // [ceil(rows / block_rows)][ceil(columns / block_columns)]

  Index scale_columns() const { return (columns + block_columns - 1) / block_columns; }
  float scale_at(Index r, Index c) const {
    return scales[static_cast<std::size_t>(r / block_rows * scale_columns() + c / block_columns)];
  }
  // The value as the next GEMM sees it.
  float at(Index r, Index c) const {
    return fp8_decode(codes[static_cast<std::size_t>(r * columns + c)], format) * scale_at(r, c);
  }
};

struct QuantizeOptions {
  Index block_rows = 1, block_columns = 128;  // 0: the whole dimension, so {0, 0} is one scale for the tensor
  Fp8Format format = e4m3;
  bool power_of_two = false;
};

// Blocks at the edge may be smaller. Throws base::Error for a negative block.
Quantized quantize(const Tensor<float>& x, const QuantizeOptions& options);
void quantize(const Tensor<float>& x, const QuantizeOptions& options, Quantized& q);  // keeps the memory of `q`
Tensor<float> dequantize(const Quantized& x);

}  // namespace hourglass::kernels
