// Blocks are chosen when a model is made and stand side by side in variants, with their weights and what they save in
// variants beside them; std::visit picks all three by the block's type.
#include "kernels/math/layer.h"

#include <algorithm>

#include "kernels/math/elementwise.h"
#include "kernels/math/linear.h"

namespace hourglass::kernels {

namespace {

// The alternative that belongs to a block; one that is already there keeps its memory.
template <class Wanted, class Variant>
Wanted& held(Variant& variant) {
  if (!std::holds_alternative<Wanted>(variant)) variant.template emplace<Wanted>();
  return std::get<Wanted>(variant);
}

template <class Block, class Variant>
const typename Block::Weights& weights_of(const Block&, const Variant& variant) {
  return std::get<typename Block::Weights>(variant);
}

// joined = [left | right], row by row, and back.
template <class T>
void join(const Tensor<T>& left, const Tensor<T>& right, Tensor<T>& joined) {
  joined.resize(left.rows(), left.columns() + right.columns());
  for (Index r = 0; r < left.rows(); ++r)
    std::copy_n(right.row(r), right.columns(), std::copy_n(left.row(r), left.columns(), joined.row(r)));
}
template <class T>
void part(const Tensor<T>& joined, Index width, Tensor<T>& left, Tensor<T>& right) {
  left.resize(joined.rows(), width);
  right.resize(joined.rows(), joined.columns() - width);
  for (Index r = 0; r < joined.rows(); ++r) {
    std::copy_n(joined.row(r), width, left.row(r));
    std::copy_n(joined.row(r) + width, right.columns(), right.row(r));
  }
}

}  // namespace

// One layer.

template <class T>
void Layer<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.push_back({prefix + ".attention_norm", &attention_norm});
  std::visit([&](auto& weights) { weights.list(prefix + ".attention", all); }, attention);
  all.push_back({prefix + ".mlp_norm", &mlp_norm});
  std::visit([&](auto& weights) { weights.list(prefix + ".mlp", all); }, mlp);
}

template <class T>
typename Layer<T>::Weights Layer<T>::zeros() const {
  Weights w{Tensor<T>(1, hidden_), Tensor<T>(1, hidden_), {}, {}};
  std::visit([&](const auto& block) { w.attention = block.zeros(); }, attention_);
  std::visit([&](const auto& block) { w.mlp = block.zeros(); }, mlp_);
  return w;
}

template <class T>
typename Layer<T>::Weights Layer<T>::random(base::Random& random) const {
  Weights w{random_gain<T>(hidden_, random), random_gain<T>(hidden_, random), {}, {}};
  std::visit([&](const auto& block) { w.attention = block.random(random); }, attention_);
  std::visit([&](const auto& block) { w.mlp = block.random(random); }, mlp_);
  return w;
}

template <class T>
void Layer<T>::forward(const Weights& w, Saved& s, Tensor<T>& y) const {
  const auto run = [](const auto& block, const auto& weights, const Tensor<T>& x, auto& saved, Tensor<T>& out) {
    using Block = std::decay_t<decltype(block)>;
    block.forward(weights_of(block, weights), x, held<typename Block::Saved>(saved), out);
  };
  RmsNorm<T>::forward(s.x, w.attention_norm, s.x_normed, s.x_inverse);
  std::visit([&](const auto& block) { run(block, w.attention, s.x_normed, s.attention, s.h); }, attention_);
  s.h.add(s.x);
  RmsNorm<T>::forward(s.h, w.mlp_norm, s.h_normed, s.h_inverse);
  std::visit([&](const auto& block) { run(block, w.mlp, s.h_normed, s.mlp, y); }, mlp_);
  y.add(s.h);
}

template <class T>
void Layer<T>::input_gradient(const Weights& w, Saved& s, Tensor<T>& dx) const {
  const auto run = [](const auto& block, const auto& weights, const Tensor<T>& dy, auto& saved, Tensor<T>& dx_out) {
    using Block = std::decay_t<decltype(block)>;
    block.input_gradient(weights_of(block, weights), dy, std::get<typename Block::Saved>(saved), dx_out);
  };
  std::visit([&](const auto& block) { run(block, w.mlp, s.dy, s.mlp, s.dh_normed); }, mlp_);
  RmsNorm<T>::input_gradient(s.dh_normed, s.h, w.mlp_norm, s.h_inverse, s.dh);
  s.dh.add(s.dy);
  std::visit([&](const auto& block) { run(block, w.attention, s.dh, s.attention, s.dx_normed); }, attention_);
  RmsNorm<T>::input_gradient(s.dx_normed, s.x, w.attention_norm, s.x_inverse, dx);
  dx.add(s.dh);
}

template <class T>
void Layer<T>::weight_gradient(const Saved& s, Weights& g) const {
  const auto run = [](const auto& block, const Tensor<T>& x, const Tensor<T>& dy, const auto& saved, auto& gradients) {
    using Block = std::decay_t<decltype(block)>;
    block.weight_gradient(x, dy, std::get<typename Block::Saved>(saved), std::get<typename Block::Weights>(gradients));
  };
  std::visit([&](const auto& block) { run(block, s.h_normed, s.dy, s.mlp, g.mlp); }, mlp_);
  RmsNorm<T>::weight_gradient(s.dh_normed, s.h, s.h_inverse, g.mlp_norm);
  std::visit([&](const auto& block) { run(block, s.x_normed, s.dh, s.attention, g.attention); }, attention_);
  RmsNorm<T>::weight_gradient(s.dx_normed, s.x, s.x_inverse, g.attention_norm);
}

// The end of the model.

template <class T>
double Head<T>::forward(const Tensor<T>& norm, const Tensor<T>& table, const Tensor<T>& x, const Targets& targets,
                        Saved& s) {
  RmsNorm<T>::forward(x, norm, s.normed, s.inverse);
  Linear<T>::forward(s.normed, table, s.logits);
  return CrossEntropy<T>::forward(s.logits, targets.tokens, targets.weight, s.log_sum);
}

template <class T>
void Head<T>::input_gradient(const Tensor<T>& norm, const Tensor<T>& table, const Tensor<T>& x, const Targets& targets,
                             Saved& s, Tensor<T>& dx) {
  CrossEntropy<T>::input_gradient(s.logits, targets.tokens, targets.weight, s.log_sum);
  Linear<T>::input_gradient(s.logits, table, s.dnormed);
  RmsNorm<T>::input_gradient(s.dnormed, x, norm, s.inverse, dx);
}

template <class T>
void Head<T>::weight_gradient(const Tensor<T>& x, const Saved& s, Tensor<T>& dnorm, Tensor<T>& dtable) {
  Linear<T>::weight_gradient(s.logits, s.normed, dtable);
  RmsNorm<T>::weight_gradient(s.dnormed, x, s.inverse, dnorm);
}

// Multi-token prediction.

template <class T>
void Mtp<T>::Weights::list(const std::string& prefix, NamedTensors<T>& all) {
  all.insert(all.end(), {{prefix + ".hidden_norm", &hidden_norm},
                         {prefix + ".embedding_norm", &embedding_norm},
                         {prefix + ".projection", &projection},
                         {prefix + ".final_norm", &final_norm}});
  layer.list(prefix + ".layer", all);
}

template <class T>
typename Mtp<T>::Weights Mtp<T>::zeros() const {
  return {Tensor<T>(1, hidden_), Tensor<T>(1, hidden_), Tensor<T>(hidden_, 2 * hidden_), Tensor<T>(1, hidden_),
          layer_.zeros()};
}

template <class T>
typename Mtp<T>::Weights Mtp<T>::random(base::Random& random) const {
  Weights w;
  for (Tensor<T>* gain : {&w.hidden_norm, &w.embedding_norm, &w.final_norm}) *gain = random_gain<T>(hidden_, random);
  w.projection = random_weight<T>(hidden_, 2 * hidden_, random);
  w.layer = layer_.random(random);
  return w;
}

template <class T>
double Mtp<T>::forward(const Weights& w, const Tables& tables, const Tensor<T>& h,
                       const std::vector<std::int32_t>& next, const Targets& targets, Saved& s) const {
  Tensor<T> hidden_normed, embedding_normed;
  RmsNorm<T>::forward(h, w.hidden_norm, hidden_normed, s.hidden_inverse);
  Embedding<T>::forward(next, tables.embedding, s.embedded);
  RmsNorm<T>::forward(s.embedded, w.embedding_norm, embedding_normed, s.embedding_inverse);
  join(hidden_normed, embedding_normed, s.joined);
  Linear<T>::forward(s.joined, w.projection, s.layer.x);
  layer_.forward(w.layer, s.layer, s.out);
  return Head<T>::forward(w.final_norm, tables.head, s.out, targets, s.head);
}

template <class T>
void Mtp<T>::input_gradient(const Weights& w, const Tables& tables, const Tensor<T>& h, const Targets& targets,
                            Saved& s, Tensor<T>& dh) const {
  Head<T>::input_gradient(w.final_norm, tables.head, s.out, targets, s.head, s.layer.dy);
  layer_.input_gradient(w.layer, s.layer, s.dprojected);
  Tensor<T> djoined;
  Linear<T>::input_gradient(s.dprojected, w.projection, djoined);
  part(djoined, hidden_, s.dhidden_normed, s.dembedding_normed);
  RmsNorm<T>::input_gradient(s.dembedding_normed, s.embedded, w.embedding_norm, s.embedding_inverse, s.dembedded);
  RmsNorm<T>::input_gradient(s.dhidden_normed, h, w.hidden_norm, s.hidden_inverse, dh);
}

template <class T>
void Mtp<T>::weight_gradient(const Tensor<T>& h, const std::vector<std::int32_t>& next, const Saved& s, Weights& g,
                             Tensor<T>& dembedding, Tensor<T>& dhead) const {
  Head<T>::weight_gradient(s.out, s.head, g.final_norm, dhead);
  layer_.weight_gradient(s.layer, g.layer);
  Linear<T>::weight_gradient(s.dprojected, s.joined, g.projection);
  RmsNorm<T>::weight_gradient(s.dhidden_normed, h, s.hidden_inverse, g.hidden_norm);
  RmsNorm<T>::weight_gradient(s.dembedding_normed, s.embedded, s.embedding_inverse, g.embedding_norm);
  Embedding<T>::weight_gradient(next, s.dembedded, dembedding);
}

template class Layer<float>;
template class Layer<double>;
template class Head<float>;
template class Head<double>;
template class Mtp<float>;
template class Mtp<double>;

}  // namespace hourglass::kernels
