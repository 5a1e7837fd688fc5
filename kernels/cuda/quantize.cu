// Block-scaled FP8, bit for bit what kernels/math/quantize.h computes: one division for the scale, one for each value, both
// correctly rounded, so not a multiplication with the reciprocal. The kernels read BF16 once; codes that are needed in
// both directions (a weight: for the output and for the input gradient) come from one reading.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

constexpr int block = 128, block_pieces = block / piece;

struct Codes8 {
  std::uint32_t low, high;
};

HOURGLASS_DEVICE float largest_of(const float (&values)[piece]) {
  float largest = 0.0f;
  for (int i = 0; i < piece; ++i) largest = fmaxf(largest, fabsf(values[i]));
  return largest;
}

HOURGLASS_DEVICE Codes8 encode8(const float (&v)[piece], float scale, const Fp8Format format) {
  return {encode4(v[0] / scale, v[1] / scale, v[2] / scale, v[3] / scale, format),
          encode4(v[4] / scale, v[5] / scale, v[6] / scale, v[7] / scale, format)};
}

HOURGLASS_DEVICE void store_codes(std::uint8_t* to, const Codes8& codes) {
  reinterpret_cast<std::uint32_t*>(to)[0] = codes.low;
  reinterpret_cast<std::uint32_t*>(to)[1] = codes.high;
}

HOURGLASS_DEVICE Index pad4(Index count) { return (count + 3) / 4 * 4; }

// The largest of 16 neighbouring lanes: they hold one block of 128.
HOURGLASS_DEVICE float half_warp_largest(float value) {
  for (int mask = 8; mask > 0; mask >>= 1) value = fmaxf(value, exchange_xor(value, mask));
  return value;
}

// Half a warp takes the block of 128 values that `values` is an eighth of a sixteenth of; `valid`: there is one.
HOURGLASS_DEVICE void quantize_in_row(const ScaledFp8& y, const float (&values)[piece], Index row, Index column,
                                      bool valid, Index rows, Index width, const Fp8Options& options) {
  const float scale =
      block_scale(half_warp_largest(valid ? largest_of(values) : 0.0f), options.format, options.power_of_two);
  if (!valid) return;
  if (column % block == 0) y.scales[column / block * pad4(rows) + row] = scale;
  store_codes(y.codes + row * width + column, encode8(values, scale, options.format));
}

HOURGLASS_KERNEL void quantize_rows_kernel(ScaledFp8 y, const Bf16* x, Index rows, Index width, Fp8Options options) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index();
  const Index across = (width + block - 1) / block * block_pieces, row = item / across, column = item % across * piece;
  const bool valid = row < rows && column < width;
  float values[piece] = {};
  if (valid) load8(x + row * width + column, values);
  quantize_in_row(y, values, row, column, valid, rows, width, options);
}

HOURGLASS_KERNEL void swiglu_quantize_kernel(ScaledFp8 y, const Bf16* gate_up, Index rows, Index width,
                                             Fp8Options options) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index();
  const Index across = (width + block - 1) / block * block_pieces, row = item / across, column = item % across * piece;
  const bool valid = row < rows && column < width;
  float values[piece] = {}, ups[piece];
  if (valid) {
    load8(gate_up + row * 2 * width + column, values);
    load8(gate_up + row * 2 * width + width + column, ups);
    // Rounded to BF16 first, so that the fused kernel gives the codes of the two it replaces.
    for (int i = 0; i < piece; ++i) values[i] = to_float(to_bf16(swiglu(values[i], ups[i])));
  }
  quantize_in_row(y, values, row, column, valid, rows, width, options);
}

HOURGLASS_KERNEL void quantize_tensor_kernel(std::uint8_t* codes, const Bf16* x, float scale, Index pieces,
                                             Fp8Format format) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (item >= pieces) return;
  float values[piece];
  load8(x + item * piece, values);
  store_codes(codes + item * piece, encode8(values, scale, format));
}

// A tile of 128 rows and 64 columns: 256 threads load it, find the largest of each column's 128 values, and write the
// column as a row.
constexpr int tile_columns = 64, quarters = 4;

HOURGLASS_KERNEL void quantize_columns_kernel(ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                                              Fp8Options options) {
  HOURGLASS_SHARED float values[block][tile_columns + 1];
  HOURGLASS_SHARED float largest[quarters][tile_columns];
  const Index row = static_cast<Index>(block_y()) * block, column = static_cast<Index>(block_x()) * tile_columns;
  for (int i = thread_index(); i < block * tile_columns / piece; i += block_threads()) {
    const int r = i / (tile_columns / piece), c = i % (tile_columns / piece) * piece;
    float read[piece] = {};
    if (row + r < rows && column + c < width) load8(x + (row + r) * width + column + c, read);
    for (int k = 0; k < piece; ++k) values[r][c + k] = read[k];
  }
  synchronize();
  const int mine = thread_index() % tile_columns, quarter = thread_index() / tile_columns;
  float found = 0.0f;
  for (int r = quarter * (block / quarters); r < (quarter + 1) * (block / quarters); ++r)
    found = fmaxf(found, fabsf(values[r][mine]));
  largest[quarter][mine] = found;
  synchronize();
  // A warp writes a column: four codes a lane.
  for (int c = warp_index(); c < tile_columns && column + c < width; c += block_threads() / 32) {
    const float most = fmaxf(fmaxf(largest[0][c], largest[1][c]), fmaxf(largest[2][c], largest[3][c]));
    const float scale = block_scale(most, options.format, options.power_of_two);
    const int r = lane_index() * 4;
    if (r == 0) transposed.scales[static_cast<Index>(block_y()) * pad4(width) + column + c] = scale;
    if (row + r >= rows) continue;
    *reinterpret_cast<std::uint32_t*>(transposed.codes + (column + c) * rows + row + r) =
        encode4(values[r][c] / scale, values[r + 1][c] / scale, values[r + 2][c] / scale, values[r + 3][c] / scale,
                options.format);
  }
}

// A block of 128 x 128 for 256 threads, eight pieces each, kept in registers between finding the largest and encoding.
constexpr int block_threads_of_quantize = 256, pieces_each = block * block / piece / block_threads_of_quantize;
constexpr int code_row = block + 4;  // bytes of a row of codes in shared memory

HOURGLASS_DEVICE void write_transposed(const ScaledFp8& transposed, const std::uint8_t* codes, Index row, Index column,
                                       Index rows, Index width) {
  for (int c = warp_index(); c < block && column + c < width; c += block_threads() / 32) {
    const int r = lane_index() * 4;
    if (row + r >= rows) continue;
    std::uint32_t four = 0;
    for (int i = 0; i < 4; ++i) four |= static_cast<std::uint32_t>(codes[(r + i) * code_row + c]) << (8 * i);
    *reinterpret_cast<std::uint32_t*>(transposed.codes + (column + c) * rows + row + r) = four;
  }
}

HOURGLASS_KERNEL void HOURGLASS_BOUNDS(block_threads_of_quantize)
    quantize_blocks_kernel(ScaledFp8 y, ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                           Fp8Options options) {
  HOURGLASS_SHARED float scratch[32];
  HOURGLASS_SHARED Words codes_in_words[block * code_row / 16];
  std::uint8_t* codes = reinterpret_cast<std::uint8_t*>(codes_in_words);
  const Index row = static_cast<Index>(block_y()) * block, column = static_cast<Index>(block_x()) * block;
  float values[pieces_each][piece], largest = 0.0f;
  HOURGLASS_UNROLL
  for (int p = 0; p < pieces_each; ++p) {
    const int i = p * block_threads_of_quantize + thread_index(), r = i / block_pieces, c = i % block_pieces * piece;
    for (int k = 0; k < piece; ++k) values[p][k] = 0.0f;
    if (row + r < rows && column + c < width) load8(x + (row + r) * width + column + c, values[p]);
    largest = fmaxf(largest, largest_of(values[p]));
  }
  const float scale = block_scale(block_largest(largest, scratch), options.format, options.power_of_two);
  if (thread_index() == 0) {
    y.scales[block_y() * pad4((width + block - 1) / block) + block_x()] = scale;
    if (transposed.codes != nullptr)
      transposed.scales[block_x() * pad4((rows + block - 1) / block) + block_y()] = scale;
  }
  HOURGLASS_UNROLL
  for (int p = 0; p < pieces_each; ++p) {
    const int i = p * block_threads_of_quantize + thread_index(), r = i / block_pieces, c = i % block_pieces * piece;
    const Codes8 encoded = encode8(values[p], scale, options.format);
    store_codes(codes + r * code_row + c, encoded);
    if (row + r < rows && column + c < width) store_codes(y.codes + (row + r) * width + column + c, encoded);
  }
  if (transposed.codes == nullptr) return;
  synchronize();
  write_transposed(transposed, codes, row, column, rows, width);
}

void require_sixteenths(Index size, const char* where) {
  require(size > 0 && size % 16 == 0, "a size of an FP8 matrix is not a multiple of 16", where);
}

}  // namespace

Index row_scale_count(Index outer, Index inner) { return divide_up(inner, block) * divide_up(outer, 4) * 4; }
Index block_scale_count(Index outer, Index inner) {
  return divide_up(outer, block) * divide_up(divide_up(inner, block), 4) * 4;
}

void quantize_rows(Stream stream, ScaledFp8 y, const Bf16* x, Index rows, Index width, const Fp8Options& options) {
  require_sixteenths(width, "quantize_rows");
  launch("quantize_rows", quantize_rows_kernel, stream, grid_for(rows * divide_up(width, block) * block_pieces), y, x,
         rows, width, options);
}

void swiglu_quantize(Stream stream, ScaledFp8 y, const Bf16* gate_up, Index rows, Index width,
                     const Fp8Options& options) {
  require_sixteenths(width, "swiglu_quantize");
  launch("swiglu_quantize", swiglu_quantize_kernel, stream, grid_for(rows * divide_up(width, block) * block_pieces), y,
         gate_up, rows, width, options);
}

void quantize_tensor(Stream stream, std::uint8_t* codes, const Bf16* x, float scale, Index count, Fp8Format format) {
  require_sixteenths(count, "quantize_tensor");
  launch("quantize_tensor", quantize_tensor_kernel, stream, grid_for(count / piece), codes, x, scale, count / piece,
         format);
}

void quantize_columns(Stream stream, ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                      const Fp8Options& options) {
  require_sixteenths(width, "quantize_columns");
  require_sixteenths(rows, "quantize_columns");
  launch("quantize_columns", quantize_columns_kernel, stream, {divide_up(width, tile_columns), divide_up(rows, block)},
         transposed, x, rows, width, options);
}

void quantize_blocks(Stream stream, ScaledFp8 y, ScaledFp8 transposed, const Bf16* x, Index rows, Index width,
                     const Fp8Options& options) {
  require_sixteenths(width, "quantize_blocks");
  if (transposed.codes != nullptr) require_sixteenths(rows, "quantize_blocks");
  launch("quantize_blocks", quantize_blocks_kernel, stream,
         {divide_up(width, block), divide_up(rows, block), 1, block_threads_of_quantize}, y, transposed, x, rows, width,
         options);
}

}  // namespace hourglass::kernels::cuda
