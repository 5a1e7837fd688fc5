#pragma once

#include <cstdint>
#include <string>
#include <vector>

// What makes GPUs of one pipeline rank differ: a slow GPU, a slow or flapping NIC, experts that get unequal shares of
// the tokens. A plan with a variation is simulated GPU by GPU, since folding would be wrong.
namespace hourglass::sim {

// GPUs are numbered pipeline rank by pipeline rank: GPU g is member g % n of rank g / n, n = gpus / pipeline_parallel.
struct SlowPart {
  std::int64_t gpu = 0;
  double factor = 1.0;  // by how much longer its kernels, or its messages, take
};

// Its bandwidth is gone for down_s out of every every_s.
struct FlappingNic {
  std::int64_t gpu = 0;
  double first_s = 0.0, every_s = 1.0, down_s = 0.0;
};

struct Variation {
  std::vector<SlowPart> slow_gpus, slow_nics;
  std::vector<FlappingNic> flapping_nics;
  // Loads of the routed experts: those measured (one a routed expert, any unit), or log-normal with this sigma. Every
  // layer has its own order or draw. `persistence` is the correlation of a layer's log loads from one micro-batch to
  // another: 1 keeps them for the step.
  std::vector<double> expert_loads;
  double expert_skew = 0.0;
  double expert_persistence = 1.0;
  std::int64_t seed = 1;

  bool skews_experts() const { return expert_skew > 0.0 || !expert_loads.empty(); }
  // Why GPUs may not be folded, in words; "" if they may.
  std::string reason() const;
};

// Rows of each GPU of an expert-parallel group over the mean, for one layer and micro-batch: the mean of the loads of
// the experts it holds. `layer` is the number of the layer in the model.
std::vector<float> gpu_loads(const Variation& variation, std::int64_t experts, std::int64_t gpus, std::uint64_t layer,
                             std::uint64_t micro_batch);

}  // namespace hourglass::sim
