#pragma once

#include <string>

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

// The Gantt chart in characters.
namespace hourglass::schedules {

struct GanttOptions {
  int columns = 120;  // for the makespan; at least one per rank's shortest action is not promised
};

// One line per rank, one column per makespan / columns of time, under costs:
//   F forward, B input gradient, W weight gradient, X overlapped pair, . idle.
// A full backward is drawn as its B and its W. Lower case: the second direction or an odd chunk; a pair is in the case
// of its forward.
std::string gantt(const Schedule& schedule, const Costs& costs, const GanttOptions& options = {});

}  // namespace hourglass::schedules
