// Every operator's gradients against finite differences in double precision, and its forward against a plain loop.
#include <doctest/doctest.h>

#include <vector>

#include "base/error.h"
#include "kernels/math/arithmetic.h"
#include "kernels/math/attention.h"
#include "kernels/math/elementwise.h"
#include "kernels/math/linear.h"
#include "kernels/math/loss.h"
#include "kernels/math/token_routing.h"
#include "tests/kernels/math/finite_difference.h"

using namespace hourglass;
using namespace hourglass::kernels;

namespace {
using Matrix = Tensor<double>;
Matrix random(Index rows, Index columns, std::uint64_t seed, double deviation = 1.0) {
  base::Random generator(seed);
  return random_normal<double>(rows, columns, deviation, generator);
}
}  // namespace

TEST_CASE("linear: product, input gradient, weight gradient added to what is there") {
  Matrix x = random(7, 5, 1), w = random(3, 5, 2), dy = random(7, 3, 3), y, dx, dw(3, 5);
  Linear<double>::forward(x, w, y);
  CHECK(y(6, 2) == doctest::Approx(x(6, 0) * w(2, 0) + x(6, 1) * w(2, 1) + x(6, 2) * w(2, 2) + x(6, 3) * w(2, 3) +
                                   x(6, 4) * w(2, 4)));
  const auto loss = [&] {
    Linear<double>::forward(x, w, y);
    return dot(y, dy);
  };
  Linear<double>::input_gradient(dy, w, dx);
  Linear<double>::weight_gradient(dy, x, dw);
  check_gradient(x, dx, loss);
  check_gradient(w, dw, loss);
  const double once = dw(1, 1);
  Linear<double>::weight_gradient(dy, x, dw);
  CHECK(dw(1, 1) == doctest::Approx(2.0 * once));
  CHECK_THROWS_AS(Linear<double>::forward(x, dy, y), base::Error);
}

TEST_CASE("grouped linear: each expert its own rows and weight, an expert without rows included") {
  const std::vector<Index> offsets{0, 4, 4, 9};
  Matrix x = random(9, 5, 1), w = random(3 * 2, 5, 2), dy = random(9, 2, 3), y, dx, dw(6, 5);
  GroupedLinear<double>::forward(x, w, offsets, y);
  double expected = 0.0;
  for (Index k = 0; k < 5; ++k) expected += x(8, k) * w(2 * 2 + 1, k);
  CHECK(y(8, 1) == doctest::Approx(expected));
  const auto loss = [&] {
    GroupedLinear<double>::forward(x, w, offsets, y);
    return dot(y, dy);
  };
  GroupedLinear<double>::input_gradient(dy, w, offsets, dx);
  GroupedLinear<double>::weight_gradient(dy, x, offsets, dw);
  check_gradient(x, dx, loss);
  check_gradient(w, dw, loss);
  for (Index k = 0; k < 5; ++k) CHECK(dw(2, k) == 0.0);  // nobody came
}

TEST_CASE("norm, rotary and SwiGLU") {
  SUBCASE("norm") {
    Matrix x = random(6, 700, 1), gain = random(1, 700, 2), dy = random(6, 700, 3), y, inverse, dx, dgain(1, 700);
    const auto loss = [&] {
      RmsNorm<double>::forward(x, gain, y, inverse);
      return dot(y, dy);
    };
    loss();
    double squares = 0.0;
    for (Index i = 0; i < 700; ++i) squares += x(2, i) * x(2, i);
    CHECK(y(2, 9) == doctest::Approx(gain(0, 9) * x(2, 9) / std::sqrt(squares / 700.0 + 1e-6)));
    RmsNorm<double>::input_gradient(dy, x, gain, inverse, dx);
    RmsNorm<double>::weight_gradient(dy, x, inverse, dgain);
    check_gradient(x, dx, loss);
    check_gradient(gain, dgain, loss);
  }
  SUBCASE("rotary keeps lengths and what it does not touch, and its gradient turns back") {
    const auto rotary = Rotary<double>::table(5, 4);
    const Matrix original = random(10, 2 * 6 + 1, 1);
    Matrix x = original;
    rotary.forward(x, 2, 6, 3);
    CHECK(x(7, 0) == original(7, 0));
    CHECK(x(5, 3) == original(5, 3));  // position 0 of the second sequence
    CHECK(x(7, 3) != original(7, 3));
    CHECK(std::hypot(x(7, 3), x(7, 4)) == doctest::Approx(std::hypot(original(7, 3), original(7, 4))));
    CHECK(x(7, 3) == doctest::Approx(original(7, 3) * std::cos(2.0) - original(7, 4) * std::sin(2.0)));
    rotary.input_gradient(x, 2, 6, 3);
    for (Index i = 0; i < x.size(); ++i) CHECK(x.data()[i] == doctest::Approx(original.data()[i]));
  }
  SUBCASE("SwiGLU, also against the arithmetic that the GPU runs") {
    Matrix x = random(3, 14, 1), dy = random(3, 7, 2), y, dx;
    const auto loss = [&] {
      Swiglu<double>::forward(x, y);
      return dot(y, dy);
    };
    loss();
    CHECK(y(2, 4) == doctest::Approx(swiglu(x(2, 4), x(2, 11))));
    Swiglu<double>::input_gradient(dy, x, dx);
    check_gradient(x, dx, loss);
    const auto shared = swiglu_gradient(x(1, 3), x(1, 10), dy(1, 3));
    CHECK(dx(1, 3) == doctest::Approx(shared.gate));
    CHECK(dx(1, 10) == doctest::Approx(shared.up));
  }
}

TEST_CASE("attention: MHA, GQA, causal or not, longer than one block of queries") {
  for (const AttentionShape shape : {AttentionShape{5, 2, 2, 4, 3, true}, AttentionShape{5, 4, 2, 4, 3, true},
                                     AttentionShape{6, 4, 1, 4, 2, false}, AttentionShape{150, 2, 1, 4, 3, true}}) {
    const Index tokens = 2 * shape.length;
    Matrix q = random(tokens, shape.heads * shape.qk_dim, 1), k = random(tokens, shape.kv_heads * shape.qk_dim, 2);
    Matrix v = random(tokens, shape.kv_heads * shape.v_dim, 3), dy = random(tokens, shape.heads * shape.v_dim, 4);
    Matrix o, log_sum, dq, dk, dv;
    const auto loss = [&] {
      Attention<double>::forward(shape, q, k, v, o, log_sum);
      return dot(o, dy);
    };
    loss();
    // One output by the definition: the last head of a token in the second sequence.
    const Index row = shape.length + 3, head = shape.heads - 1, kv = shape.kv_heads - 1;
    double sum = 0.0, value = 0.0;
    for (Index j = 0; j < (shape.causal ? 4 : shape.length); ++j) {
      double score = 0.0;
      for (Index d = 0; d < shape.qk_dim; ++d)
        score += q(row, head * shape.qk_dim + d) * k(shape.length + j, kv * shape.qk_dim + d);
      const double weight = std::exp(score / std::sqrt(static_cast<double>(shape.qk_dim)));
      sum += weight;
      value += weight * v(shape.length + j, kv * shape.v_dim);
    }
    CHECK(o(row, head * shape.v_dim) == doctest::Approx(value / sum));
    CHECK(log_sum(row, head) == doctest::Approx(std::log(sum)));
    Attention<double>::input_gradient(shape, dy, q, k, v, o, log_sum, dq, dk, dv);
    check_gradient(q, dq, loss);
    check_gradient(k, dk, loss);
    check_gradient(v, dv, loss);
  }
}

TEST_CASE("router: limited to groups, chosen by biased score, weighted without the bias") {
  const RouterShape shape{8, 2, 4, 2, 2.5};
  Matrix logits(1, 8), bias(1, 8);
  const double given[] = {3.0, -3.0, 1.0, 0.9, 0.8, 0.8, -1.0, 0.0};
  std::copy(given, given + 8, logits.data());
  Choice<double> choice;
  Router<double>::forward(shape, logits, bias, choice);
  // Sums of the groups' two best: 1.00, 1.44, 1.38, 0.77. So expert 0, the single best, is out of reach.
  CHECK(choice.experts == std::vector<std::int32_t>{2, 3});
  const double s2 = sigmoid(1.0), s3 = sigmoid(0.9);
  CHECK(choice.weights(0, 0) == doctest::Approx(2.5 * s2 / (s2 + s3)));
  bias(0, 1) = 0.9;  // lifts group 0, but expert 1 must not gain weight by it
  bias(0, 5) = -0.5;
  Router<double>::forward(shape, logits, bias, choice);
  CHECK(choice.experts == std::vector<std::int32_t>{0, 1});
  CHECK(choice.weights(0, 1) == doctest::Approx(2.5 * sigmoid(-3.0) / (sigmoid(-3.0) + sigmoid(3.0))));
}

TEST_CASE("router: gradient, ties to the lower index") {
  const RouterShape shape{16, 4, 4, 2, 2.5};
  Matrix logits = random(6, 16, 1), bias = random(1, 16, 2, 0.1), dweights = random(6, 4, 3), dlogits;
  Choice<double> choice;
  const auto loss = [&] {
    Router<double>::forward(shape, logits, bias, choice);
    return dot(choice.weights, dweights);
  };
  loss();
  Router<double>::input_gradient(shape, choice, dweights, dlogits);
  check_gradient(logits, dlogits, loss);
  Matrix equal(1, 16), none(1, 16);
  Router<double>::forward(shape, equal, none, choice);
  CHECK(choice.experts == std::vector<std::int32_t>{0, 1, 2, 3});
}

TEST_CASE("permute and unpermute") {
  const std::vector<std::int32_t> experts{2, 0, 2, 1, 0, 2};  // three tokens, two choices
  const Permutation p = permutation_of(experts, 4, 2);
  CHECK(p.offsets == std::vector<Index>{0, 2, 3, 6, 6});
  CHECK(p.slot_of_row == std::vector<Index>{1, 4, 3, 0, 2, 5});
  Matrix x = random(3, 5, 1), drows = random(6, 5, 2), rows, dx;
  Permute<double>::forward(p, x, rows);
  CHECK(rows(2, 4) == x(1, 4));
  Permute<double>::input_gradient(p, drows, dx);
  check_gradient(x, dx, [&] {
    Permute<double>::forward(p, x, rows);
    return dot(rows, drows);
  });
  Matrix weights = random(3, 2, 3), dy = random(3, 5, 4), y, back, dweights;
  const auto loss = [&] {
    Unpermute<double>::forward(p, rows, weights, y);
    return dot(y, dy);
  };
  loss();
  CHECK(y(2, 0) == doctest::Approx(weights(2, 0) * x(2, 0) + weights(2, 1) * x(2, 0)));
  Unpermute<double>::input_gradient(p, dy, rows, weights, back, dweights);
  check_gradient(rows, back, loss);
  check_gradient(weights, dweights, loss);
}

TEST_CASE("cross-entropy and embedding") {
  const std::vector<std::int32_t> targets{3, -1, 0};
  Matrix logits = random(3, 6, 1), log_sum;
  const auto loss = [&] { return CrossEntropy<double>::forward(logits, targets, 0.5, log_sum); };
  double sum = 0.0;
  for (Index i = 0; i < 6; ++i) sum += std::exp(logits(0, i));
  double second = 0.0;
  for (Index i = 0; i < 6; ++i) second += std::exp(logits(2, i));
  CHECK(loss() == doctest::Approx(0.5 * (std::log(sum) - logits(0, 3) + std::log(second) - logits(2, 0))));
  Matrix gradient = logits;
  CrossEntropy<double>::input_gradient(gradient, targets, 0.5, log_sum);
  for (Index i = 0; i < 6; ++i) CHECK(gradient(1, i) == 0.0);
  check_gradient(logits, gradient, loss);

  const std::vector<std::int32_t> tokens{2, 0, 2};
  Matrix table = random(4, 5, 2), dy = random(3, 5, 3), y, dtable(4, 5);
  Embedding<double>::forward(tokens, table, y);
  CHECK(y(2, 1) == table(2, 1));
  Embedding<double>::weight_gradient(tokens, dy, dtable);
  check_gradient(table, dtable, [&] {
    Embedding<double>::forward(tokens, table, y);
    return dot(y, dy);
  });
}
