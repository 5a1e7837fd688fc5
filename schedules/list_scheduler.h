#pragma once

#include <optional>
#include <vector>

#include "base/random.h"
#include "schedules/evaluate.h"
#include "schedules/schedule.h"

// Orders by greedy list scheduling: whenever a rank is free, the most urgent action that is ready.
namespace hourglass::schedules {

// What "most urgent" means. Every field is a knob that synthesize() turns.
struct Policy {
  enum class First : std::uint8_t { backward, forward, alternate };
  enum class Tie : std::uint8_t { oldest, deepest, shallowest };
  First first = First::backward;    // between a ready F and a ready B
  Tie forward_tie = Tie::deepest;   // between ready F of several stages
  Tie backward_tie = Tie::deepest;  // between ready B: deepest is the last stage
  int deferred_weights = 1 << 20;   // W goes before F once so many wait on the rank
  double patience = 0.0;  // a rank waits so long for a B that is known to come, rather than start another action
  double noise = 0.0;     // random urgency, to leave local optima
};

// A schedule without actions gives placement, ranks and micro-batches. `activation_cap` in whole micro-batches of a
// rank (0: none); a rank admits a micro-batch only if all its stages there fit, so that the order cannot deadlock. None
// if the cap is too small to admit one. Pairs are formed where they gain.
std::optional<Schedule> list_schedule(Schedule placement, const Costs& costs, double activation_cap,
                                      const Policy& policy, base::Random& random);

}  // namespace hourglass::schedules
