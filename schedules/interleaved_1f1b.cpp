// Interleaved 1F1B (Megatron-LM, arXiv 2104.04473, section 2.2): a rank holds v chunks, stages r, p+r, 2p+r, ..., so a
// micro-batch passes it v times with blocks v times shorter, and the bubble shrinks to (p-1)(F+BW)/v. The price: v
// times the messages, and (v-1)p + 2(p-1) + 1 chunks of activations on rank 0.
#include <algorithm>

#include "schedules/generators.h"
#include "schedules/interleaved.h"

namespace hourglass::schedules {

std::string interleaved_1f1b_rule(const Shape& shape) { return not_divisible(shape); }

Schedule interleaved_1f1b(const Shape& shape) {
  Schedule schedule = looped_placement("interleaved-1f1b", shape, shape.chunks);
  const InterleavedOrder order{shape.ranks, shape.chunks};
  const int blocks = shape.micro_batches * shape.chunks;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    const int warm_up = std::min(order.warm_up(rank), blocks);
    int f = 0, b = 0;
    while (f < warm_up) actions.push_back(order.forward_at(rank, f++));
    while (f < blocks) {
      actions.push_back(order.forward_at(rank, f++));
      actions.push_back(order.backward_at(rank, b++));
    }
    while (b < blocks) actions.push_back(order.backward_at(rank, b++));
  }
  return schedule;
}

}  // namespace hourglass::schedules
