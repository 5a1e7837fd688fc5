// Interleaved 1F1B with overlapped pairs (Megatron-Core, "combined 1F1B" with expert-parallel overlap): one more
// warm-up forward than interleaved 1F1B makes the forward and the backward of every steady step independent of each
// other, so that they run as one block and hide each other's all-to-all. DualPipe's rival without a second copy of the
// parameters.
//
//   total = [(p-1)(F+BW) + (p(v-1)+1)(F+BW) + (mv - p(v-1) - 1) FB] / v   for FB >= BW
#include <fmt/format.h>

#include <algorithm>

#include "schedules/generators.h"
#include "schedules/interleaved.h"

namespace hourglass::schedules {

std::string interleaved_overlap_rule(const Shape& shape) {
  if (shape.chunks < 2) return fmt::format("needs at least 2 chunks a rank; got {}", shape.chunks);
  return not_divisible(shape);
}

Schedule interleaved_overlap(const Shape& shape) {
  Schedule schedule = looped_placement("interleaved-overlap", shape, shape.chunks);
  const InterleavedOrder order{shape.ranks, shape.chunks};
  const int blocks = shape.micro_batches * shape.chunks;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    const int warm_up = std::min(order.warm_up(rank) + 1, blocks);
    int f = 0, b = 0;
    while (f < warm_up) actions.push_back(order.forward_at(rank, f++));
    while (f < blocks) actions.push_back(overlapped(order.forward_at(rank, f++), order.backward_at(rank, b++)));
    while (b < blocks) actions.push_back(order.backward_at(rank, b++));
  }
  return schedule;
}

}  // namespace hourglass::schedules
