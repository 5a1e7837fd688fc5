#pragma once

#include <string>
#include <string_view>

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

// Schedules as text: letters that can be read in a diff, and the Gantt chart in characters.
namespace hourglass::schedules {

std::string_view letter(Kind kind);  // F, B, W, BW, F&B

// "F12", "BW3", "F12&BW3"; with stages "F12@7", "F12@0&BW3@7".
std::string letters(const Action& action, bool with_stage);

// One line per rank, its actions separated by spaces; stages are shown where a rank holds more than one.
std::string letters(const Schedule& schedule);

struct GanttOptions {
  int columns = 120;  // for the makespan; at least one per rank's shortest action is not promised
};

// One line per rank, one column per makespan / columns of time, under costs:
//   F forward, B input gradient, W weight gradient, X overlapped pair, . idle.
// A full backward is drawn as its B and its W. Lower case: the second direction or an odd chunk; a pair is in the case
// of its forward.
std::string gantt(const Schedule& schedule, const Costs& costs, const GanttOptions& options = {});

}  // namespace hourglass::schedules
