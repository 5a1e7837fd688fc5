// ZB-H1 (Zero Bubble, arXiv 2401.10241, section 2.2; DeepSeek's "ZB1P"): 1F1B's order with the backward split. The
// input gradient B, for which the previous rank waits, runs at once; the weight gradient W_k, for which nobody waits,
// right after B_{k+r}, so that every rank holds the activations of p micro-batches, no more than 1F1B's rank 0. Bubble
// (p-1)(F+B-W) where W <= F and W <= B.
#include <algorithm>

#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule zb_h1(const Shape& shape) {
  Schedule schedule = looped_placement("zb-h1", shape, 1);
  const int m = shape.micro_batches;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    int f = 0, b = 0, w = 0;
    const auto backward_step = [&] {
      actions.push_back(backward_input(rank, b++));
      if (b > rank) actions.push_back(backward_weight(rank, w++));
    };
    const int warm_up = std::min(shape.ranks - 1 - rank, m);
    while (f < warm_up) actions.push_back(forward(rank, f++));
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
