#pragma once

#include <vector>

#include "model/context.h"

// A layer as operator lists: forward, input gradient and weight gradient, on one GPU of the given parallel layout.
namespace hourglass::model {

LayerPass layer_operators(const LayerContext& context, const LayerSpec& layer, Pass pass);

// The ends of the model. The head is final norm, logits GEMM (vocabulary split over tensor ranks) and loss; its input
// gradient and weight gradient. An MTP module is its projection [hidden, 2 hidden] with two norms, followed by a layer
// of the last layer's kind (not included here) and the shared head (not included here).
std::vector<Operator> embedding_operators(const LayerContext& context, Pass pass);
std::vector<Operator> head_operators(const LayerContext& context, Pass pass);
std::vector<Operator> mtp_projection_operators(const LayerContext& context, Pass pass);

// Bytes sent to the next pipeline stage for one micro-batch (BF16 hidden states of this GPU's tokens).
double boundary_bytes(const LayerContext& context);

}  // namespace hourglass::model
