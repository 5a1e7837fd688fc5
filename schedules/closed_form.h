#pragma once

#include <optional>
#include <string>

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

namespace hourglass::schedules {

// What the literature says a schedule takes, and whether it may be believed at these costs.
struct ClosedForm {
  std::string formula;   // "(p-1)(F+BW)"
  double value = 0.0;    // in the unit of the costs
  std::string quantity;  // what it is the value of: "bubble", "span bubble" or "makespan"
  bool applies = false;
  std::string regime;  // where it is exact: "W <= F and W <= B, p2p = 0"
};

// None for the schedules without one (v-half, v-min, looped-bfs).
std::optional<ClosedForm> closed_form(const Schedule& schedule, const Costs& costs);

}  // namespace hourglass::schedules
