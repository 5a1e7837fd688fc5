// The CUDA kernels between GEMMs against the CPU kernels. Built twice: on the GPU where there is one, and emulated on
// the CPU everywhere.
#include "kernels/math/elementwise.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

TEST_CASE("RMSNorm: forward, input and weight gradient, widths that fill a block and that do not") {
  base::Random random(1);
  for (const auto& [rows, width] : {std::pair<Index, Index>{3, 64}, {5, 2056}, {130, 264}}) {
    const Tensor<float> x = random_bf16(rows, width, random), dy = random_bf16(rows, width, random);
    const Tensor<float> gain = random_normal<float>(1, width, 0.5, random);
    Tensor<float> y, inverse, dx, dgain(1, width);
    RmsNorm<float>::forward(x, gain, y, inverse);
    RmsNorm<float>::input_gradient(dy, x, gain, inverse, dx);
    dgain.fill(2.0f);
    RmsNorm<float>::weight_gradient(dy, x, inverse, dgain);
    const auto x_device = bf16_on_device(x), dy_device = bf16_on_device(dy);
    const auto gain_device = float_on_device(gain);
    DeviceArray<Bf16> out(x.size()), gradient(x.size());
    DeviceArray<float> inverse_out(rows), workspace(rms_norm_strips(rows) * width);
    rms_norm_forward(nullptr, out.get(), inverse_out.get(), x_device.get(), gain_device.get(), rows, width, 1e-6f);
    check_close(out, y, bf16_tolerance);
    check_close(inverse_out, inverse, 1e-5);
    rms_norm_input_gradient(nullptr, gradient.get(), dy_device.get(), x_device.get(), gain_device.get(),
                            inverse_out.get(), rows, width);
    check_close(gradient, dx, bf16_tolerance);
    Tensor<float> twos(1, width);
    twos.fill(2.0f);
    const auto dgain_device = float_on_device(twos);
    rms_norm_weight_gradient(nullptr, dgain_device.get(), workspace.get(), dy_device.get(), x_device.get(),
                             inverse_out.get(), rows, width);
    check_close(dgain_device, dgain, 1e-4);
  }
}

TEST_CASE("rotary embedding turns the part of each head that it should, and back") {
  base::Random random(2);
  const Rotary<float> table = Rotary<float>::table(7, 16);
  const Tensor<float> x = random_bf16(14, 3 * 40, random);
  Tensor<float> y = x;
  table.forward(y, 3, 40, 24);
  const auto device = bf16_on_device(x);
  const auto cosines = float_on_device(table.cosines), sines = float_on_device(table.sines);
  const RotaryPlace place{14, 120, 3, 40, 24, 16, 7};
  rotary(nullptr, device.get(), cosines.get(), sines.get(), place, 1.0f);
  check_close(device, y, bf16_tolerance);
  rotary(nullptr, device.get(), cosines.get(), sines.get(), place, -1.0f);
  check_close(device, x, 2 * bf16_tolerance);
  CHECK_THROWS_AS(rotary(nullptr, device.get(), cosines.get(), sines.get(), {14, 120, 4, 40, 24, 16, 7}, 1.0f),
                  base::Error);
}

TEST_CASE("SwiGLU and its gradient") {
  base::Random random(3);
  const Tensor<float> gate_up = random_bf16(37, 2 * 72, random, 2.0), dy = random_bf16(37, 72, random);
  Tensor<float> y, dgate_up;
  Swiglu<float>::forward(gate_up, y);
  Swiglu<float>::input_gradient(dy, gate_up, dgate_up);
  const auto in = bf16_on_device(gate_up), dy_device = bf16_on_device(dy);
  DeviceArray<Bf16> out(y.size()), gradient(gate_up.size());
  swiglu_forward(nullptr, out.get(), in.get(), 37, 72);
  check_close(out, y, bf16_tolerance);
  swiglu_input_gradient(nullptr, gradient.get(), dy_device.get(), in.get(), 37, 72);
  check_close(gradient, dgate_up, bf16_tolerance);
  CHECK_THROWS_AS(swiglu_forward(nullptr, out.get(), in.get(), 37, 71), base::Error);
}

TEST_CASE("residual, casts and transposition move every value once") {
  base::Random random(4);
  const Tensor<float> x = random_bf16(67, 131, random), y = random_bf16(67, 131, random);
  Tensor<float> sum = y, turned(131, 67);
  sum.add(x);
  for (Index r = 0; r < 67; ++r) {
    for (Index c = 0; c < 131; ++c) turned(c, r) = x(r, c);
  }
  const auto x_device = bf16_on_device(x), y_device = bf16_on_device(y);
  residual_add(nullptr, y_device.get(), x_device.get(), x.size());
  check_close(y_device, sum, bf16_tolerance);
  DeviceArray<Bf16> across(x.size()), back(x.size());
  transpose(nullptr, across.get(), x_device.get(), 67, 131);
  check_close(across, turned, 0.0);
  DeviceArray<float> wide(x.size());
  cast(nullptr, wide.get(), x_device.get(), x.size());
  check_close(wide, x, 0.0);
  cast(nullptr, back.get(), wide.get(), x.size());
  check_close(back, x, 0.0);
}

TEST_CASE("AdamW updates masters, moments and the BF16 weight in one pass") {
  base::Random random(5);
  const Index count = 517;
  const Tensor<float> start = random_normal<float>(1, count, 1.0, random),
                      gradient = random_normal<float>(1, count, 1.0, random);
  AdamW options;
  options.correction1 = 1.0f / (1.0f - options.beta1);
  options.correction2 = 1.0f / (1.0f - options.beta2);
  Tensor<float> master = start, m(1, count), v(1, count);
  for (Index i = 0; i < count; ++i)
    master.data()[i] = adamw_update(options, start.data()[i], 0.5f * gradient.data()[i], m.data()[i], v.data()[i]);
  const auto gradient_device = float_on_device(gradient);
  DeviceArray<Bf16> weight(count);
  {
    const auto device = float_on_device(start), m_device = float_on_device(Tensor<float>(1, count)),
               v_device = float_on_device(Tensor<float>(1, count));
    adamw(nullptr, options, 0.5f, device.get(), weight.get(), m_device.get(), v_device.get(), gradient_device.get(),
          count);
    check_close(device, master, 1e-6);
    check_close(m_device, m, 1e-6);
    check_close(v_device, v, 1e-6);
    check_close(weight, master, bf16_tolerance);
  }
  const auto device = float_on_device(start);
  const auto m_device = bf16_on_device(Tensor<float>(1, count)), v_device = bf16_on_device(Tensor<float>(1, count));
  adamw(nullptr, options, 0.5f, device.get(), nullptr, m_device.get(), v_device.get(), gradient_device.get(), count);
  check_close(device, master, 1e-6);  // moments are rounded after their use
  check_close(m_device, m, bf16_tolerance);
  check_close(v_device, v, bf16_tolerance);
}
