// Looped breadth-first (Lamy-Poirier, Breadth-First Pipeline Parallelism, arXiv 2211.05953): a rank holds v looped
// chunks and finishes a chunk for all m micro-batches before it turns to the next, all forwards first, then all
// backwards with the chunks in reverse. Each chunk's parameters are gathered and its gradients reduced once a step,
// which is what it is for (sharded data parallelism); it holds all activations, as GPipe does. A chunk's first
// micro-batch is back on rank 0 after p blocks, so fewer than p micro-batches cost a bubble at every turn.
#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule looped_bfs(const Shape& shape) {
  Schedule schedule = looped_placement("looped-bfs", shape, shape.chunks);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.actions[static_cast<std::size_t>(rank)];
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      for (int i = 0; i < shape.micro_batches; ++i) actions.push_back(forward(chunk * shape.ranks + rank, i));
    }
    for (int chunk = shape.chunks - 1; chunk >= 0; --chunk) {
      for (int i = 0; i < shape.micro_batches; ++i) actions.push_back(backward(chunk * shape.ranks + rank, i));
    }
  }
  return schedule;
}

}  // namespace hourglass::schedules
