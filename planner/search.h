#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/plan.h"

// Which plan for this model on these GPUs? Every legal one of a space, simulated.
namespace hourglass::planner {

struct SearchOptions {
  std::vector<std::string> schedules;  // which to try; none: the plan's own
  double memory_headroom = 0.0;        // share of a GPU's memory that a plan must leave free, 0 to 1
};

// One point of the space: the plan's values replaced by these.
struct SearchChoice {
  std::int64_t tensor = 1, pipeline = 1, context = 1, expert = 1, micro_batch = 1;
  int chunks = 0;
  std::string schedule;
  bool full_recompute = false;  // else the plan's own

  bool operator==(const SearchChoice&) const = default;
};

struct SearchPoint {
  SearchChoice choice;
  std::string refused;  // why it cannot run; "" if it can
  bool simulated = false;
  double step_time_s = 0.0;
  double peak_memory_bytes = 0.0;
};

struct SearchResult {
  std::vector<SearchPoint> points;      // in the order of the space
  std::vector<std::size_t> front;       // of time and memory, fastest first: nothing else is better in both
  std::vector<std::size_t> neighbours;  // of the fastest, one value changed
  std::size_t illegal = 0, too_large = 0, simulated = 0;
  double memory_limit_bytes = 0.0;
};

// Throws base::Error for an unknown schedule, or if no plan can run.
SearchResult search(const sim::Inputs& inputs, const SearchOptions& options);

// The plan with a choice in place of its own values.
sim::Plan apply(const sim::Plan& plan, const SearchChoice& choice);

}  // namespace hourglass::planner
