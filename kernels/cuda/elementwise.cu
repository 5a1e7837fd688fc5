// The memory-bound kernels between GEMMs. Every value is read once and written once, in pieces of 16 bytes; what needs
// a whole row (the norms) gives a row to a block, whose second reading of it comes from the cache.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

HOURGLASS_KERNEL void rms_norm_forward_kernel(Bf16* y, float* inverse_rms, const Bf16* x, const float* gain, int width,
                                              float epsilon) {
  HOURGLASS_SHARED float scratch[32];
  const Index row = block_x(), start = row * width;
  float sum = 0.0f, values[piece], gains[piece];
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    load8(x + start + c, values);
    for (int i = 0; i < piece; ++i) sum += values[i] * values[i];
  }
  sum = block_sum(sum, scratch);
  const float inverse = 1.0f / sqrtf(sum / static_cast<float>(width) + epsilon);
  if (thread_index() == 0) inverse_rms[row] = inverse;
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    load8(x + start + c, values);
    load8(gain + c, gains);
    for (int i = 0; i < piece; ++i) values[i] *= gains[i] * inverse;
    store8(y + start + c, values);
  }
}

// dx_i = r (g_i dy_i - x_i r^2 / n sum_j g_j dy_j x_j), as in kernels/math/elementwise.cpp.
HOURGLASS_KERNEL void rms_norm_input_gradient_kernel(Bf16* dx, const Bf16* dy, const Bf16* x, const float* gain,
                                                     const float* inverse_rms, int width) {
  HOURGLASS_SHARED float scratch[32];
  const Index row = block_x(), start = row * width;
  const float inverse = inverse_rms[row];
  float sum = 0.0f, values[piece], gradients[piece], gains[piece];
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    load8(x + start + c, values);
    load8(dy + start + c, gradients);
    load8(gain + c, gains);
    for (int i = 0; i < piece; ++i) sum += gains[i] * gradients[i] * values[i];
  }
  const float along = block_sum(sum, scratch) * inverse * inverse / static_cast<float>(width);
  for (int c = thread_index() * piece; c < width; c += block_threads() * piece) {
    load8(x + start + c, values);
    load8(dy + start + c, gradients);
    load8(gain + c, gains);
    for (int i = 0; i < piece; ++i) values[i] = (gains[i] * gradients[i] - values[i] * along) * inverse;
    store8(dx + start + c, values);
  }
}

// Column sums in two steps of fixed order, so without atomics: a warp of 32 x 8 columns walks down a strip of rows,
// then the strips are added.
constexpr int strip_columns = 32 * piece, strip_warps = 8;

HOURGLASS_KERNEL void rms_norm_strip_kernel(float* partial, const Bf16* dy, const Bf16* x, const float* inverse_rms,
                                            Index rows, int width, Index strip_rows) {
  HOURGLASS_SHARED float sums[strip_warps][strip_columns];
  const int column = block_x() * strip_columns + lane_index() * piece;
  const Index first = block_y() * strip_rows, last = first + strip_rows < rows ? first + strip_rows : rows;
  float sum[piece] = {}, values[piece], gradients[piece];
  if (column < width) {
    for (Index r = first + warp_index(); r < last; r += strip_warps) {
      load8(x + r * width + column, values);
      load8(dy + r * width + column, gradients);
      for (int i = 0; i < piece; ++i) sum[i] += gradients[i] * values[i] * inverse_rms[r];
    }
  }
  for (int i = 0; i < piece; ++i) sums[warp_index()][lane_index() * piece + i] = sum[i];
  synchronize();
  const int mine = block_x() * strip_columns + thread_index();
  if (mine >= width) return;
  float total = 0.0f;
  for (int warp = 0; warp < strip_warps; ++warp) total += sums[warp][thread_index()];
  partial[static_cast<Index>(block_y()) * width + mine] = total;
}

HOURGLASS_KERNEL void add_strips_kernel(float* dgain, const float* partial, int width, int strips) {
  const int column = block_x() * block_threads() + thread_index();
  if (column >= width) return;
  float sum = 0.0f;
  for (int strip = 0; strip < strips; ++strip) sum += partial[static_cast<Index>(strip) * width + column];
  dgain[column] += sum;
}

HOURGLASS_KERNEL void rotary_kernel(std::uint32_t* x, const float* cosines, const float* sines, RotaryPlace place,
                                    float direction) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index(), half = place.width / 2;
  if (item >= place.rows * place.heads * half) return;
  const Index i = item % half, head = item / half % place.heads, row = item / half / place.heads;
  std::uint32_t& pair = x[(row * place.columns + place.first + head * place.step) / 2 + i];
  float first = float_of(pair << 16), second = float_of(pair & 0xffff0000u);
  const Index at = row % place.length * half + i;
  rotate(first, second, cosines[at], direction * sines[at]);
  pair = pack(first, second);
}

HOURGLASS_KERNEL void swiglu_forward_kernel(Bf16* y, const Bf16* gate_up, Index pieces, int width) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (item >= pieces) return;
  const Index across = width / piece, row = item / across, column = item % across * piece;
  float gates[piece], ups[piece];
  load8(gate_up + row * 2 * width + column, gates);
  load8(gate_up + row * 2 * width + width + column, ups);
  for (int i = 0; i < piece; ++i) gates[i] = swiglu(gates[i], ups[i]);
  store8(y + row * width + column, gates);
}

HOURGLASS_KERNEL void swiglu_input_gradient_kernel(Bf16* dgate_up, const Bf16* dy, const Bf16* gate_up, Index pieces,
                                                   int width) {
  const Index item = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (item >= pieces) return;
  const Index across = width / piece, row = item / across, column = item % across * piece;
  float gates[piece], ups[piece], gradients[piece];
  load8(gate_up + row * 2 * width + column, gates);
  load8(gate_up + row * 2 * width + width + column, ups);
  load8(dy + row * width + column, gradients);
  for (int i = 0; i < piece; ++i) {
    const SwigluGradient<float> gradient = swiglu_gradient(gates[i], ups[i], gradients[i]);
    gates[i] = gradient.gate;
    ups[i] = gradient.up;
  }
  store8(dgate_up + row * 2 * width + column, gates);
  store8(dgate_up + row * 2 * width + width + column, ups);
}

HOURGLASS_KERNEL void residual_add_kernel(Bf16* y, const Bf16* x, Index count) {
  const Index at = (static_cast<Index>(block_x()) * block_threads() + thread_index()) * piece;
  if (at + piece <= count) {
    float values[piece], added[piece];
    load8(y + at, values);
    load8(x + at, added);
    for (int i = 0; i < piece; ++i) values[i] += added[i];
    store8(y + at, values);
  } else {
    for (Index i = at; i < count; ++i) y[i] = to_bf16(to_float(y[i]) + to_float(x[i]));
  }
}

template <class To, class From>
HOURGLASS_KERNEL void cast_kernel(To* to, const From* from, Index count) {
  const Index i = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (i < count) assign(to[i], to_float(from[i]));
}

constexpr int tile = 64;

HOURGLASS_KERNEL void transpose_kernel(Bf16* to, const Bf16* from, Index rows, Index columns) {
  HOURGLASS_SHARED Bf16 values[tile][tile + 2];
  const Index row = static_cast<Index>(block_y()) * tile, column = static_cast<Index>(block_x()) * tile;
  for (int i = thread_index(); i < tile * tile; i += block_threads()) {
    const int r = i / tile, c = i % tile;
    if (row + r < rows && column + c < columns) values[r][c] = from[(row + r) * columns + column + c];
  }
  synchronize();
  for (int i = thread_index(); i < tile * tile; i += block_threads()) {
    const int c = i / tile, r = i % tile;
    if (row + r < rows && column + c < columns) to[(column + c) * rows + row + r] = values[r][c];
  }
}

template <class Moment>
HOURGLASS_KERNEL void adamw_kernel(AdamW options, float gradient_scale, float* master, Bf16* weight, Moment* m,
                                   Moment* v, const float* gradient, Index count) {
  const Index i = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (i >= count) return;
  float first = to_float(m[i]), second = to_float(v[i]);
  const float updated = adamw_update(options, master[i], gradient_scale * gradient[i], first, second);
  master[i] = updated;
  assign(m[i], first);
  assign(v[i], second);
  if (weight != nullptr) weight[i] = to_bf16(updated);
}

}  // namespace

void rms_norm_forward(Stream stream, Bf16* y, float* inverse_rms, const Bf16* x, const float* gain, Index rows,
                      Index width, float epsilon) {
  require_pieces(width, "rms_norm_forward");
  launch("rms_norm_forward", rms_norm_forward_kernel, stream, {rows}, y, inverse_rms, x, gain, static_cast<int>(width),
         epsilon);
}

void rms_norm_input_gradient(Stream stream, Bf16* dx, const Bf16* dy, const Bf16* x, const float* gain,
                             const float* inverse_rms, Index rows, Index width) {
  require_pieces(width, "rms_norm_input_gradient");
  launch("rms_norm_input_gradient", rms_norm_input_gradient_kernel, stream, {rows}, dx, dy, x, gain, inverse_rms,
         static_cast<int>(width));
}

Index rms_norm_strips(Index rows) { return rows < 64 * 64 ? divide_up(rows, 64) : 64; }

void rms_norm_weight_gradient(Stream stream, float* dgain, float* workspace, const Bf16* dy, const Bf16* x,
                              const float* inverse_rms, Index rows, Index width) {
  require_pieces(width, "rms_norm_weight_gradient");
  const Index strips = rms_norm_strips(rows);
  if (strips == 0) return;
  launch("rms_norm_strips", rms_norm_strip_kernel, stream, {divide_up(width, strip_columns), strips}, workspace, dy, x,
         inverse_rms, rows, static_cast<int>(width), divide_up(rows, strips));
  launch("rms_norm_add_strips", add_strips_kernel, stream, grid_for(width), dgain, workspace, static_cast<int>(width),
         static_cast<int>(strips));
}

void rotary(Stream stream, Bf16* x, const float* cosines, const float* sines, const RotaryPlace& place,
            float direction) {
  require(place.width % 2 == 0 && place.step % 2 == 0 && place.first % 2 == 0 && place.columns % 2 == 0 &&
              place.length > 0 && place.first + (place.heads - 1) * place.step + place.width <= place.columns,
          "the rotated vectors are of odd size or do not fit into a row", "rotary");
  launch("rotary", rotary_kernel, stream, grid_for(place.rows * place.heads * place.width / 2),
         reinterpret_cast<std::uint32_t*>(x), cosines, sines, place, direction);
}

void swiglu_forward(Stream stream, Bf16* y, const Bf16* gate_up, Index rows, Index width) {
  require_pieces(width, "swiglu_forward");
  launch("swiglu_forward", swiglu_forward_kernel, stream, grid_for(rows * width / piece), y, gate_up,
         rows * width / piece, static_cast<int>(width));
}

void swiglu_input_gradient(Stream stream, Bf16* dgate_up, const Bf16* dy, const Bf16* gate_up, Index rows,
                           Index width) {
  require_pieces(width, "swiglu_input_gradient");
  launch("swiglu_input_gradient", swiglu_input_gradient_kernel, stream, grid_for(rows * width / piece), dgate_up, dy,
         gate_up, rows * width / piece, static_cast<int>(width));
}

void residual_add(Stream stream, Bf16* y, const Bf16* x, Index count) {
  launch("residual_add", residual_add_kernel, stream, grid_for(divide_up(count, piece)), y, x, count);
}

void cast(Stream stream, Bf16* to, const float* from, Index count) {
  launch("cast_to_bf16", cast_kernel<Bf16, float>, stream, grid_for(count), to, from, count);
}
void cast(Stream stream, float* to, const Bf16* from, Index count) {
  launch("cast_to_float", cast_kernel<float, Bf16>, stream, grid_for(count), to, from, count);
}

void transpose(Stream stream, Bf16* to, const Bf16* from, Index rows, Index columns) {
  launch("transpose", transpose_kernel, stream, {divide_up(columns, tile), divide_up(rows, tile)}, to, from, rows,
         columns);
}

void adamw(Stream stream, const AdamW& options, float gradient_scale, float* master, Bf16* weight, float* m, float* v,
           const float* gradient, Index count) {
  launch("adamw", adamw_kernel<float>, stream, grid_for(count), options, gradient_scale, master, weight, m, v, gradient,
         count);
}
void adamw(Stream stream, const AdamW& options, float gradient_scale, float* master, Bf16* weight, Bf16* m, Bf16* v,
           const float* gradient, Index count) {
  launch("adamw", adamw_kernel<Bf16>, stream, grid_for(count), options, gradient_scale, master, weight, m, v, gradient,
         count);
}

}  // namespace hourglass::kernels::cuda
