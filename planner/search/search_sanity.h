#pragma once

#include <string>
#include <vector>

#include "planner/search/search.h"

// Are the layouts that people publish good plans to a search?
namespace hourglass::planner {

struct SanityRow {
  std::string id, model, layout;  // "tp=4 pp=8 ..."
  std::int64_t gpus = 0;
  std::string refused;                      // why the published plan cannot run; "" if it can
  double step_s = 0.0;                      // of the published plan, as we simulate it
  double best_s = 0.0;                      // of the fastest plan found
  std::string best;                         // its layout
  std::uint64_t faster = 0, simulated = 0;  // plans faster than the published, of those simulated
};

// Searches the GPUs, batch and precision of every published run of a file, under the schedules that its framework has
// (1f1b and interleaved 1f1b) and with every plan that fits simulated.
std::vector<SanityRow> search_sanity(const std::string& file, const std::string& configs);

}  // namespace hourglass::planner
