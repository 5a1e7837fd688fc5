#include "sim/training/fast/simulate_plan.h"

#include "sim/training/fast/fast_step.h"

namespace hourglass::sim {

// Without contention simulate() keeps to its own way, and is what the fast path is tested against.
Result simulate_plan(const Inputs& inputs, StepRecord* record, const SimulateOptions& options) {
  if (!inputs.plan.layers_per_stage.empty() || !inputs.plan.contention) return simulate(inputs, record, options);
  Inputs chosen = inputs;
  chosen.plan.contention = false;
  if (!fast_step_covers(chosen)) return simulate(inputs, record, options);
  chosen.plan.layers_per_stage = fast_step(chosen).layers_per_stage;
  chosen.plan.contention = true;
  return simulate(chosen, record, options);
}

}  // namespace hourglass::sim
