// MLA as it is trained, with keys and values made anew from the latents; absorbing the up-projections into the queries
// pays only when decoding. DeepSeek's code has the latent's and the rotary key's projection in one weight of
// kv_rank + rope rows; here they are two, the same products without a copy of the latent.
#include "kernels/math/attention_block.h"

#include <algorithm>

#include "kernels/math/linear.h"

namespace hourglass::kernels {

// MLA.

template <class T>
void Mla<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.insert(all.end(), {{prefix + ".q_down", &q_down},
                         {prefix + ".q_norm", &q_norm},
                         {prefix + ".q_up", &q_up},
                         {prefix + ".kv_down", &kv_down},
                         {prefix + ".kv_norm", &kv_norm},
                         {prefix + ".kv_up", &kv_up},
                         {prefix + ".k_rope", &k_rope},
                         {prefix + ".out", &out}});
}

template <class T>
Mla<T>::Mla(const MlaShape& shape)
    : shape_(shape),
      core_{shape.length, shape.heads, shape.heads, shape.nope_dim + shape.rope_dim, shape.v_dim, true},
      rotary_(Rotary<T>::table(shape.length, shape.rope_dim)) {}

template <class T>
typename Mla<T>::Weights Mla<T>::zeros() const {
  const MlaShape& a = shape_;
  return {Tensor<T>(a.q_rank, a.hidden),
          Tensor<T>(1, a.q_rank),
          Tensor<T>(a.heads * core_.qk_dim, a.q_rank),
          Tensor<T>(a.kv_rank, a.hidden),
          Tensor<T>(1, a.kv_rank),
          Tensor<T>(a.heads * (a.nope_dim + a.v_dim), a.kv_rank),
          Tensor<T>(a.rope_dim, a.hidden),
          Tensor<T>(a.hidden, a.heads * a.v_dim)};
}

template <class T>
typename Mla<T>::Weights Mla<T>::random(base::Random& random) const {
  Weights w = zeros();
  for (Tensor<T>* matrix : {&w.q_down, &w.q_up, &w.kv_down, &w.kv_up, &w.k_rope, &w.out})
    *matrix = random_weight<T>(matrix->rows(), matrix->columns(), random);
  w.q_norm = random_gain<T>(shape_.q_rank, random);
  w.kv_norm = random_gain<T>(shape_.kv_rank, random);
  return w;
}

// Heads' keys from their own part and the shared rotary one; values out of kv.
template <class T>
void Mla<T>::join_heads(Saved& s) const {
  const MlaShape& a = shape_;
  s.k.resize(s.kv.rows(), a.heads * core_.qk_dim);
  s.v.resize(s.kv.rows(), a.heads * a.v_dim);
  for (Index r = 0; r < s.kv.rows(); ++r) {
    const T* from = s.kv.row(r);
    for (Index h = 0; h < a.heads; ++h) {
      T* key = std::copy_n(from, a.nope_dim, s.k.row(r) + h * core_.qk_dim);
      std::copy_n(s.k_rope.row(r), a.rope_dim, key);
      std::copy_n(from + a.nope_dim, a.v_dim, s.v.row(r) + h * a.v_dim);
      from += a.nope_dim + a.v_dim;
    }
  }
}

// The way back: the shared key's gradient is the sum over heads.
template <class T>
void Mla<T>::split_heads(Saved& s) const {
  const MlaShape& a = shape_;
  s.dkv.resize(s.dk.rows(), a.heads * (a.nope_dim + a.v_dim));
  s.dk_rope.resize(s.dk.rows(), a.rope_dim);
  s.dk_rope.fill(T(0));
  for (Index r = 0; r < s.dk.rows(); ++r) {
    T *to = s.dkv.row(r), *shared = s.dk_rope.row(r);
    for (Index h = 0; h < a.heads; ++h) {
      const T* key = s.dk.row(r) + h * core_.qk_dim;
      to = std::copy_n(key, a.nope_dim, to);
      for (Index i = 0; i < a.rope_dim; ++i) shared[i] += key[a.nope_dim + i];
      to = std::copy_n(s.dv.row(r) + h * a.v_dim, a.v_dim, to);
    }
  }
}

template <class T>
void Mla<T>::forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const {
  Linear<T>::forward(x, w.q_down, s.q_latent);
  RmsNorm<T>::forward(s.q_latent, w.q_norm, s.q_normed, s.q_inverse);
  Linear<T>::forward(s.q_normed, w.q_up, s.q);
  rotary_.forward(s.q, shape_.heads, core_.qk_dim, shape_.nope_dim);
  Linear<T>::forward(x, w.kv_down, s.kv_latent);
  RmsNorm<T>::forward(s.kv_latent, w.kv_norm, s.kv_normed, s.kv_inverse);
  Linear<T>::forward(s.kv_normed, w.kv_up, s.kv);
  Linear<T>::forward(x, w.k_rope, s.k_rope);
  rotary_.forward(s.k_rope, 1, shape_.rope_dim, 0);
  join_heads(s);
  Attention<T>::forward(core_, s.q, s.k, s.v, s.o, s.log_sum);
  Linear<T>::forward(s.o, w.out, y);
}

template <class T>
void Mla<T>::input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const {
  Linear<T>::input_gradient(dy, w.out, s.d_o);
  Attention<T>::input_gradient(core_, s.d_o, s.q, s.k, s.v, s.o, s.log_sum, s.dq, s.dk, s.dv);
  rotary_.input_gradient(s.dq, shape_.heads, core_.qk_dim, shape_.nope_dim);
  Linear<T>::input_gradient(s.dq, w.q_up, s.dq_normed);
  RmsNorm<T>::input_gradient(s.dq_normed, s.q_latent, w.q_norm, s.q_inverse, s.dq_latent);
  Linear<T>::input_gradient(s.dq_latent, w.q_down, dx);
  split_heads(s);
  Linear<T>::input_gradient(s.dkv, w.kv_up, s.dkv_normed);
  RmsNorm<T>::input_gradient(s.dkv_normed, s.kv_latent, w.kv_norm, s.kv_inverse, s.dkv_latent);
  Tensor<T> part;
  Linear<T>::input_gradient(s.dkv_latent, w.kv_down, part);
  dx.add(part);
  rotary_.input_gradient(s.dk_rope, 1, shape_.rope_dim, 0);
  Linear<T>::input_gradient(s.dk_rope, w.k_rope, part);
  dx.add(part);
}

template <class T>
void Mla<T>::weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& g) const {
  Linear<T>::weight_gradient(dy, s.o, g.out);
  Linear<T>::weight_gradient(s.dq, s.q_normed, g.q_up);
  RmsNorm<T>::weight_gradient(s.dq_normed, s.q_latent, s.q_inverse, g.q_norm);
  Linear<T>::weight_gradient(s.dq_latent, x, g.q_down);
  Linear<T>::weight_gradient(s.dkv, s.kv_normed, g.kv_up);
  RmsNorm<T>::weight_gradient(s.dkv_normed, s.kv_latent, s.kv_inverse, g.kv_norm);
  Linear<T>::weight_gradient(s.dkv_latent, x, g.kv_down);
  Linear<T>::weight_gradient(s.dk_rope, x, g.k_rope);
}

// GQA.

template <class T>
void Gqa<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.insert(all.end(), {{prefix + ".q", &q}, {prefix + ".k", &k}, {prefix + ".v", &v}, {prefix + ".out", &out}});
}

template <class T>
Gqa<T>::Gqa(const GqaShape& shape)
    : shape_(shape),
      core_{shape.length, shape.heads, shape.kv_heads, shape.head_dim, shape.head_dim, true},
      rotary_(Rotary<T>::table(shape.length, shape.head_dim)) {}

template <class T>
typename Gqa<T>::Weights Gqa<T>::zeros() const {
  const Index queries = shape_.heads * shape_.head_dim, keys = shape_.kv_heads * shape_.head_dim;
  return {Tensor<T>(queries, shape_.hidden), Tensor<T>(keys, shape_.hidden), Tensor<T>(keys, shape_.hidden),
          Tensor<T>(shape_.hidden, queries)};
}

template <class T>
typename Gqa<T>::Weights Gqa<T>::random(base::Random& random) const {
  Weights w = zeros();
  for (Tensor<T>* matrix : {&w.q, &w.k, &w.v, &w.out})
    *matrix = random_weight<T>(matrix->rows(), matrix->columns(), random);
  return w;
}

template <class T>
void Gqa<T>::forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const {
  Linear<T>::forward(x, w.q, s.q);
  Linear<T>::forward(x, w.k, s.k);
  Linear<T>::forward(x, w.v, s.v);
  rotary_.forward(s.q, shape_.heads, shape_.head_dim, 0);
  rotary_.forward(s.k, shape_.kv_heads, shape_.head_dim, 0);
  Attention<T>::forward(core_, s.q, s.k, s.v, s.o, s.log_sum);
  Linear<T>::forward(s.o, w.out, y);
}

template <class T>
void Gqa<T>::input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const {
  Linear<T>::input_gradient(dy, w.out, s.d_o);
  Attention<T>::input_gradient(core_, s.d_o, s.q, s.k, s.v, s.o, s.log_sum, s.dq, s.dk, s.dv);
  rotary_.input_gradient(s.dq, shape_.heads, shape_.head_dim, 0);
  rotary_.input_gradient(s.dk, shape_.kv_heads, shape_.head_dim, 0);
  Linear<T>::input_gradient(s.dq, w.q, dx);
  Tensor<T> part;
  Linear<T>::input_gradient(s.dk, w.k, part);
  dx.add(part);
  Linear<T>::input_gradient(s.dv, w.v, part);
  dx.add(part);
}

template <class T>
void Gqa<T>::weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& g) const {
  Linear<T>::weight_gradient(dy, s.o, g.out);
  Linear<T>::weight_gradient(s.dq, x, g.q);
  Linear<T>::weight_gradient(s.dk, x, g.k);
  Linear<T>::weight_gradient(s.dv, x, g.v);
}

template class Mla<float>;
template class Mla<double>;
template class Gqa<float>;
template class Gqa<double>;

}  // namespace hourglass::kernels
