#pragma once

#include <string>
#include <vector>

#include "sim/training/plan.h"

// What if a link, a chip or the network were a little better or worse? One input at a time, simulated again.
namespace hourglass::planner {

// One side of a lever: the factor on the input that was really applied, and the run's time with it.
struct LeverSide {
  double factor = 1.0;
  double time = 0.0;
};

struct Lever {
  std::string name;           // "NIC bandwidth"
  std::string key;            // the input as --set names it, or what it stands for
  double value = 0.0;         // of the input, in the key's unit; 0: several values move together
  LeverSide down, up;         // factor 1: that side does not exist (an imbalance below 1)
  double elasticity() const;  // d log time / d log input
  double swing() const;       // largest minus smallest time
};

struct Tornado {
  std::string plan, cluster;
  bool run = true;    // time is GPU-hours of the whole run; else seconds of one step
  double time = 0.0;  // as planned
  double change = 0.1;
  std::vector<Lever> levers;  // largest swing first
};

// `change`: 0.1 moves every input by 10 % to both sides.
Tornado sensitivity(const sim::Inputs& inputs, double change);

}  // namespace hourglass::planner
