#pragma once

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/math/tensor.h"

namespace hourglass::kernels {

inline double dot(const Tensor<double>& a, const Tensor<double>& b) {
  double sum = 0.0;
  for (Index i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

// Compares a gradient with central differences of `loss` along three random directions through `x`, which loss() reads.
template <class Loss>
void check_gradient(Tensor<double>& x, const Tensor<double>& gradient, const Loss& loss, double tolerance = 1e-6) {
  REQUIRE(gradient.rows() == x.rows());
  REQUIRE(gradient.columns() == x.columns());
  base::Random random(99);
  const double step = 1e-5;
  for (int trial = 0; trial < 3; ++trial) {
    const Tensor<double> direction = random_normal<double>(x.rows(), x.columns(), 1.0, random), original = x;
    const auto moved = [&](double by) {
      for (Index i = 0; i < x.size(); ++i) x.data()[i] = original.data()[i] + by * direction.data()[i];
      return loss();
    };
    const double expected = (moved(step) - moved(-step)) / (2.0 * step), actual = dot(gradient, direction);
    x = original;
    CHECK(actual == doctest::Approx(expected).epsilon(tolerance).scale(1.0));
    CHECK(std::abs(expected) > 1e-9);  // a gradient of nothing would prove nothing
  }
}

}  // namespace hourglass::kernels
