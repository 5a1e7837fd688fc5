// DualPipe (DeepSeek-V3, arXiv 2412.19437, section 3.2.1): the pipeline is fed from both ends, half of the
// micro-batches each, so that in the middle of the step every rank has a forward of one direction and a full backward
// of the other at hand, and runs them as one block whose communication hides behind the other's computation. Direction
// 0 has stage r on rank r, direction 1 stage p-1-r: two copies of the parameters. p+1 micro-batches of activations on
// every rank.
//
// All weight gradients deferred by a rank wait in one first-in-first-out queue over both directions.
// Bubble (p/2-1)(FB+BW-3W), exact only for F = B = W.
#include "schedules/dualpipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "schedules/build.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

namespace {

class Steps {
 public:
  Steps(const DualPipeRank& rank, std::vector<Action>& actions) : rank_(rank), actions_(actions) {}

  void f(int phase) { actions_.push_back(next_forward(phase)); }
  void bw(int phase) { actions_.push_back(next_backward(phase)); }
  void pair(int forward_phase, int backward_phase) {
    const Action forward_half = next_forward(forward_phase);
    actions_.push_back(overlapped(forward_half, next_backward(backward_phase)));
  }
  void b_deferring_w(int phase) {
    const Action full = next_backward(phase);
    actions_.push_back(backward_input(full.stage, full.micro_batch));
    deferred_.push_back(backward_weight(full.stage, full.micro_batch));
  }
  void w() { actions_.push_back(deferred_[first_deferred_++]); }

 private:
  Action next_forward(int phase) {
    return forward(rank_.stage[phase], rank_.first_micro_batch[phase] + forwards_[phase]++);
  }
  Action next_backward(int phase) {
    return backward(rank_.stage[phase], rank_.first_micro_batch[phase] + backwards_[phase]++);
  }

  const DualPipeRank& rank_;
  std::vector<Action>& actions_;
  std::vector<Action> deferred_;
  std::size_t first_deferred_ = 0;
  int forwards_[2] = {}, backwards_[2] = {};
};

}  // namespace

void append_dualpipe_steps(const DualPipeRank& rank, std::vector<Action>& actions) {
  const int to_middle = rank.half - rank.depth - 1, depth = rank.depth;
  Steps step(rank, actions);
  // Step 1: forwards of the near end, until the far end's first one arrives.
  for (int i = 0; i < 2 * to_middle; ++i) step.f(0);
  // Step 2: forwards of both.
  for (int i = 0; i < depth + 1; ++i) step.f(0), step.f(1);
  // Step 3: the first backwards return; their weight gradients fill the wait for the next forward.
  for (int i = 0; i < to_middle; ++i) step.b_deferring_w(1), step.w(), step.f(1);
  // Step 4, the main one: everything overlapped, but for the first pair of the rank that turns around, whose backward
  // is of the micro-batch that its forward has just handed over.
  for (int i = 0; i < rank.micro_batches - 2 * rank.half + depth + 1; ++i) {
    if (i == 0 && to_middle == 0)
      step.f(0), step.bw(1);
    else
      step.pair(0, 1);
    step.pair(1, 0);
  }
  // Step 5: the near end has no forwards left.
  for (int i = 0; i < to_middle; ++i) step.bw(1), step.pair(1, 0);
  // Step 6: backwards of both; the second half of them defer their weight gradients.
  for (int i = 0; i < 2 * (depth + 1); ++i) {
    const int phase = i % 2 == 0 ? 1 : 0;
    if (i < depth + 1)
      step.bw(phase);
    else
      step.b_deferring_w(phase);
  }
  // Step 7: weight gradients fill the wait for the last backwards.
  for (int i = 0; i < to_middle; ++i) step.w(), step.b_deferring_w(0);
  // Step 8: the weight gradients that are left.
  for (int i = 0; i < depth + 1; ++i) step.w();
}

std::string dualpipe_rule(const Shape& shape) {
  const int p = shape.ranks, m = shape.micro_batches;
  if (p % 2 != 0) return fmt::format("needs an even number of ranks; got {}", p);
  if (m % 2 == 0 && m >= 2 * p) return "";
  return fmt::format("needs an even number of micro-batches, at least 2p = {}; got {}", 2 * p, m);
}

Schedule dualpipe(const Shape& shape) {
  const int p = shape.ranks, m = shape.micro_batches;
  Schedule schedule = bidirectional_placement("dualpipe", shape);
  for (int r = 0; r < p; ++r) {
    const int near = r < p / 2 ? 0 : 1, far = 1 - near;  // the direction that enters at the nearer end is phase 0
    const int stage[2] = {r, p - 1 - r}, first[2] = {0, m / 2};
    const DualPipeRank rank{p / 2, std::min(r, p - 1 - r), m / 2, {stage[near], stage[far]}, {first[near], first[far]}};
    append_dualpipe_steps(rank, schedule.actions[static_cast<std::size_t>(r)]);
  }
  return schedule;
}

}  // namespace hourglass::schedules
