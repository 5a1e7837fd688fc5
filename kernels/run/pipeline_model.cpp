// The first and the last stage both hold the embedding if there is an MTP module, made from the same seed, as
// Megatron-LM has it; its two gradients are summed at the end of a step (reduce_embeddings).
#include "kernels/run/pipeline_model.h"

#include <fmt/format.h>

#include <numeric>

#include "base/error.h"

namespace hourglass::kernels {

namespace {

template <class T>
Layer<T> layer_of(const ModelShape& m, bool dense) {
  AttentionBlock<T> attention =
      Mla<T>({m.length, m.hidden, m.heads, m.nope_dim, m.rope_dim, m.v_dim, m.q_rank, m.kv_rank});
  if (m.attention == AttentionChoice::gqa) attention = Gqa<T>({m.length, m.hidden, m.heads, m.kv_heads, m.head_dim});
  MlpBlock<T> mlp = Mlp<T>({m.hidden, m.dense_intermediate});
  if (!dense) mlp = Moe<T>({m.hidden, m.expert_intermediate, m.shared_intermediate, m.router});
  return Layer<T>(m.hidden, std::move(attention), std::move(mlp));
}

void check(const ModelShape& m) {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw base::Error(what, "model", "choose other sizes");
  };
  for (const Index size :
       {m.length, m.sequences, m.hidden, m.vocabulary, m.heads, m.kv_heads, m.head_dim, m.nope_dim, m.rope_dim, m.v_dim,
        m.q_rank, m.kv_rank, m.dense_intermediate, m.expert_intermediate, m.shared_intermediate, m.router.experts})
    require(size >= 1 && size <= 65536, fmt::format("a size of the model is {}, not between 1 and 65536", size));
  require(m.heads % m.kv_heads == 0, fmt::format("{} heads cannot share {} keys evenly", m.heads, m.kv_heads));
  require(m.rope_dim % 2 == 0 && m.head_dim % 2 == 0, "a rotary embedding turns pairs, but has an odd width");
  require(m.router.experts % m.router.groups == 0 &&
              m.router.top_k <= m.router.experts / m.router.groups * m.router.groups_per_token,
          fmt::format("{} experts in {} groups do not offer {} a token", m.router.experts, m.router.groups,
                      m.router.top_k));
  require(!m.layers_per_stage.empty(), "a pipeline has no stages");
  for (const Index layers : m.layers_per_stage)
    require(layers >= 0 && layers <= 1024, fmt::format("a stage has {} layers, not between 0 and 1024", layers));
}

// Token i of a vocabulary with probability about 1/i (Zipf), by inversion.
std::int32_t random_token(Index vocabulary, base::Random& random) {
  const double largest = std::log(static_cast<double>(vocabulary) + 1.0);
  const auto token = static_cast<Index>(std::exp(random.uniform() * largest)) - 1;
  return static_cast<std::int32_t>(std::min(token, vocabulary - 1));
}

}  // namespace

Index ModelShape::layers() const { return std::accumulate(layers_per_stage.begin(), layers_per_stage.end(), Index{0}); }

std::vector<MicroBatch> random_batch(const ModelShape& shape, int micro_batches, std::uint64_t seed) {
  base::Random random(seed);
  std::vector<MicroBatch> batch(static_cast<std::size_t>(micro_batches));
  const double weight = 1.0 / (static_cast<double>(micro_batches) * static_cast<double>(shape.tokens()));
  for (MicroBatch& b : batch) {
    for (Index s = 0; s < shape.sequences; ++s) {
      std::vector<std::int32_t> text;
      for (Index i = 0; i < shape.length + 2; ++i) text.push_back(random_token(shape.vocabulary, random));
      b.tokens.insert(b.tokens.end(), text.begin(), text.end() - 2);
      b.next.tokens.insert(b.next.tokens.end(), text.begin() + 1, text.end() - 1);
      b.after_next.tokens.insert(b.after_next.tokens.end(), text.begin() + 2, text.end());
    }
    b.next.weight = weight;
    b.after_next.weight = weight * shape.mtp_weight;
  }
  return batch;
}

template <class T>
NamedTensors<T> Stage<T>::Weights::list() {
  NamedTensors<T> all;
  if (!embedding.empty()) all.push_back({prefix + ".embedding", &embedding});
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i].list(fmt::format("{}.layer{}", prefix, i), all);
  if (!head.empty()) all.insert(all.end(), {{prefix + ".final_norm", &final_norm}, {prefix + ".head", &head}});
  if (has_mtp) mtp.list(prefix + ".mtp", all);
  return all;
}

template <class T>
Stage<T>::Stage(const ModelShape& m, int stage)
    : stage_(stage),
      first_(stage == 0),
      last_(stage + 1 == static_cast<int>(m.layers_per_stage.size())),
      mtp_(m.mtp),
      hidden_(m.hidden),
      vocabulary_(m.vocabulary),
      module_(m.hidden, layer_of<T>(m, false)) {
  const auto begin = m.layers_per_stage.begin();
  const Index before = std::accumulate(begin, begin + stage, Index{0});
  for (Index i = 0; i < begin[stage]; ++i) layers_.push_back(layer_of<T>(m, before + i < m.dense_layers));
}

template <class T>
typename Stage<T>::Weights Stage<T>::zeros() const {
  Weights w;
  w.prefix = fmt::format("stage{}", stage_);
  w.has_mtp = last_ && mtp_;
  if (embeds()) w.embedding = Tensor<T>(vocabulary_, hidden_);
  for (const Layer<T>& layer : layers_) w.layers.push_back(layer.zeros());
  if (last_) w.final_norm = Tensor<T>(1, hidden_), w.head = Tensor<T>(vocabulary_, hidden_);
  if (w.has_mtp) w.mtp = module_.zeros();
  return w;
}

template <class T>
typename Stage<T>::Weights Stage<T>::random(std::uint64_t seed) const {
  Weights w = zeros();
  base::Random tables(seed), random(seed + 1 + static_cast<std::uint64_t>(stage_));
  if (embeds()) w.embedding = random_normal<T>(vocabulary_, hidden_, 1.0, tables);
  for (std::size_t i = 0; i < layers_.size(); ++i) w.layers[i] = layers_[i].random(random);
  if (last_) w.final_norm = random_gain<T>(hidden_, random), w.head = random_weight<T>(vocabulary_, hidden_, random);
  if (w.has_mtp) w.mtp = module_.random(random);
  return w;
}

template <class T>
double Stage<T>::forward(const Weights& w, const MicroBatch& batch, Tensor<T> x, Saved& s, Tensor<T>& y) const {
  s.layers.resize(layers_.size());
  if (first_) Embedding<T>::forward(batch.tokens, w.embedding, x);
  Tensor<T>& out = last_ ? s.h : y;
  Tensor<T>& in = layers_.empty() ? out : s.layers.front().x;
  in = std::move(x);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    layers_[i].forward(w.layers[i], s.layers[i], i + 1 < layers_.size() ? s.layers[i + 1].x : out);
  if (!last_) return 0.0;
  double loss = Head<T>::forward(w.final_norm, w.head, s.h, batch.next, s.head);
  if (mtp_) loss += module_.forward(w.mtp, {w.embedding, w.head}, s.h, batch.next.tokens, batch.after_next, s.mtp);
  return loss;
}

template <class T>
void Stage<T>::input_gradient(const Weights& w, const MicroBatch& batch, Tensor<T> dy, Saved& s, Tensor<T>& dx) const {
  if (last_) {
    Head<T>::input_gradient(w.final_norm, w.head, s.h, batch.next, s.head, dy);
    if (mtp_) {
      Tensor<T> part;
      module_.input_gradient(w.mtp, {w.embedding, w.head}, s.h, batch.after_next, s.mtp, part);
      dy.add(part);
    }
  }
  Tensor<T>& in = first_ ? s.dembedded : dx;
  (layers_.empty() ? in : s.layers.back().dy) = std::move(dy);
  for (std::size_t i = layers_.size(); i-- > 0;)
    layers_[i].input_gradient(w.layers[i], s.layers[i], i > 0 ? s.layers[i - 1].dy : in);
}

template <class T>
void Stage<T>::weight_gradient(const MicroBatch& batch, const Saved& s, Weights& g) const {
  if (last_) {
    Head<T>::weight_gradient(s.h, s.head, g.final_norm, g.head);
    if (mtp_) module_.weight_gradient(s.h, batch.next.tokens, s.mtp, g.mtp, g.embedding, g.head);
  }
  for (std::size_t i = layers_.size(); i-- > 0;) layers_[i].weight_gradient(s.layers[i], g.layers[i]);
  if (first_) Embedding<T>::weight_gradient(batch.tokens, s.dembedded, g.embedding);
}

template <class T>
PipelineModel<T> PipelineModel<T>::make(const ModelShape& shape, std::uint64_t seed) {
  check(shape);
  PipelineModel model{shape, {}, {}};
  for (int stage = 0; stage < static_cast<int>(shape.layers_per_stage.size()); ++stage) {
    model.stages.emplace_back(shape, stage);
    model.weights.push_back(model.stages.back().random(seed));
  }
  return model;
}

template <class T>
void reduce_embeddings(std::vector<typename Stage<T>::Weights>& gradients) {
  if (gradients.size() < 2 || !gradients.back().has_mtp) return;
  gradients.front().embedding.add(gradients.back().embedding);
  gradients.back().embedding = gradients.front().embedding;
}

template class Stage<float>;
template class Stage<double>;
template struct PipelineModel<float>;
template struct PipelineModel<double>;
template void reduce_embeddings<float>(std::vector<Stage<float>::Weights>&);
template void reduce_embeddings<double>(std::vector<Stage<double>::Weights>&);

}  // namespace hourglass::kernels
