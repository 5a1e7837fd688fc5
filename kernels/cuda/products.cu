#include "kernels/cuda/launch.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

HOURGLASS_DEVICE double value_at(const ProductView& v, Index outer, Index i) {
  const Index at = v.inner_first ? i * v.outer + outer : outer * v.inner + i;
  if (v.element == Element::bf16) return static_cast<double>(to_float(static_cast<const Bf16*>(v.data)[at]));
  if (v.element == Element::fp32) return static_cast<double>(static_cast<const float*>(v.data)[at]);
  const Fp8Format format =
      v.element == Element::e4m3 ? Fp8Format{3, -6, 0x7e, 448.0f} : Fp8Format{2, -14, 0x7b, 57344.0f};
  const double code = static_cast<double>(fp8_decode(static_cast<const std::uint8_t*>(v.data)[at], format));
  const Index blocks = (v.inner + 127) / 128;
  if (v.scaling == Scaling::tensor) return code * static_cast<double>(v.scales[0]);
  if (v.scaling == Scaling::rows)
    return code * static_cast<double>(v.scales[i / 128 * ((v.outer + 3) / 4 * 4) + outer]);
  if (v.scaling == Scaling::blocks)
    return code * static_cast<double>(v.scales[outer / 128 * ((blocks + 3) / 4 * 4) + i / 128]);
  return code;
}

HOURGLASS_KERNEL void products_kernel(double* out, ProductView left, ProductView right, const std::int32_t* rows,
                                      const std::int32_t* columns) {
  const int at = block_x();
  double sum = 0.0;
  for (Index i = thread_index(); i < left.inner; i += 32)
    sum += value_at(left, rows[at], i) * value_at(right, columns[at], i);
  for (int mask = 16; mask > 0; mask >>= 1) sum += exchange_xor(sum, mask);
  if (thread_index() == 0) out[at] = sum;
}

}  // namespace

void products(Stream stream, double* out, const ProductView& left, const ProductView& right, const std::int32_t* rows,
              const std::int32_t* columns, Index count) {
  require(left.inner == right.inner, "operands of different inner dimension", "products");
  launch("products", products_kernel, stream, {count, 1, 1, 32}, out, left, right, rows, columns);
}

}  // namespace hourglass::kernels::cuda
