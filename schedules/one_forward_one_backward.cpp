// 1F1B (PipeDream-Flush, arXiv 2006.09503): rank r runs p-1-r forwards so that the first micro-batch can reach the
// last rank, then one forward and one backward in turn, then the backwards that are left. Bubble (p-1)(F+BW) as GPipe,
// but rank r holds the activations of at most p-r micro-batches.
#include <algorithm>

#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule one_forward_one_backward(const Shape& shape) {
  Schedule schedule = looped_placement("1f1b", shape, 1);
  const int m = shape.micro_batches;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    const int warm_up = std::min(shape.ranks - 1 - rank, m);
    int f = 0, b = 0;
    while (f < warm_up) actions.push_back(forward(rank, f++));
    while (f < m) {
      actions.push_back(forward(rank, f++));
      actions.push_back(backward(rank, b++));
    }
    while (b < m) actions.push_back(backward(rank, b++));
  }
  return schedule;
}

}  // namespace hourglass::schedules
