#pragma once

#include "schedules/schedule.h"
#include "sim/engine/contention.h"
#include "sim/training/plan.h"
#include "sim/training/record.h"
#include "sim/training/result.h"

namespace hourglass::sim {

// GPUs that run the same program at the same time may be folded into one. `automatic` folds unless the plan's
// variation makes them differ; `on` then refuses; `off` simulates every GPU.
enum class Fold : std::uint8_t { automatic, on, off };

struct SimulateOptions {
  Fold fold = Fold::automatic;
  double memory_limit_bytes = 0.0;                           // refuse a run that would need more; 0: no limit
  std::function<void(double tasks, double bytes)> announce;  // told before GPUs are simulated one by one
  Progress progress;
};

// One training step of the plan. Throws base::Error if the schedule cannot run it, if GPUs differ that were to be
// folded, or if the run would need more memory than allowed. `record`: filled with what ran when, if given (of GPUs
// simulated one by one, the one of each pipeline rank that computes longest).
Result simulate(const Inputs& inputs, StepRecord* record = nullptr, const SimulateOptions& options = {});

// The plan's schedule for its ranks and micro-batches, validated.
schedules::Schedule plan_schedule(const Plan& plan);

}  // namespace hourglass::sim
