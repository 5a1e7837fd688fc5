#pragma once

#include "model/context.h"
#include "model/spec.h"

// Exact counts: parameters, KV cache, training FLOPs, and the bytes of activations.
namespace hourglass::model {

// Parameters of one layer (or of an end), unsharded. `expert` are the routed experts', sharded over expert parallelism.
struct ParameterCount {
  double dense = 0.0;
  double expert = 0.0;
  double total() const { return dense + expert; }
};
ParameterCount layer_parameters(const ModelSpec& model, const LayerSpec& layer);
double embedding_parameters(const ModelSpec& model);
double head_parameters(const ModelSpec& model);         // output head and final norm; the head counts 0 if tied
ParameterCount mtp_parameters(const ModelSpec& model);  // one module beside the shared embedding and head
double total_parameters(const ModelSpec& model);        // without MTP
double activated_parameters(const ModelSpec& model);    // used by one token, embedding and head included, without MTP

double kv_cache_bytes_per_token(const ModelSpec& model, Dtype dtype = Dtype::bf16);

// Training FLOPs a token (forward and backward, recomputation excluded): 6 per activated parameter of every matrix,
// plus attention. `causal` counts the half of the attention matrix that is computed. State conventions in the .cpp
// essay.
double training_flops_per_token(const ModelSpec& model, std::int64_t sequence_length, bool causal, bool with_mtp);

// Parameters held by one GPU (one copy): dense / tensor, expert / (expert * expert_tensor).
ParameterCount local_parameters(const ParameterCount& whole, const Parallelism& parallel);

// Activation bytes one GPU keeps for one micro-batch of one layer between its forward and backward.
struct ActivationBytes {
  double total = 0.0;
  double kept_for_weight = 0.0;  // what remains between the input-gradient pass and the deferred weight-gradient pass
};
ActivationBytes layer_activations(const LayerContext& context, const LayerSpec& layer);
// Temporaries of one layer's backward pass, the largest set alive at once.
double layer_workspace(const LayerContext& context, const LayerSpec& layer);
ActivationBytes head_activations(const LayerContext& context);       // logits are the large part
ActivationBytes embedding_activations(const LayerContext& context);  // token ids
ActivationBytes mtp_projection_activations(const LayerContext& context);

}  // namespace hourglass::model
