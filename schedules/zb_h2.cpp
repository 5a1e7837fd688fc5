// ZB-H2 (Zero Bubble, arXiv 2401.10241, section 2.3): twice the warm-up of 1F1B fills the bubble before the first
// backward, and weight gradients deferred by 2r backwards fill the one after the last. Each rank's own work then has no
// gap where F = B = W, which shows in the span only: the makespan still has the skew of the ranks' starts, and counts
// unless the optimizer step needs no synchronisation. Holds 2p-1 micro-batches.
#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

std::string zb_h2_rule(const Shape& shape) { return too_few(shape, 2 * shape.ranks, "2p"); }

Schedule zb_h2(const Shape& shape) {
  const int p = shape.ranks, m = shape.micro_batches;
  Schedule schedule = looped_placement("zb-h2", shape, 1);
  for (int rank = 0; rank < p; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    int f = 0, b = 0, w = 0;
    const auto backward_step = [&] {
      actions.push_back(backward_input(rank, b++));
      if (b > 2 * rank) actions.push_back(backward_weight(rank, w++));
    };
    while (f < 2 * (p - 1 - rank)) actions.push_back(forward(rank, f++));
    while (f < m) {
      actions.push_back(forward(rank, f++));
      backward_step();
    }
    while (b < m) backward_step();
    while (w < m) actions.push_back(backward_weight(rank, w++));
  }
  return schedule;
}

}  // namespace hourglass::schedules
