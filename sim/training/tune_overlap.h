#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/training/plan.h"

// Which order of an overlapped pair's steps, and how many SMs for communication, make the shortest step?
namespace hourglass::sim {

struct OverlapChoice {
  OverlapOrder order;
  std::int64_t communication_sms = 0;
  double pair_s = 0.0;  // one MoE layer's forward with another's backward, in a run of four
  double step_s = 0.0;
};

struct OverlapTuning {
  std::size_t orders = 0, splits = 0;   // tried
  OverlapChoice given, best;            // the plan's own, and the one with the shortest step
  std::vector<OverlapChoice> by_split;  // the best order under each split
};

// Throws base::Error if the plan's schedule has no overlapped pairs or its model no experts on several GPUs.
OverlapTuning tune_overlap(const Inputs& inputs);

}  // namespace hourglass::sim
