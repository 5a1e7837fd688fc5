// GPipe (arXiv 1811.06965, figure 2c): every rank runs all forwards, then all full backwards. The bubble is
// (p-1)(F+BW), that of 1f1b, but the activations of all m micro-batches are held at once.
#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule gpipe(const Shape& shape) {
  Schedule schedule = looped_placement("gpipe", shape, 1);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    for (int i = 0; i < shape.micro_batches; ++i) actions.push_back(forward(rank, i));
    for (int i = 0; i < shape.micro_batches; ++i) actions.push_back(backward(rank, i));
  }
  return schedule;
}

}  // namespace hourglass::schedules
