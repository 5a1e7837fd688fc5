#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/math/layer.h"

// A DeepSeek-style model small enough to train on this machine, cut into pipeline stages: embedding on the first,
// layers with MLA or GQA, the first of them dense and the others MoE, head and MTP module on the last.
namespace hourglass::kernels {

enum class AttentionChoice : std::uint8_t { mla, gqa };

struct ModelShape {
  Index length = 128, sequences = 1;  // of a micro-batch
  Index hidden = 256, vocabulary = 512;
  AttentionChoice attention = AttentionChoice::mla;
  Index heads = 4, kv_heads = 2, head_dim = 64;                                // GQA
  Index nope_dim = 48, rope_dim = 16, v_dim = 48, q_rank = 128, kv_rank = 96;  // MLA
  Index dense_intermediate = 1024, dense_layers = 1;                           // the first layers are dense
  Index expert_intermediate = 64, shared_intermediate = 128;
  RouterShape router{16, 4, 4, 2, 2.5};
  bool mtp = true;
  double mtp_weight = 0.3;              // lambda of the report's equation 25
  std::vector<Index> layers_per_stage;  // as many as there are stages; a stage may have none

  Index tokens() const { return length * sequences; }
  Index layers() const;
};

// Inputs and targets of one micro-batch: row r is the token whose next one is next[r].
struct MicroBatch {
  std::vector<std::int32_t> tokens;
  Targets next;        // of the main model; its tokens are also what the MTP module embeds
  Targets after_next;  // of the MTP module
};
// Random tokens of a skewed distribution, as words are. The loss of a step is the mean over all its tokens, so that the
// weights of the targets are 1 / (micro_batches x tokens).
std::vector<MicroBatch> random_batch(const ModelShape& shape, int micro_batches, std::uint64_t seed);

// One stage's share of the model. Calls as in attention_block.h: `saved` keeps everything between them.
template <class T>
class Stage {
 public:
  struct Weights {
    Tensor<T> embedding;  // on the first stage; on the last a copy of it for the MTP module
    std::vector<typename Layer<T>::Weights> layers;
    Tensor<T> final_norm, head;    // on the last stage
    typename Mtp<T>::Weights mtp;  // with an MTP module
    NamedTensors<T> list();        // what the stage has of these
    std::string prefix;            // "stage2"
    bool has_mtp = false;
  };
  struct Saved {
    std::vector<typename Layer<T>::Saved> layers;
    Tensor<T> h, dembedded;  // the last layer's output; the gradient of the embedded tokens
    typename Head<T>::Saved head;
    typename Mtp<T>::Saved mtp;
  };

  Stage(const ModelShape& shape, int stage);
  Weights zeros() const;
  // From the seed alone, so that copies of a stage are equal wherever they are made.
  Weights random(std::uint64_t seed) const;

  // `x`: output of the stage before, nothing on the first. Returns the loss on the last stage and 0 elsewhere, where
  // `y` goes to the next stage.
  double forward(const Weights& w, const MicroBatch& batch, Tensor<T> x, Saved& s, Tensor<T>& y) const;
  // `dy`: gradient of what this stage sent, nothing on the last. `dx` goes to the stage before.
  void input_gradient(const Weights& w, const MicroBatch& batch, Tensor<T> dy, Saved& s, Tensor<T>& dx) const;
  void weight_gradient(const MicroBatch& batch, const Saved& s, Weights& gradients) const;

  bool is_first() const { return first_; }
  bool is_last() const { return last_; }

 private:
  bool embeds() const { return first_ || (last_ && mtp_); }

  int stage_;
  bool first_, last_, mtp_;
  Index hidden_, vocabulary_;
  std::vector<Layer<T>> layers_;
  Mtp<T> module_;  // used if last_ and mtp_
};

// All stages of a model and their weights.
template <class T>
struct PipelineModel {
  ModelShape shape;
  std::vector<Stage<T>> stages;
  std::vector<typename Stage<T>::Weights> weights;

  // Throws base::Error for sizes that do not fit together.
  static PipelineModel make(const ModelShape& shape, std::uint64_t seed);
};

// The last stage's copy of the embedding is the same parameter as the first's: both get the sum of their gradients.
template <class T>
void reduce_embeddings(std::vector<typename Stage<T>::Weights>& gradients);

}  // namespace hourglass::kernels
