#pragma once

#include "schedules/build.h"

namespace hourglass::schedules {

// The order in which a rank of an interleaved schedule visits its chunks: groups of p micro-batches, chunk by chunk.
struct InterleavedOrder {
  int ranks, chunks;

  Action forward_at(int rank, int k) const { return forward(stage(rank, chunk(k)), micro_batch(k)); }
  Action backward_at(int rank, int k) const { return backward(stage(rank, chunks - 1 - chunk(k)), micro_batch(k)); }
  // Forwards before the first backward of a rank: enough for the first micro-batch to come back from the last stage.
  int warm_up(int rank) const { return 2 * (ranks - 1 - rank) + (chunks - 1) * ranks; }

 private:
  int chunk(int k) const { return k / ranks % chunks; }
  int micro_batch(int k) const { return k / (ranks * chunks) * ranks + k % ranks; }
  int stage(int rank, int chunk_of_rank) const { return chunk_of_rank * ranks + rank; }
};

}  // namespace hourglass::schedules
