// The gradient of a mixture of experts: what a token's experts return is weighted and summed, so that the gradient goes
// to the experts' rows and to the weights; the weights' gradient goes on through the router to x. All three ways into x
// (rows, router, shared expert) are added. Which experts were chosen has no gradient.
#include "kernels/math/mlp.h"

#include "kernels/math/elementwise.h"
#include "kernels/math/linear.h"

namespace hourglass::kernels {

template <class T>
void Mlp<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.insert(all.end(), {{prefix + ".gate_up", &gate_up}, {prefix + ".down", &down}});
}

template <class T>
typename Mlp<T>::Weights Mlp<T>::zeros() const {
  return {Tensor<T>(2 * shape_.intermediate, shape_.hidden), Tensor<T>(shape_.hidden, shape_.intermediate)};
}

template <class T>
typename Mlp<T>::Weights Mlp<T>::random(base::Random& random) const {
  Tensor<T> gate_up = random_weight<T>(2 * shape_.intermediate, shape_.hidden, random);
  return {std::move(gate_up), random_weight<T>(shape_.hidden, shape_.intermediate, random)};
}

template <class T>
void Mlp<T>::forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const {
  Linear<T>::forward(x, w.gate_up, s.gate_up);
  Swiglu<T>::forward(s.gate_up, s.act);
  Linear<T>::forward(s.act, w.down, y);
}

template <class T>
void Mlp<T>::input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const {
  Linear<T>::input_gradient(dy, w.down, s.dact);
  Swiglu<T>::input_gradient(s.dact, s.gate_up, s.dgate_up);
  Linear<T>::input_gradient(s.dgate_up, w.gate_up, dx);
}

template <class T>
void Mlp<T>::weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& g) const {
  Linear<T>::weight_gradient(dy, s.act, g.down);
  Linear<T>::weight_gradient(s.dgate_up, x, g.gate_up);
}

template <class T>
void Moe<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.insert(all.end(), {{prefix + ".router", &router}, {prefix + ".gate_up", &gate_up}, {prefix + ".down", &down}});
  shared.list(prefix + ".shared", all);
}

template <class T>
typename Moe<T>::Weights Moe<T>::zeros() const {
  const Index experts = shape_.router.experts, wide = experts * 2 * shape_.expert_intermediate;
  return {Tensor<T>(experts, shape_.hidden), Tensor<T>(1, experts), Tensor<T>(wide, shape_.hidden),
          Tensor<T>(experts * shape_.hidden, shape_.expert_intermediate), shared_.zeros()};
}

template <class T>
typename Moe<T>::Weights Moe<T>::random(base::Random& random) const {
  Weights w = zeros();
  for (Tensor<T>* matrix : {&w.router, &w.gate_up, &w.down})
    *matrix = random_weight<T>(matrix->rows(), matrix->columns(), random);
  w.bias = random_normal<T>(1, shape_.router.experts, 0.05, random);
  w.shared = shared_.random(random);
  return w;
}

template <class T>
void Moe<T>::forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const {
  Linear<T>::forward(x, w.router, s.logits);
  Router<T>::forward(shape_.router, s.logits, w.bias, s.choice);
  s.permutation = permutation_of(s.choice.experts, shape_.router.experts, shape_.router.top_k);
  Permute<T>::forward(s.permutation, x, s.rows);
  GroupedLinear<T>::forward(s.rows, w.gate_up, s.permutation.offsets, s.gate_up);
  Swiglu<T>::forward(s.gate_up, s.act);
  GroupedLinear<T>::forward(s.act, w.down, s.permutation.offsets, s.out);
  Unpermute<T>::forward(s.permutation, s.out, s.choice.weights, y);
  Tensor<T> shared;
  shared_.forward(w.shared, x, s.shared, shared);
  y.add(shared);
}

template <class T>
void Moe<T>::input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const {
  Unpermute<T>::input_gradient(s.permutation, dy, s.out, s.choice.weights, s.d_out, s.dweights);
  GroupedLinear<T>::input_gradient(s.d_out, w.down, s.permutation.offsets, s.dact);
  Swiglu<T>::input_gradient(s.dact, s.gate_up, s.dgate_up);
  Tensor<T> drows, part;
  GroupedLinear<T>::input_gradient(s.dgate_up, w.gate_up, s.permutation.offsets, drows);
  Permute<T>::input_gradient(s.permutation, drows, dx);
  Router<T>::input_gradient(shape_.router, s.choice, s.dweights, s.dlogits);
  Linear<T>::input_gradient(s.dlogits, w.router, part);
  dx.add(part);
  shared_.input_gradient(w.shared, dy, s.shared, part);
  dx.add(part);
}

template <class T>
void Moe<T>::weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& g) const {
  GroupedLinear<T>::weight_gradient(s.d_out, s.act, s.permutation.offsets, g.down);
  GroupedLinear<T>::weight_gradient(s.dgate_up, s.rows, s.permutation.offsets, g.gate_up);
  Linear<T>::weight_gradient(s.dlogits, x, g.router);
  shared_.weight_gradient(x, dy, s.shared, g.shared);
}

template class Mlp<float>;
template class Mlp<double>;
template class Moe<float>;
template class Moe<double>;

}  // namespace hourglass::kernels
