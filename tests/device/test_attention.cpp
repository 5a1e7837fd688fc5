// Attention on tensor cores against the CPU kernels: MLA's widths, grouped queries, lengths that fill no tile.
#include "kernels/math/attention.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

namespace {

void compare(const AttentionShape& shape, Index batch, base::Random& random) {
  const Index tokens = batch * shape.length;
  const Tensor<float> q = random_bf16(tokens, shape.heads * shape.qk_dim, random),
                      k = random_bf16(tokens, shape.kv_heads * shape.qk_dim, random);
  const Tensor<float> v = random_bf16(tokens, shape.kv_heads * shape.v_dim, random),
                      d_o = random_bf16(tokens, shape.heads * shape.v_dim, random);
  Tensor<float> o, log_sum, dq, dk, dv;
  Attention<float>::forward(shape, q, k, v, o, log_sum);
  Attention<float>::input_gradient(shape, d_o, q, k, v, o, log_sum, dq, dk, dv);
  const auto q_device = bf16_on_device(q), k_device = bf16_on_device(k), v_device = bf16_on_device(v),
             d_o_device = bf16_on_device(d_o);
  DeviceArray<Bf16> out(o.size()), dq_device(q.size()), dk_device(k.size()), dv_device(v.size());
  DeviceArray<float> log_sum_device(log_sum.size()), delta(log_sum.size());
  attention_forward(nullptr, shape, out.get(), log_sum_device.get(), q_device.get(), k_device.get(), v_device.get(),
                    tokens);
  check_close(out, o, sum_tolerance);
  check_close(log_sum_device, log_sum, 1e-4);
  attention_input_gradient(nullptr, shape, {dq_device.get(), dk_device.get(), dv_device.get(), delta.get()},
                           d_o_device.get(), q_device.get(), k_device.get(), v_device.get(), out.get(),
                           log_sum_device.get(), tokens);
  check_close(dq_device, dq, gradient_tolerance);
  check_close(dk_device, dk, gradient_tolerance);
  check_close(dv_device, dv, gradient_tolerance);
}

}  // namespace

TEST_CASE("attention of every supported head width, causal or not, forward and gradient") {
  base::Random random(31);
  compare({40, 1, 1, 192, 128, true}, 1, random);
  compare({35, 2, 1, 128, 128, true}, 1, random);
  compare({150, 1, 1, 64, 64, true}, 1, random);  // more than one tile of everything
  compare({35, 2, 1, 64, 64, false}, 2, random);
}

TEST_CASE("attention refuses what it has no kernel for") {
  CHECK(!attention_supported({64, 2, 2, 96, 96, true}));
  CHECK(!attention_supported({64, 3, 2, 64, 64, true}));
  CHECK_THROWS_AS(attention_forward(nullptr, {64, 2, 2, 64, 64, true}, nullptr, nullptr, nullptr, nullptr, nullptr, 65),
                  base::Error);
}
