// Two passes over each block: its largest magnitude, then the codes. A row of blocks is one unit of parallel work.
#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace hourglass::kernels {

namespace {

void quantize_block(const Tensor<float>& x, Quantized& q, Index row, Index column, float* scale, bool power_of_two) {
  const Index last_row = std::min(row + q.block_rows, q.rows), last = std::min(column + q.block_columns, q.columns);
  float largest = 0.0f;
  for (Index r = row; r < last_row; ++r) {
    for (Index c = column; c < last; ++c) largest = std::max(largest, std::abs(x(r, c)));
  }
  *scale = block_scale(largest, q.format, power_of_two);
  for (Index r = row; r < last_row; ++r) {
    std::uint8_t* codes = q.codes.data() + r * q.columns;
    for (Index c = column; c < last; ++c) codes[c] = fp8_encode(x(r, c) / *scale, q.format);
  }
}

}  // namespace

void quantize(const Tensor<float>& x, const QuantizeOptions& options, Quantized& q) {
  if (options.block_rows < 0 || options.block_columns < 0)
    throw base::Error("a block of quantisation has a negative size", "quantize", "use 0 for the whole dimension");
  q.rows = x.rows(), q.columns = x.columns();
  q.block_rows = options.block_rows > 0 ? options.block_rows : std::max<Index>(q.rows, 1);
  q.block_columns = options.block_columns > 0 ? options.block_columns : std::max<Index>(q.columns, 1);
  q.format = options.format;
  q.codes.resize(static_cast<std::size_t>(x.size()));
  const Index block_rows = (q.rows + q.block_rows - 1) / q.block_rows, across = q.scale_columns();
  q.scales.resize(static_cast<std::size_t>(block_rows * across));
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < block_rows; ++i) {
    for (Index j = 0; j < across; ++j) {
      quantize_block(x, q, i * q.block_rows, j * q.block_columns, q.scales.data() + i * across + j,
                     options.power_of_two);
    }
  }
}

Quantized quantize(const Tensor<float>& x, const QuantizeOptions& options) {
  Quantized q;
  quantize(x, options, q);
  return q;
}

Tensor<float> dequantize(const Quantized& q) {
  Tensor<float> x(q.rows, q.columns);
#pragma omp parallel for schedule(static)
  for (Index r = 0; r < q.rows; ++r) {
    for (Index c = 0; c < q.columns; ++c) x(r, c) = q.at(r, c);
  }
  return x;
}

}  // namespace hourglass::kernels
