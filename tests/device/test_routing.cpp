// Router, permutation and row moves against the CPU kernels.
#include <numeric>

#include "kernels/math/token_routing.h"
#include "tests/device/compare.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::cuda;

namespace {

// One unit in the last place of a sigmoid may decide between two experts that are as good as equal: such tokens are
// counted, and the rest must agree.
Index differing_tokens(const std::vector<std::int32_t>& got, const std::vector<std::int32_t>& expected, Index top_k) {
  Index count = 0;
  for (std::size_t at = 0; at < got.size(); at += static_cast<std::size_t>(top_k))
    count += !std::equal(got.begin() + static_cast<std::ptrdiff_t>(at),
                         got.begin() + static_cast<std::ptrdiff_t>(at) + top_k,
                         expected.begin() + static_cast<std::ptrdiff_t>(at));
  return count;
}

struct DevicePermutationArrays {
  DeviceArray<std::int32_t> offsets, slot_of_row, row_of_slot;
  DevicePermutationArrays(Index slots, Index experts) : offsets(experts + 1), slot_of_row(slots), row_of_slot(slots) {}
  DevicePermutation view() const { return {offsets.get(), slot_of_row.get(), row_of_slot.get()}; }
};

}  // namespace

TEST_CASE("the router chooses the CPU's experts and weights, and has its gradient") {
  base::Random random(21);
  const Index tokens = 61;
  for (const RouterShape& shape :
       {RouterShape{256, 8, 8, 4, 2.5}, RouterShape{64, 6, 1, 1, 1.0}, RouterShape{40, 3, 5, 2, 2.0},
        RouterShape{32, 2, 32, 4, 1.0}, RouterShape{512, 32, 16, 3, 2.5}}) {
    const Tensor<float> logits = random_normal<float>(tokens, shape.experts, 1.0, random);
    const Tensor<float> bias = random_normal<float>(1, shape.experts, 0.1, random),
                        dweights = random_normal<float>(tokens, shape.top_k, 1.0, random);
    Choice<float> choice;
    Router<float>::forward(shape, logits, bias, choice);
    Tensor<float> dlogits;
    Router<float>::input_gradient(shape, choice, dweights, dlogits);
    const auto logits_device = float_on_device(logits), bias_device = float_on_device(bias),
               dweights_device = float_on_device(dweights);
    DeviceArray<std::int32_t> experts(tokens * shape.top_k);
    DeviceArray<float> weights(tokens * shape.top_k), scores(logits.size()), gradient(logits.size());
    router_forward(nullptr, shape, experts.get(), weights.get(), scores.get(), logits_device.get(), bias_device.get(),
                   tokens);
    check_close(scores, choice.scores, 1e-6);
    const Index differing = differing_tokens(experts.values(), choice.experts, shape.top_k);
    CHECK(differing <= 1);
    if (differing == 0) check_close(weights, choice.weights, 1e-5);
    const DeviceArray<std::int32_t> same(choice.experts);
    const auto same_scores = float_on_device(choice.scores);
    router_input_gradient(nullptr, shape, gradient.get(), same.get(), same_scores.get(), dweights_device.get(), tokens);
    check_close(gradient, dlogits, 1e-4);
  }
}

TEST_CASE("equal scores: the lower index, in groups and in experts") {
  const RouterShape shape{16, 4, 4, 2, 1.0};
  const Tensor<float> logits(2, 16), bias(1, 16);
  const auto logits_device = float_on_device(logits), bias_device = float_on_device(bias);
  DeviceArray<std::int32_t> experts(8);
  DeviceArray<float> weights(8), scores(32);
  router_forward(nullptr, shape, experts.get(), weights.get(), scores.get(), logits_device.get(), bias_device.get(), 2);
  CHECK(experts.values() == std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 3});
  CHECK(weights.values()[7] == doctest::Approx(0.25));
  CHECK_THROWS_AS(router_forward(nullptr, {16, 9, 4, 2, 1.0}, nullptr, nullptr, nullptr, nullptr, nullptr, 2),
                  base::Error);
}

TEST_CASE("permutation, permute and unpermute with their gradients") {
  base::Random random(22);
  for (const auto& [tokens, experts, top_k] : {std::array<Index, 3>{5, 3, 2}, {700, 48, 4}, {1024, 1, 1}}) {
    const Index slots = tokens * top_k, width = 24;
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(slots));
    for (std::int32_t& e : chosen) e = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(experts)));
    const Permutation expected = permutation_of(chosen, experts, top_k);
    const DeviceArray<std::int32_t> chosen_device(chosen);
    DeviceArray<std::int32_t> workspace(permutation_workspace(slots, experts));
    const DevicePermutationArrays arrays(slots, experts);
    const DevicePermutation p = arrays.view();
    permutation(nullptr, p, workspace.get(), chosen_device.get(), slots, experts);
    const auto same = [](const std::vector<std::int32_t>& a, const std::vector<Index>& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end());
    };
    CHECK(same(arrays.offsets.values(), expected.offsets));
    CHECK(same(arrays.slot_of_row.values(), expected.slot_of_row));
    CHECK(same(arrays.row_of_slot.values(), expected.row_of_slot));

    const Tensor<float> x = random_bf16(tokens, width, random), rows = random_bf16(slots, width, random),
                        dy = random_bf16(tokens, width, random);
    const Tensor<float> weights = random_normal<float>(tokens, top_k, 1.0, random);
    Tensor<float> permuted, dx, y, drows, dweights;
    Permute<float>::forward(expected, x, permuted);
    Permute<float>::input_gradient(expected, rows, dx);
    Unpermute<float>::forward(expected, rows, weights, y);
    Unpermute<float>::input_gradient(expected, dy, rows, weights, drows, dweights);
    const auto x_device = bf16_on_device(x), rows_device = bf16_on_device(rows), dy_device = bf16_on_device(dy);
    const auto weights_device = float_on_device(weights);
    DeviceArray<Bf16> a(slots * width), b(tokens * width), c(tokens * width), d(slots * width);
    DeviceArray<float> e(slots);
    permute_forward(nullptr, a.get(), x_device.get(), p, slots, top_k, width);
    check_close(a, permuted, 0.0);
    permute_input_gradient(nullptr, b.get(), rows_device.get(), p, tokens, top_k, width);
    check_close(b, dx, bf16_tolerance);
    unpermute_forward(nullptr, c.get(), rows_device.get(), weights_device.get(), p, tokens, top_k, width);
    check_close(c, y, bf16_tolerance);
    unpermute_input_gradient(nullptr, d.get(), e.get(), dy_device.get(), rows_device.get(), weights_device.get(), p,
                             tokens, top_k, width);
    check_close(d, drows, bf16_tolerance);
    check_close(e, dweights, 1e-5);
  }
}
