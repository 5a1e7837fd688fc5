#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/bench/bench.h"

// A whole layer run for real on the CPU, pass by pass, and the operators that each pass is made of: the sum of what a
// profile predicts for these is held against what the layer takes. The layer itself was in no fit.
namespace hourglass::kernels {

// A layer of DeepSeek-V3's kind (MLA, then an MLP or experts), at the widths of the CPU suite.
struct LayerShape {
  std::int64_t tokens = 512;  // one sequence
  bool experts = false;       // 16 experts, 4 of them for each token, and a shared one; else a dense MLP
};
std::string describe(const LayerShape& shape);

struct LayerPass {
  LayerShape of;
  Pass pass = Pass::forward;
  std::vector<BenchCase> operators;  // every call that the pass makes, in order
  Measurement measured;              // `of` and the sample's op stay empty
};

std::vector<BenchCase> operators_of(const LayerShape& shape, Pass pass);

// F, B and W. Nothing is evicted between the operators; a layer's weights alone are larger than most caches.
std::vector<LayerPass> measure_layer(Backend& backend, const LayerShape& shape, const StoppingRule& rule,
                                     std::uint64_t seed, const std::function<bool()>& interrupted);

}  // namespace hourglass::kernels
