// Two passes over each block: its largest magnitude, then the codes. A row of blocks is one unit of parallel work.
#include "kernels/math/quantize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

namespace {

// fp8_encode without a branch, so that compilers vectorise it; every code is the same (a test compares them).
// A normal number is rounded in its own bits: adding half a unit, less one if the kept part is even, carries into the
// exponent where it must. A number below the smallest normal is rounded by the addition of 2^23 units, which leaves
// the count of units in the low bits.
template <int mantissa_bits, int smallest_exponent, std::uint32_t largest_code>
std::uint32_t encode(float value) {
  constexpr int dropped = 23 - mantissa_bits;
  const std::uint32_t bits = bits_of(value), sign = (bits >> 24) & 0x80u, magnitude = bits & 0x7fffffffu;
  const std::uint32_t rounded = magnitude + ((1u << (dropped - 1)) - 1u) + ((magnitude >> dropped) & 1u);
  const std::uint32_t normal =
      (rounded >> dropped) - (static_cast<std::uint32_t>(126 + smallest_exponent) << mantissa_bits);
  constexpr std::uint32_t units = static_cast<std::uint32_t>(127 + 23 + smallest_exponent - mantissa_bits) << 23;
  const std::uint32_t small = bits_of(float_of(magnitude) + float_of(units)) - units;
  constexpr std::uint32_t first_normal = static_cast<std::uint32_t>(127 + smallest_exponent) << 23;
  std::uint32_t code = magnitude < first_normal ? small : normal;
  code = code < largest_code ? code : largest_code;
  code = magnitude > 0x7f800000u ? 0x7fu : code;
  return sign | code;
}

constexpr Index scale_tile = 128;  // values under one scale in DeepSeek-V3

// In pieces, because a loop that stores bytes must not look as if it could change what it reads.
template <int mantissa_bits, int smallest_exponent, std::uint32_t largest_code>
void encode_row(const float* x, Index count, float scale, std::uint8_t* codes) {
  std::uint32_t wide[scale_tile];
  Index first = 0;
  for (; first + scale_tile <= count; first += scale_tile) {  // a whole tile has no remainder to treat
    for (Index i = 0; i < scale_tile; ++i)
      wide[i] = encode<mantissa_bits, smallest_exponent, largest_code>(x[first + i] / scale);
    for (Index i = 0; i < scale_tile; ++i) codes[first + i] = static_cast<std::uint8_t>(wide[i]);
  }
  for (; first < count; ++first) {
    codes[first] = static_cast<std::uint8_t>(encode<mantissa_bits, smallest_exponent, largest_code>(x[first] / scale));
  }
}

// The largest magnitude, as bits: magnitudes order like integers. NaN does not count.
std::uint32_t largest_magnitude(const float* x, Index count, std::uint32_t so_far) {
  const auto counted = [](float value) {
    const std::uint32_t magnitude = bits_of(value) & 0x7fffffffu;
    return magnitude > 0x7f800000u ? 0u : magnitude;
  };
  Index first = 0;
  for (; first + scale_tile <= count; first += scale_tile) {
    const float* values = x + first;
#pragma omp simd reduction(max : so_far)
    for (Index i = 0; i < scale_tile; ++i) so_far = so_far > counted(values[i]) ? so_far : counted(values[i]);
  }
  for (; first < count; ++first) so_far = std::max(so_far, counted(x[first]));
  return so_far;
}

void quantize_block(const Tensor<float>& x, Quantized& q, Index row, Index column, float* scale, bool power_of_two) {
  const Index last_row = std::min(row + q.block_rows, q.rows), count = std::min(q.block_columns, q.columns - column);
  std::uint32_t largest = 0;
  for (Index r = row; r < last_row; ++r) {
    // The block beside this one, or below: rows of a block are far apart.
    if (column + count < q.columns && q.block_rows > 1)
      fetch(x.row(r) + column + count, std::min(count, q.columns - column - count));
    else if (r + q.block_rows < q.rows)
      fetch(x.row(r + q.block_rows) + column, count);
    largest = largest_magnitude(x.row(r) + column, count, largest);
  }
  *scale = block_scale(float_of(largest), q.format, power_of_two);
  for (Index r = row; r < last_row; ++r) {
    std::uint8_t* codes = q.codes.data() + r * q.columns + column;
    if (q.format.mantissa_bits == 3)
      encode_row<3, -6, 0x7e>(x.row(r) + column, count, *scale, codes);
    else
      encode_row<2, -14, 0x7b>(x.row(r) + column, count, *scale, codes);
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
