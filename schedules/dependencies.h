#pragma once

#include <cstdint>
#include <vector>

#include "base/pass.h"
#include "schedules/schedule.h"

namespace hourglass::schedules {

// One input of an action: the `produced` pass of action `producer` (an index into the flattened actions) is needed by
// the `consumed` pass of this action. `remote` if the two sit on different ranks, when the point-to-point latency adds.
struct Dependency {
  std::uint32_t producer = 0;
  base::Pass produced = base::Pass::forward;
  base::Pass consumed = base::Pass::forward;
  bool remote = false;
};

// The actions of all ranks flattened in rank order, with the inputs of each in compressed sparse rows.
// Action i of rank r is `rank_begin[r] + i`; its inputs are dependencies[input_begin[i] .. input_begin[i + 1]).
// The order within a rank is not listed: it is the order of the actions.
struct Dependencies {
  std::vector<std::uint32_t> rank_begin;   // ranks + 1
  std::vector<std::uint32_t> input_begin;  // actions + 1
  std::vector<Dependency> inputs;
};

// Derives who waits for whom: F(s) needs F(s-1); B or BW of stage s needs F(s) and B|BW(s+1),
// the last stage only its F; W needs its B. Throws Error if an action's input is produced nowhere or twice.
Dependencies derive_dependencies(const Schedule& schedule);

// The actions in an order in which they can run, every rank keeping its own: after its inputs and after the action
// before it on its rank. Shorter than the number of actions if and only if the schedule deadlocks.
std::vector<std::uint32_t> execution_order(const Dependencies& dependencies);

}  // namespace hourglass::schedules
