#pragma once

#include <string>

#include "kernels/math/attention.h"
#include "kernels/math/elementwise.h"
#include "kernels/math/named.h"

// Attention as a layer has it, from normalised hidden states [tokens, hidden] to what the residual adds.
//
// Every block of this room (here, mlp.h, layer.h) has three calls:
//   forward(weights, x, saved, y)             `saved` keeps what the other two need of it
//   input_gradient(weights, dy, saved, dx)    B; leaves in `saved` the gradients inside the block
//   weight_gradient(x, dy, saved, gradients)  W; adds to `gradients`, needs no weights and no result of later layers
// so that a schedule may run W long after B. The caller keeps x and dy until W. A `saved` may be used again for another
// micro-batch once W is done, and then keeps its memory. Blocks are constant and may be shared by threads.
namespace hourglass::kernels {

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): queries, keys and values come out of
// latents of low rank, one rotary key is shared by all heads.
struct MlaShape {
  Index length = 0, hidden = 0, heads = 0;
  Index nope_dim = 0, rope_dim = 0, v_dim = 0;  // a head's query and key have nope_dim + rope_dim values
  Index q_rank = 0, kv_rank = 0;
};

template <class T>
class Mla {
 public:
  struct Weights {
    Tensor<T> q_down, q_norm, q_up;     // [q_rank, hidden], [1, q_rank], [heads (nope + rope), q_rank]
    Tensor<T> kv_down, kv_norm, kv_up;  // [kv_rank, hidden], [1, kv_rank], [heads (nope + v), kv_rank]
    Tensor<T> k_rope, out;              // [rope, hidden], [hidden, heads v]
    void list(const std::string& prefix, NamedTensors<T>& all);
  };
  struct Saved {
    Tensor<T> q_latent, q_inverse, q_normed, q, kv_latent, kv_inverse, kv_normed, kv, k_rope, k, v, o, log_sum;
    Tensor<T> d_o, dq, dk, dv, dq_normed, dq_latent, dkv, dkv_normed, dkv_latent, dk_rope;
  };

  explicit Mla(const MlaShape& shape);
  Weights zeros() const;
  Weights random(base::Random& random) const;
  void forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const;
  void input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const;
  void weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& gradients) const;

 private:
  void join_heads(Saved& s) const;
  void split_heads(Saved& s) const;

  MlaShape shape_;
  AttentionShape core_;
  Rotary<T> rotary_;
};

// Grouped-query attention (Ainslie et al., arXiv 2305.13245) with a rotary embedding on whole heads; kv_heads = heads
// is multi-head attention.
struct GqaShape {
  Index length = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
};

template <class T>
class Gqa {
 public:
  struct Weights {
    Tensor<T> q, k, v, out;
    void list(const std::string& prefix, NamedTensors<T>& all);
  };
  struct Saved {
    Tensor<T> q, k, v, o, log_sum;
    Tensor<T> d_o, dq, dk, dv;
  };

  explicit Gqa(const GqaShape& shape);
  Weights zeros() const;
  Weights random(base::Random& random) const;
  void forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const;
  void input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const;
  void weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& gradients) const;

 private:
  GqaShape shape_;
  AttentionShape core_;
  Rotary<T> rotary_;
};

}  // namespace hourglass::kernels
