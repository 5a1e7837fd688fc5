#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "planner/search/space.h"

// What a search finds.
namespace hourglass::planner {

// A simulated plan that fits.
struct SearchPoint {
  std::uint64_t id = 0;
  base::Time step = 0;
  double peak_memory_bytes = 0.0;
};

// What became of the plans of one unit of work: the unit's price keys under every pipeline and schedule.
struct UnitResult {
  std::uint64_t unit = 0;
  std::uint64_t plans = 0;      // of the space
  std::uint64_t illegal = 0;    // break a rule of divisibility or of their schedule
  std::uint64_t too_large = 0;  // do not fit into memory
  std::uint64_t bounded = 0;    // cannot beat a plan that is known
  std::uint64_t simulated = 0;
  std::vector<SearchPoint> points;  // simulated and fit, by id
};

// What a plan costs, in the four quantities of the front.
struct Measures {
  double seconds_per_token = 0.0;
  double peak_memory_bytes = 0.0;
  double gpus = 0.0;
  double cost_per_token = 0.0;  // USD, or GPU-seconds where a cluster has no price
};

struct Explanation {
  SearchChoice choice;
  std::string differs;  // "pp=8"
  std::string refused;  // why it cannot run; "" if it can
  base::Time step = 0;  // 0: not simulated
  double peak_memory_bytes = 0.0;
};

// "Why not pp=8?": the best plan with that value, if there is one.
struct WhyNot {
  std::string question;
  std::optional<Explanation> best;
  std::uint64_t plans = 0, illegal = 0, too_large = 0;
};

struct SearchResult {
  std::uint64_t plans = 0, illegal = 0, too_large = 0, bounded = 0, simulated = 0, too_slow = 0;
  std::vector<SearchPoint> front;  // of time, memory, GPUs and cost; fastest first: nothing else is better in all
  // The cheapest plans, simulated whole: with what the sweep leaves out. The first is the best.
  struct Finalist {
    SearchPoint point;
    double step_time_s = 0.0;
  };
  std::vector<Finalist> finalists;
  std::vector<Explanation> neighbours;  // of the best, one value changed
  std::vector<WhyNot> why_not;
  std::vector<std::int64_t> layers_per_stage;  // of the best
  double training_tokens = 0.0;                // of the plan's stages; 0: it has none
};

}  // namespace hourglass::planner
