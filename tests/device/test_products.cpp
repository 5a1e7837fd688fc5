// The kernel that checks large GEMMs, itself checked; random numbers and the search for poison.
#include <cmath>

#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"
#include "kernels/math/linear.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

TEST_CASE("products: single entries in double precision, of BF16 stored either way and of scaled codes") {
  base::Random random(51);
  const Index m = 16, n = 144, k = 272;
  const Tensor<float> x = random_bf16(m, k, random), w = random_bf16(n, k, random);
  Tensor<float> turned(k, n), y, y_codes;
  for (Index r = 0; r < n; ++r) {
    for (Index c = 0; c < k; ++c) turned(c, r) = w(r, c);
  }
  Linear<float>::forward(x, w, y);
  Linear<float>::forward(dequantize(quantize(x, {1, 128, e4m3, false})),
                         dequantize(quantize(w, {128, 128, e4m3, false})), y_codes);
  const auto x_device = bf16_on_device(x), w_device = bf16_on_device(w), turned_device = bf16_on_device(turned);
  const DeviceArray<std::uint8_t> x_codes(m * k), w_codes(n * k);
  const DeviceArray<float> x_scales(row_scale_count(m, k)), w_scales(block_scale_count(n, k));
  quantize_rows(nullptr, {x_codes.get(), x_scales.get()}, x_device.get(), m, k, {});
  quantize_blocks(nullptr, {w_codes.get(), w_scales.get()}, {}, w_device.get(), n, k, {});
  const std::vector<std::int32_t> rows = {0, 3, 15, 7}, columns = {0, 143, 77, 128};
  const DeviceArray<std::int32_t> rows_device(rows), columns_device(columns);
  const DeviceArray<double> out(4);
  const auto check = [&](const ProductView& left, const ProductView& right, const Tensor<float>& expected) {
    products(nullptr, out.get(), left, right, rows_device.get(), columns_device.get(), 4);
    const std::vector<double> got = out.values();
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(got[i] == doctest::Approx(static_cast<double>(expected(rows[i], columns[i]))).epsilon(1e-4).scale(10.0));
  };
  const ProductView left{x_device.get(), Element::bf16, false, Scaling::none, nullptr, m, k};
  check(left, {w_device.get(), Element::bf16, false, Scaling::none, nullptr, n, k}, y);
  check(left, {turned_device.get(), Element::bf16, true, Scaling::none, nullptr, n, k}, y);
  check({x_codes.get(), Element::e4m3, false, Scaling::rows, x_scales.get(), m, k},
        {w_codes.get(), Element::e4m3, false, Scaling::blocks, w_scales.get(), n, k}, y_codes);
}

TEST_CASE("normal numbers have mean 0 and deviation 1; poison is counted") {
  const Index count = 5000;
  DeviceArray<float> x(count);
  CHECK(count_nan(nullptr, x.get(), count) == count);
  fill_normal(nullptr, x.get(), count, 1.0f, 3);
  CHECK(count_nan(nullptr, x.get(), count) == 0);
  double sum = 0.0, squares = 0.0;
  for (const float v : x.values()) sum += v, squares += static_cast<double>(v) * v;
  CHECK(std::abs(sum / count) < 0.06);
  CHECK(std::abs(squares / count - 1.0) < 0.06);
}

TEST_CASE("rows are gathered and added by lists") {
  base::Random random(52);
  const Tensor<float> x = random_bf16(5, 16, random);
  const auto device = bf16_on_device(x);
  const DeviceArray<std::int32_t> rows(std::vector<std::int32_t>{4, 4, 0}),
      offsets(std::vector<std::int32_t>{0, 2, 2, 3}), sources(std::vector<std::int32_t>{1, 2, 3});
  Tensor<float> gathered(3, 16), sums(3, 16);
  for (Index c = 0; c < 16; ++c) {
    gathered(0, c) = gathered(1, c) = x(4, c), gathered(2, c) = x(0, c);
    sums(0, c) = x(1, c) + x(2, c), sums(2, c) = x(3, c);
  }
  const DeviceArray<Bf16> a(48), b(48);
  gather_rows(nullptr, a.get(), device.get(), rows.get(), 3, 16);
  check_close(a, gathered, 0.0);
  sum_rows(nullptr, b.get(), device.get(), offsets.get(), sources.get(), 3, 16);
  check_close(b, sums, bf16_tolerance);
}
