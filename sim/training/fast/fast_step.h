#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/counts.h"
#include "sim/training/block_times.h"
#include "sim/training/fast/step_program.h"
#include "sim/training/plan.h"
#include "sim/training/units.h"

// simulate()'s step time and memory peak, a thousand times as fast, for searches over many plans. Exact: the same
// picoseconds and bytes.
namespace hourglass::sim {

// Whether the fast path knows all that the plan asks for; else use simulate().
bool fast_step_covers(const Inputs& inputs);

// What all plans of one tensor, context, expert and expert-tensor parallelism, micro-batch, precision, recomputation
// and SMs for communication share. Not for two threads at once.
class StepCosts {
 public:
  StepCosts(const Inputs& inputs, const ContentTable& contents);
  StepCosts(const StepCosts&) = delete;
  StepCosts& operator=(const StepCosts&) = delete;

  BlockTimes& times() { return times_; }
  // balanced_splits(), worked out once for schedules that ask for the same.
  const std::vector<std::vector<std::int64_t>>& splits(const BalanceProblem& problem);
  // Of one micro-batch on a stage.
  const model::ActivationBytes& activations(ContentTable::Id content);
  double buffers(std::int64_t pipeline) const { return buffers_alone_ + (pipeline > 1 ? 4.0 * boundary_bytes_ : 0.0); }
  // What one micro-batch takes at least, each of these summed over the units of a rank: alone, the operators of F and
  // of B follow each other (W only computes); a fused BW is not over before B, nor before all its computation; a pair
  // not before all its computation, nor before all its communication.
  struct UnitWork {
    base::Time forward = 0, backward = 0, backward_computation = 0;  // computation of B and W
    base::Time split = 0;                                            // F, B and W one after the other
    base::Time computation = 0, communication = 0;                   // of all three
  };
  struct LeastWork {
    std::vector<UnitWork> layers;  // one of each kind
    UnitWork first, last;          // the ends of the model
  };
  const LeastWork& least_work() const { return least_; }

 private:
  const ContentTable* contents_;
  UnitPrices prices_;
  BlockTimes times_;
  std::vector<model::ActivationBytes> unit_activations_;  // [unit]
  std::vector<model::ActivationBytes> activations_;       // [content], total < 0: not yet known
  double buffers_alone_ = 0.0, boundary_bytes_ = 0.0;
  LeastWork least_;
  std::unordered_map<std::string, std::vector<std::vector<std::int64_t>>> splits_;  // by the problem's identity
};

// Unsharded parameters of every content; the last one holds the whole model.
std::vector<model::ParameterCount> content_parameters(const Inputs& inputs, const ContentTable& contents);

// One split of the layers, ready to be swept.
struct StepCandidate {
  std::vector<std::int64_t> layers;        // of each stage
  std::vector<base::Time> durations;       // [block of the program]
  std::vector<base::Time> reduce_scatter;  // [rank]
  base::Time message = 0;
  base::Time closing = 0;  // optimizer and all-gather, of the rank where they take longest
  base::Time bound = 0;    // the step takes at least this
  double largest_memory_bytes = 0.0;

  base::Time step(const base::Time* ends) const;  // from the program's sweep
};

// Prepares plans for sweeps; keeps its memory from one to the next.
class StepPreparer {
 public:
  StepPreparer(const ContentTable& contents, const std::vector<model::ParameterCount>& parameters)
      : contents_(contents), parameters_(parameters) {}
  // `inputs` has the plan's parallelism, completed. `out` gets simulate()'s candidates in its order.
  void prepare(const Inputs& inputs, const StepProgram& program, StepCosts& costs, std::vector<StepCandidate>& out);

 private:
  struct Tail {
    double dense = 0.0, expert = 0.0;
    base::Time reduce_scatter = 0, closing = 0;
  };
  void add(const Inputs& inputs, const StepProgram& program, StepCosts& costs, StepCandidate& candidate);
  const Tail& tail(const Inputs& inputs, const model::ParameterCount& local, int copies);

  const ContentTable& contents_;
  const std::vector<model::ParameterCount>& parameters_;
  std::vector<Tail> tails_;
  std::vector<model::ActivationBytes> activations_;
};

struct FastStep {
  base::Time step = 0;
  double largest_memory_bytes = 0.0;
  std::vector<std::int64_t> layers_per_stage;
};
// One plan by the fast path. Throws base::Error as simulate() does.
FastStep fast_step(const Inputs& inputs);

}  // namespace hourglass::sim
