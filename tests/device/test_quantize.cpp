// The codes and scales of the CUDA kernels are those of the CPU kernels, bit for bit, in the layouts of cuBLASLt.
#include "kernels/math/elementwise.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

namespace {

Index pad4(Index n) { return (n + 3) / 4 * 4; }

// `transposed`: the device's codes are [columns, rows]. Scales of 1 x 128 lie [block][row], of 128 x 128 [row][column].
void check_codes(const Quantized& expected, const DeviceArray<std::uint8_t>& codes, const DeviceArray<float>& scales,
                 bool transposed) {
  const std::vector<std::uint8_t> got = codes.values();
  const std::vector<float> scale = scales.values();
  Index wrong_codes = 0, wrong_scales = 0;
  const Index down = (expected.rows + expected.block_rows - 1) / expected.block_rows, across = expected.scale_columns();
  for (Index r = 0; r < expected.rows; ++r) {
    for (Index c = 0; c < expected.columns; ++c) {
      const Index at = transposed ? c * expected.rows + r : r * expected.columns + c;
      wrong_codes +=
          got[static_cast<std::size_t>(at)] != expected.codes[static_cast<std::size_t>(r * expected.columns + c)];
    }
  }
  for (Index r = 0; r < down; ++r) {
    for (Index c = 0; c < across; ++c) {
      Index at = r * pad4(across) + c;
      if (expected.block_rows == 1) at = c * pad4(expected.rows) + r;
      if (expected.block_columns == 1) at = r * pad4(expected.columns) + c;
      if (expected.block_rows == 128 && expected.block_columns == 128 && transposed) at = c * pad4(down) + r;
      wrong_scales += scale[static_cast<std::size_t>(at)] != expected.scales[static_cast<std::size_t>(r * across + c)];
    }
  }
  CHECK(wrong_codes == 0);
  CHECK(wrong_scales == 0);
}

Tensor<float> with_outliers(Index rows, Index columns, base::Random& random) {
  Tensor<float> x = random_bf16(rows, columns, random);
  for (Index i = 0; i < x.size(); i += 97) x.data()[i] = bf16_round(x.data()[i] * 1000.0f);
  for (Index c = 0; c < columns; ++c) x(1, c) = 0.0f;
  return x;
}

}  // namespace

TEST_CASE("1 x 128 along rows and along columns, 128 x 128 with its transpose") {
  base::Random random(11);
  for (const auto& [rows, width] : {std::pair<Index, Index>{16, 128}, {48, 272}, {144, 400}}) {
    const Tensor<float> x = with_outliers(rows, width, random);
    const auto device = bf16_on_device(x);
    for (const Fp8Options& options : {Fp8Options{e4m3, false}, Fp8Options{e5m2, false}, Fp8Options{e4m3, true}}) {
      DeviceArray<std::uint8_t> codes(x.size()), turned(x.size());
      DeviceArray<float> by_row(row_scale_count(rows, width)), by_column(row_scale_count(width, rows));
      quantize_rows(nullptr, {codes.get(), by_row.get()}, device.get(), rows, width, options);
      check_codes(quantize(x, {1, 128, options.format, options.power_of_two}), codes, by_row, false);
      quantize_columns(nullptr, {turned.get(), by_column.get()}, device.get(), rows, width, options);
      check_codes(quantize(x, {128, 1, options.format, options.power_of_two}), turned, by_column, true);
      DeviceArray<std::uint8_t> blocks(x.size()), turned_blocks(x.size());
      DeviceArray<float> scales(block_scale_count(rows, width)), turned_scales(block_scale_count(width, rows));
      quantize_blocks(nullptr, {blocks.get(), scales.get()}, {turned_blocks.get(), turned_scales.get()}, device.get(),
                      rows, width, options);
      const Quantized expected = quantize(x, {128, 128, options.format, options.power_of_two});
      check_codes(expected, blocks, scales, false);
      check_codes(expected, turned_blocks, turned_scales, true);
    }
  }
  const DeviceArray<std::uint8_t> codes(120);
  CHECK_THROWS_AS(quantize_rows(nullptr, {codes.get(), nullptr}, nullptr, 1, 120, {}), base::Error);
}

TEST_CASE("SwiGLU with the cast gives the codes of the two kernels that it replaces") {
  base::Random random(12);
  const Index rows = 33, width = 272;
  const auto gate_up = bf16_on_device(random_bf16(rows, 2 * width, random, 2.0));
  DeviceArray<Bf16> y(rows * width);
  DeviceArray<std::uint8_t> codes(rows * width), fused(rows * width);
  DeviceArray<float> scales(row_scale_count(rows, width)), fused_scales(row_scale_count(rows, width));
  swiglu_forward(nullptr, y.get(), gate_up.get(), rows, width);
  quantize_rows(nullptr, {codes.get(), scales.get()}, y.get(), rows, width, {});
  swiglu_quantize(nullptr, {fused.get(), fused_scales.get()}, gate_up.get(), rows, width, {});
  CHECK(fused.values() == codes.values());
  const std::vector<float> expected = scales.values(), got = fused_scales.values();
  for (Index b = 0; b < 3; ++b) {
    for (Index r = 0; r < rows; ++r)
      CHECK(got[static_cast<std::size_t>(b * 36 + r)] == expected[static_cast<std::size_t>(b * 36 + r)]);
  }
}

TEST_CASE("every BF16 number is encoded as the software does it") {
  std::vector<Bf16> all;
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const bool not_finite = (bits & 0x7f80u) == 0x7f80u;
    all.push_back({static_cast<std::uint16_t>(not_finite ? 0u : bits)});
  }
  const DeviceArray<Bf16> x(all);
  for (const Fp8Format format : {e4m3, e5m2}) {
    DeviceArray<std::uint8_t> codes(65536);
    DeviceArray<float> scales(row_scale_count(512, 128));
    quantize_rows(nullptr, {codes.get(), scales.get()}, x.get(), 512, 128, {format, false});
    Tensor<float> values(512, 128);
    for (std::size_t i = 0; i < all.size(); ++i) values.data()[i] = value_of(all[i]);
    check_codes(quantize(values, {1, 128, format, false}), codes, scales, false);
  }
}
