#pragma once

#include <string>

#include "kernels/math/named.h"
#include "kernels/math/token_routing.h"

// The second half of a layer: SwiGLU MLP, and mixture of experts. Calls as in attention_block.h.
namespace hourglass::kernels {

struct MlpShape {
  Index hidden = 0, intermediate = 0;
};

// down(swiglu(gate x, up x))
template <class T>
class Mlp {
 public:
  struct Weights {
    Tensor<T> gate_up, down;  // [2 intermediate, hidden], [hidden, intermediate]
    void list(const std::string& prefix, NamedTensors<T>& all);
  };
  struct Saved {
    Tensor<T> gate_up, act, dact, dgate_up;
  };

  explicit Mlp(const MlpShape& shape) : shape_(shape) {}
  Weights zeros() const;
  Weights random(base::Random& random) const;
  void forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const;
  void input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const;
  void weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& gradients) const;

 private:
  MlpShape shape_;
};

// DeepSeekMoE (DeepSeek-V3 report, section 2.1.2): y = shared(x) + sum over the chosen experts of weight expert(x).
// All experts live on the one rank that holds the layer, so that dispatch and combine are copies: permute, unpermute.
struct MoeShape {
  Index hidden = 0, expert_intermediate = 0, shared_intermediate = 0;
  RouterShape router;
};

template <class T>
class Moe {
 public:
  struct Weights {
    Tensor<T> router, bias;   // [experts, hidden], [1, experts]; the bias steers the choice and has no gradient
    Tensor<T> gate_up, down;  // [experts 2 intermediate, hidden], [experts hidden, intermediate]
    typename Mlp<T>::Weights shared;
    void list(const std::string& prefix, NamedTensors<T>& all);  // all but the bias
  };
  struct Saved {
    Choice<T> choice;
    Permutation permutation;
    Tensor<T> logits, rows, gate_up, act, out;
    Tensor<T> dweights, dlogits, d_out, dact, dgate_up;
    typename Mlp<T>::Saved shared;
  };

  explicit Moe(const MoeShape& shape) : shape_(shape), shared_({shape.hidden, shape.shared_intermediate}) {}
  Weights zeros() const;
  Weights random(base::Random& random) const;
  void forward(const Weights& w, const Tensor<T>& x, Saved& s, Tensor<T>& y) const;
  void input_gradient(const Weights& w, const Tensor<T>& dy, Saved& s, Tensor<T>& dx) const;
  void weight_gradient(const Tensor<T>& x, const Tensor<T>& dy, const Saved& s, Weights& gradients) const;

 private:
  MoeShape shape_;
  Mlp<T> shared_;
};

}  // namespace hourglass::kernels
