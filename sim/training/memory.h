#pragma once

#include <vector>

#include "sim/engine/task_graph.h"
#include "sim/training/lower.h"

namespace hourglass::sim {

// Bytes on one GPU of a pipeline rank, by purpose, at the moment of its peak.
struct Memory {
  double parameters = 0.0;
  double gradients = 0.0;
  double optimizer = 0.0;
  double activations = 0.0;
  double buffers = 0.0;
  double total() const { return parameters + gradients + optimizer + activations + buffers; }
};

struct MemoryPeak {
  Memory memory;
  base::Time at = 0;  // when activations reach their largest
};

// Follows every micro-batch's activations through the timeline of one rank.
std::vector<MemoryPeak> measure_memory(const Inputs& inputs, const schedules::Schedule& schedule,
                                       const StageLayout& layout, const Lowered& lowered, const Timeline& timeline);

// All that a rank holds, from every moment at which it changes.
struct MemoryPoint {
  int rank = 0;
  base::Time at = 0;
  double bytes = 0.0;  // held from here on
};
std::vector<MemoryPoint> memory_curve(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, const Lowered& lowered, const Timeline& timeline);

// What does not move on a rank that holds `parameters` (one GPU's share of all its stages) in `copies` copies over the
// pipeline; `buffers` as buffer_bytes says.
Memory static_memory(const Plan& plan, const model::ParameterCount& parameters, int copies, double buffers);
// Workspace, all-to-all and point-to-point buffers: the same on every rank.
double buffer_bytes(const Inputs& inputs);

// Activations one micro-batch leaves in a unit.
model::ActivationBytes unit_activations(const Inputs& inputs, Unit unit);

// Activations one micro-batch leaves on a stage: whole, and what a deferred weight gradient still needs.
model::ActivationBytes stage_activations(const Inputs& inputs, const StageLayout& layout, std::size_t stage);

}  // namespace hourglass::sim
