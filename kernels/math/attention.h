#pragma once

#include "kernels/math/tensor.h"

// The core of attention: softmax(q k^T / sqrt(qk_dim)) v for a batch of sequences, with as many query heads per
// key-value head as the shape says (1: MLA and MHA; more: GQA, Ainslie et al., arXiv 2305.13245).
namespace hourglass::kernels {

struct AttentionShape {
  Index length = 0;  // of a sequence; the rows of q are batch x length
  Index heads = 0, kv_heads = 0, qk_dim = 0, v_dim = 0;
  bool causal = true;
};

// q[tokens, heads qk_dim], k[tokens, kv_heads qk_dim], v[tokens, kv_heads v_dim], o[tokens, heads v_dim].
// log_sum[tokens, heads] is the logarithm of each row's sum of exponentials, from which the gradient recomputes the
// probabilities (Dao, FlashAttention-2, arXiv 2307.08691).
template <class T>
struct Attention {
  static void forward(const AttentionShape& shape, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                      Tensor<T>& o, Tensor<T>& log_sum);
  static void input_gradient(const AttentionShape& shape, const Tensor<T>& d_o, const Tensor<T>& q, const Tensor<T>& k,
                             const Tensor<T>& v, const Tensor<T>& o, const Tensor<T>& log_sum, Tensor<T>& dq,
                             Tensor<T>& dk, Tensor<T>& dv);
};

}  // namespace hourglass::kernels
