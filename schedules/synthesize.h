#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

// Searches for an order better than every named schedule, for given costs and memory.
namespace hourglass::schedules {

// "flat", "2-loop", "4-loop", "V", "bidirectional".
std::vector<std::string> synthesis_placements();

struct SynthesisOptions {
  int ranks = 1, micro_batches = 1;
  Costs costs;
  double activation_cap = 0.0;  // whole micro-batches of a rank; 0: none
  double seconds = 5.0;         // of search, spread over the placements
  std::uint64_t seed = 1;
  std::string placement;    // only this one; "" tries all
  std::int64_t rounds = 0;  // stop after so many orders tried instead of seconds: the same result on every machine
};

// The best order found on one placement.
struct Synthesized {
  std::string placement;  // "flat", "2-loop", "4-loop", "V" or "bidirectional"
  Schedule schedule;
  Evaluation evaluation;
  double lower_bound = 0.0;  // of this placement under the cap
  std::string best_named;    // the best named schedule on this placement that fits the cap; "" if none does
  double best_named_makespan = 0.0;
};

struct Synthesis {
  std::vector<Synthesized> placements;  // best first
  std::int64_t orders = 0;              // tried
};

// Never worse than the best named schedule that fits. `progress` gets the share of the search done and the best
// makespan. Throws Error if no order fits the cap.
Synthesis synthesize(const SynthesisOptions& options, const std::function<void(double, double)>& progress = nullptr);

}  // namespace hourglass::schedules
