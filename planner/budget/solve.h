#pragma once

#include <string>
#include <vector>

#include "sim/training/plan.h"

// The question turned round: not how long on so many GPUs, but how many GPUs for so long.
namespace hourglass::planner {

struct GpuCount {
  std::int64_t gpus = 0;
  double net_days = 0.0, wall_days = 0.0;  // without and with failures
  double net_gpu_hours = 0.0, gross_gpu_hours = 0.0;
  double peak_memory_bytes = 0.0;
  bool fits = false;
  bool in_time = false;
};

struct GpuSolution {
  double max_days = 0.0;
  std::int64_t gpus = 0;            // the fewest
  std::int64_t legal = 0;           // counts that the plan's layout and batch allow
  std::vector<GpuCount> simulated;  // by count
};

// The fewest GPUs of the plan's cluster on which its run, failures included, takes at most `max_days` and fits into
// memory. Throws base::Error where none do.
GpuSolution solve_gpus(const sim::Inputs& inputs, double max_days);

}  // namespace hourglass::planner
