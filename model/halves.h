#pragma once

#include "model/linear.h"

// The two halves of a layer, each at home in one file: the mixer with what is around it in attention.cpp, the MLP in
// mlp.cpp. Internal to model/: layers, counts and activations add up what these say.
//
// Every kind of mixer and of MLP states each of these for itself, and nothing answers for a kind that does not: a new
// one does not compile until its operators, parameters, FLOPs and bytes are stated.
namespace hourglass::model {

void add_attention_forward(Operators& list, const LayerContext& context, const LayerSpec& layer);
void add_attention_backward_input(Operators& list, const LayerContext& context, const LayerSpec& layer);
void add_attention_backward_weight(Operators& list, const LayerContext& context, const Mixer& mixer);
void add_mlp_forward(LayerPass& pass, const LayerContext& context, const Mlp& kind);
void add_mlp_backward_input(LayerPass& pass, const LayerContext& context, const Mlp& kind);
void add_mlp_backward_weight(Operators& list, const LayerContext& context, const Mlp& kind);
// What an MLP asks of the attention half, behind its last norm: the choice of the experts.
void add_routing_forward(Operators& list, const LayerContext& context, const Mlp& kind);
void add_routing_backward(Operators& list, const LayerContext& context, const Mlp& kind);

// Elements a token is multiplied by (6 FLOPs each in training), and the rest: norms and biases.
struct Weights {
  double matrices = 0.0;
  double vectors = 0.0;
  double total() const { return matrices + vectors; }
};
Weights mixer_weights(const Mixer& mixer, std::int64_t hidden);  // with the norm before it
Weights mlp_weights(const Mlp& kind, std::int64_t hidden);       // likewise; without routed experts
// Of all routed experts, and of those that one token uses.
double routed_weights(const Mlp& kind, std::int64_t hidden);
double used_weights(const Mlp& kind, std::int64_t hidden);
// Forward FLOPs a token beside the matrices, every query against all keys unless `causal`.
double mixer_flops(const Mixer& mixer, const ModelSpec& model, std::int64_t sequence_length, bool causal);
std::int64_t cache_width(const Mixer& mixer);  // elements a token and layer, for all later tokens

// Bytes kept from forward to backward; both operands of the weight gradients; temporaries of the backward pass.
double mixer_bytes(const Mixer& mixer, const LayerContext& context);
double mlp_bytes(const Mlp& kind, const LayerContext& context);
double mixer_weight_operands(const Mixer& mixer, const LayerContext& context);
double mlp_weight_operands(const Mlp& kind, const LayerContext& context);
double mixer_workspace(const Mixer& mixer, const LayerContext& context);
double mlp_workspace(const Mlp& kind, const LayerContext& context);

}  // namespace hourglass::model
