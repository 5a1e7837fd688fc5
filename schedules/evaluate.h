#pragma once

#include <cstdint>
#include <vector>

#include "schedules/dependencies.h"
#include "schedules/schedule.h"

// When everything happens under abstract costs, and what it takes: the yardstick by which schedules are compared. The
// engine in sim/ replaces it where costs come from layers and networks.
namespace hourglass::schedules {

// Costs, in any unit of time, of a whole rank's work for one micro-batch; a stage that is one of v on its rank costs a
// v-th of them. A message between two different ranks takes p2p, whatever v.
struct Costs {
  double forward = 1.0;          // F
  double backward_input = 1.0;   // B
  double backward_weight = 1.0;  // W
  double overlapped = -1.0;      // FB, a forward and a full backward as one block; negative: F + B + W
  double p2p = 0.0;              // c
  // Share of a micro-batch's activations that its W still needs, so that B alone frees the rest. 1: B frees nothing,
  // which is how the published peaks count.
  double activation_kept_for_weight = 1.0;

  double backward() const { return backward_input + backward_weight; }  // BW
  double pair() const { return overlapped < 0.0 ? forward + backward() : overlapped; }
};

struct RankEvaluation {
  double busy = 0.0;
  double bubble = 0.0;            // makespan - busy
  double begin = 0.0, end = 0.0;  // of its first and last action
  double peak_activations = 0.0;  // in whole micro-batches of a rank: chunks count 1/v
  int overlapped_pairs = 0;
};

struct Evaluation {
  double makespan = 0.0;           // last end, from 0: a synchronous step
  double span = 0.0;               // largest end - begin of a rank: a step whose optimizer needs no synchronisation
  double bubble = 0.0;             // largest of the ranks
  double bubble_ratio = 0.0;       // bubble / makespan
  double span_bubble_ratio = 0.0;  // largest of the ranks' (span - busy) / span, with the span above
  double peak_activations = 0.0;   // largest of the ranks
  int parameter_copies = 1;
  int overlapped_pairs = 0;
  std::vector<RankEvaluation> ranks;
  // Of action i of rank r at rank_begin[r] + i.
  std::vector<std::uint32_t> rank_begin;
  std::vector<double> start, end;
};

// Evaluates one order under many costs. Built once from a schedule (throws Error if it is incomplete or deadlocks),
// after which a sweep costs a few nanoseconds an action. Not for use by two threads at once: a sweep reuses its memory.
class Evaluator {
 public:
  explicit Evaluator(const Schedule& schedule);

  // Throws Error for costs that are negative, NaN or infinite.
  Evaluation evaluate(const Costs& costs);
  double makespan(const Costs& costs);  // the same sweep, without the account
  std::size_t actions() const { return nodes_.size(); }

 private:
  // One action, at its place in an order of execution. Ends are kept at [place + 2]: [0] is what the first action of a
  // rank follows, [1] the input of an action that waits for no other rank.
  struct Node {
    std::uint32_t previous;
    std::uint32_t input[2];
    std::uint32_t kind;
  };

  void sweep(const Costs& costs);

  double divisor_ = 1.0;  // v of one direction
  int parameter_copies_ = 1;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> rank_begin_;
  std::vector<std::uint32_t> place_;  // of action i, in rank order
  std::vector<Kind> kinds_;           // in rank order
  std::vector<double> end_;
};

Evaluation evaluate(const Schedule& schedule, const Costs& costs);

}  // namespace hourglass::schedules
