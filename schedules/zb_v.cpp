// ZB-V (arXiv 2401.10241, section 6; arXiv 2405.15362): stages r and 2p-1-r on rank r, so that a micro-batch turns
// around on the last rank without leaving it and its backward begins and ends where the step does. No bubble in span
// for F = B = W, with 1F1B's 2p chunks (p micro-batches) of activations.
//
// The order is written for at least 2p-1 micro-batches; of fewer, the missing ones are left out of it.
#include <algorithm>

#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

namespace {

// The next micro-batch of each kind and chunk of one rank; chunk 0 is the descending leg of the V, chunk 1 the
// ascending.
class VRank {
 public:
  VRank(std::vector<Action>& actions, int ranks, int rank, int micro_batches)
      : actions_(actions), stage_{rank, 2 * ranks - 1 - rank}, micro_batches_(micro_batches) {}

  int forwards(int chunk) const { return next_[0][chunk]; }
  int backwards(int chunk) const { return next_[1][chunk]; }
  int weights(int chunk) const { return next_[2][chunk]; }

  void f(int chunk) { add(Kind::forward, chunk, next_[0][chunk]++); }
  void b(int chunk) { add(Kind::backward_input, chunk, next_[1][chunk]++); }
  void w(int chunk) { add(Kind::backward_weight, chunk, next_[2][chunk]++); }

 private:
  void add(Kind kind, int chunk, int micro_batch) {
    if (micro_batch < micro_batches_) actions_.push_back({kind, stage_[chunk], micro_batch, -1, -1});
  }

  std::vector<Action>& actions_;
  int stage_[2];
  int micro_batches_;
  int next_[3][2] = {};
};

}  // namespace

Schedule zb_v(const Shape& shape) {
  const int p = shape.ranks, n = std::max(2 * p - 1, shape.micro_batches);
  Schedule schedule = v_placement("zb-v", shape);
  for (int r = 0; r < p; ++r) {
    VRank rank(schedule.actions[static_cast<std::size_t>(r)], p, r, shape.micro_batches);
    // Fill the pipeline: the first micro-batch descends to the last rank and comes back.
    for (int i = 0; i < 2 * (p - r) - 1; ++i) rank.f(0);
    for (int i = 0; i < r; ++i) rank.f(1), rank.f(0);
    for (int i = 0; i < p - r; ++i) rank.f(1), rank.b(1), rank.w(1);
    // Steady: one of each kind for each chunk.
    while (rank.forwards(1) < rank.forwards(0) || rank.forwards(0) < n) {
      if (rank.forwards(0) < n) rank.f(0);
      rank.b(0), rank.w(0);
      rank.f(1), rank.b(1), rank.w(1);
    }
    // Drain: input gradients first, weight gradients where a rank would wait.
    for (int i = 0; i < r; ++i) rank.b(0), rank.b(1);
    for (int i = 0; i < p - r; ++i) rank.b(0), rank.w(0);
    while (rank.weights(1) < rank.backwards(1)) rank.w(1);
    while (rank.weights(0) < rank.backwards(0)) rank.w(0);
  }
  return schedule;
}

}  // namespace hourglass::schedules
