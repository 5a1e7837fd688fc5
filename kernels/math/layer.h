#pragma once

#include <string>
#include <variant>

#include "kernels/math/attention_block.h"
#include "kernels/math/loss.h"
#include "kernels/math/mlp.h"

// Whole layers and the model's end. Calls as in attention_block.h, but a layer keeps its own x and dy in `saved`, where
// its neighbours write them, so that nothing is copied between layers.
namespace hourglass::kernels {

template <class T>
using AttentionBlock = std::variant<Mla<T>, Gqa<T>>;
template <class T>
using MlpBlock = std::variant<Mlp<T>, Moe<T>>;

// h = x + attention(norm(x)), y = h + mlp(norm(h)): the pre-norm layer of every model in configs/models.
template <class T>
class Layer {
 public:
  struct Weights {
    Tensor<T> attention_norm, mlp_norm;
    std::variant<typename Mla<T>::Weights, typename Gqa<T>::Weights> attention;
    std::variant<typename Mlp<T>::Weights, typename Moe<T>::Weights> mlp;
    void list(const std::string& prefix, NamedTensors<T>& all);
  };
  struct Saved {
    Tensor<T> x, x_inverse, x_normed, h, h_inverse, h_normed;
    Tensor<T> dy, dh_normed, dh, dx_normed;
    std::variant<typename Mla<T>::Saved, typename Gqa<T>::Saved> attention;
    std::variant<typename Mlp<T>::Saved, typename Moe<T>::Saved> mlp;
  };

  Layer(Index hidden, AttentionBlock<T> attention, MlpBlock<T> mlp)
      : hidden_(hidden), attention_(std::move(attention)), mlp_(std::move(mlp)) {}
  Weights zeros() const;
  Weights random(base::Random& random) const;
  void forward(const Weights& w, Saved& s, Tensor<T>& y) const;          // of s.x
  void input_gradient(const Weights& w, Saved& s, Tensor<T>& dx) const;  // for s.dy
  void weight_gradient(const Saved& s, Weights& gradients) const;

 private:
  Index hidden_;
  AttentionBlock<T> attention_;
  MlpBlock<T> mlp_;
};

// Tokens with targets, a row each; the loss is the sum over rows of `weight` times cross-entropy.
struct Targets {
  std::vector<std::int32_t> tokens;
  double weight = 1.0;
};

// Final norm, output projection onto the vocabulary, cross-entropy. The table is an argument because the main model and
// the MTP module share one.
template <class T>
class Head {
 public:
  struct Saved {
    Tensor<T> inverse, normed, logits, log_sum, dnormed;  // B turns logits into their gradient
  };
  static double forward(const Tensor<T>& norm, const Tensor<T>& table, const Tensor<T>& x, const Targets& targets,
                        Saved& s);
  static void input_gradient(const Tensor<T>& norm, const Tensor<T>& table, const Tensor<T>& x, const Targets& targets,
                             Saved& s, Tensor<T>& dx);
  static void weight_gradient(const Tensor<T>& x, const Saved& s, Tensor<T>& dnorm, Tensor<T>& dtable);
};

// Multi-token prediction (DeepSeek-V3 report, section 2.2, equations 21 to 24), one module deep: from the main model's
// last hidden states and the embedding of the next token, one more layer predicts the token after that.
template <class T>
class Mtp {
 public:
  struct Weights {
    Tensor<T> hidden_norm, embedding_norm, projection, final_norm;  // projection [hidden, 2 hidden]
    typename Layer<T>::Weights layer;
    void list(const std::string& prefix, NamedTensors<T>& all);
  };
  struct Saved {
    Tensor<T> embedded, hidden_inverse, embedding_inverse, joined, out;
    Tensor<T> dprojected, dhidden_normed, dembedding_normed, dembedded;
    typename Layer<T>::Saved layer;
    typename Head<T>::Saved head;
  };
  // Shared with the main model.
  struct Tables {
    const Tensor<T>& embedding;
    const Tensor<T>& head;
  };

  Mtp(Index hidden, Layer<T> layer) : hidden_(hidden), layer_(std::move(layer)) {}
  Weights zeros() const;
  Weights random(base::Random& random) const;
  // `next`: the token after each row's; `targets`: the one after that, weighted with the report's lambda.
  double forward(const Weights& w, const Tables& tables, const Tensor<T>& h, const std::vector<std::int32_t>& next,
                 const Targets& targets, Saved& s) const;
  void input_gradient(const Weights& w, const Tables& tables, const Tensor<T>& h, const Targets& targets, Saved& s,
                      Tensor<T>& dh) const;
  void weight_gradient(const Tensor<T>& h, const std::vector<std::int32_t>& next, const Saved& s, Weights& gradients,
                       Tensor<T>& dembedding, Tensor<T>& dhead) const;

 private:
  Index hidden_;
  Layer<T> layer_;
};

}  // namespace hourglass::kernels
