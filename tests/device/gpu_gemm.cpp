// What only a GPU can show: cuBLASLt's GEMMs against the CPU kernels, conversions in hardware, and every case of the
// quick suite through the checks of the benchmark.
#include "base/error.h"
#include "base/json.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/products.h"
#include "kernels/math/linear.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

TEST_CASE("a BF16 layer's three GEMMs") {
  base::Random random(41);
  const Index m = 96, n = 160, k = 224;
  const Tensor<float> x = random_bf16(m, k, random), w = random_bf16(n, k, random), dy = random_bf16(m, n, random);
  Tensor<float> y, dx, dw(n, k);
  Linear<float>::forward(x, w, y);
  Linear<float>::input_gradient(dy, w, dx);
  Linear<float>::weight_gradient(dy, x, dw);
  const auto x_device = bf16_on_device(x), w_device = bf16_on_device(w), dy_device = bf16_on_device(dy);
  const DeviceArray<Bf16> y_device(m * n), dx_device(m * k);
  const auto dw_device = float_on_device(Tensor<float>(n, k));
  const DeviceArray<unsigned char> workspace(gemm_workspace_bytes);
  GemmProblem forward{m, n, k, {x_device.get()}, {w_device.get()}, y_device.get()};
  forward.right.transposed = true;
  Gemm(forward).enqueue(nullptr, workspace);
  check_close(y_device, y, sum_tolerance);
  Gemm({m, k, n, {dy_device.get()}, {w_device.get()}, dx_device.get()}).enqueue(nullptr, workspace);
  check_close(dx_device, dx, sum_tolerance);
  GemmProblem weight{n, k, m, {dy_device.get()}, {x_device.get()}, dw_device.get(), Element::fp32, true};
  weight.left.transposed = true;
  Gemm(weight).enqueue(nullptr, workspace);
  check_close(dw_device, dw, 1e-3);
}

TEST_CASE("block-scaled FP8, 1 x 128 by 128 x 128 and 1 x 128 by 1 x 128, against the dequantised product") {
  const DeviceFacts facts = device_facts("the test");
  if (facts.major != 9) {
    MESSAGE("not checked: block scales need compute capability 9.0, this is ", facts.major, ".", facts.minor);
    return;
  }
  base::Random random(42);
  const Index m = 144, n = 272, k = 400;
  const Tensor<float> x = random_bf16(m, k, random), w = random_bf16(n, k, random);
  const DeviceArray<unsigned char> workspace(gemm_workspace_bytes);
  for (const bool blocks : {true, false}) {
    const auto x_device = bf16_on_device(x), w_device = bf16_on_device(w);
    const DeviceArray<std::uint8_t> x_codes(m * k), w_codes(n * k);
    const DeviceArray<float> x_scales(row_scale_count(m, k)),
        w_scales(blocks ? block_scale_count(n, k) : row_scale_count(n, k));
    quantize_rows(nullptr, {x_codes.get(), x_scales.get()}, x_device.get(), m, k, {});
    if (blocks) quantize_blocks(nullptr, {w_codes.get(), w_scales.get()}, {}, w_device.get(), n, k, {});
    if (!blocks) quantize_rows(nullptr, {w_codes.get(), w_scales.get()}, w_device.get(), n, k, {});
    Tensor<float> y;
    Linear<float>::forward(dequantize(quantize(x, {1, 128, e4m3, false})),
                           dequantize(quantize(w, {blocks ? 128 : 1, 128, e4m3, false})), y);
    const DeviceArray<Bf16> out(m * n);
    GemmProblem p{m,
                  n,
                  k,
                  {x_codes.get(), Element::e4m3, false, Scaling::rows, x_scales.get()},
                  {w_codes.get(), Element::e4m3, true, blocks ? Scaling::blocks : Scaling::rows, w_scales.get()},
                  out.get()};
    Gemm(p).enqueue(nullptr, workspace);
    check_close(out, y, sum_tolerance);
    CHECK(check_products(nullptr, p, 256, 1, sum_tolerance) == "");
  }
}

TEST_CASE("what the backend says of the device can be read back from a file of samples") {
  const std::unique_ptr<Backend> backend = make_cuda_backend({});
  hardware::SampleSet set;
  set.device = backend->device().name, set.device_facts = backend->device().facts, set.source = "a test";
  CHECK(hardware::read_samples(hardware::samples_json(set), "test").device_facts == set.device_facts);
}

TEST_CASE("every case of the quick suite passes its check") {
  const std::unique_ptr<Backend> backend = make_cuda_backend({});
  for (const BenchCase& c : named_suite("quick", "cuda")) {
    if (!backend->unsupported(c).empty()) continue;
    CAPTURE(describe(c));
    CHECK(backend->prepare(c, 7)->check() == "");
  }
}
