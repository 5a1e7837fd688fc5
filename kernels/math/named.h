#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "kernels/math/tensor.h"

// The weights of a layer in a list: what initialises, compares and reduces them needs no knowledge of the layer. A
// layer's gradients are a second set of its weights, so both lists have the same order.
namespace hourglass::kernels {

template <class T>
struct NamedTensor {
  std::string name;  // "layer3.attention.q_up"
  Tensor<T>* tensor = nullptr;
};
template <class T>
using NamedTensors = std::vector<NamedTensor<T>>;

// Normal weights whose products keep the size of their inputs, and gains near 1 (at 1 a wrong gradient could hide).
template <class T>
Tensor<T> random_weight(Index rows, Index columns, base::Random& random) {
  return random_normal<T>(rows, columns, 1.0 / std::sqrt(static_cast<double>(columns)), random);
}
template <class T>
Tensor<T> random_gain(Index width, base::Random& random) {
  Tensor<T> gain = random_normal<T>(1, width, 0.1, random);
  for (Index i = 0; i < width; ++i) gain.data()[i] += T(1);
  return gain;
}

}  // namespace hourglass::kernels
