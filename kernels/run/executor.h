#pragma once

#include <map>
#include <memory>
#include <vector>

#include "kernels/run/exchange.h"
#include "kernels/run/sequential.h"
#include "schedules/schedule.h"

// Runs a schedule for real: a thread a pipeline rank, messages between them, kernels that use one thread each.
namespace hourglass::kernels {

// When things happened, in seconds since the ranks were let go together.
struct ActionTime {
  double free_s = 0.0;  // the rank had nothing else to do from here on
  double start_s = 0.0,
         end_s = 0.0;  // its inputs were there and the rank was free; its outputs were sent after the end
  double cpu_s = 0.0;  // of the thread: less than end - start if the rank lost its core
};
struct Piece {  // of an action: a full backward is a B and a W, a pair an F, a B and a W
  Pass pass = Pass::forward;
  int stage = 0, micro_batch = 0;
  double start_s = 0.0, end_s = 0.0;
};
struct Timeline {
  double makespan_s = 0.0;                       // the last end
  std::vector<std::vector<ActionTime>> actions;  // of each rank, as in the schedule
  std::vector<std::vector<Piece>> pieces;        // of each rank, in order
  std::vector<int> peak_saved;                   // of each rank: most (stage, micro-batch) whose W was still to come
};

template <class T>
struct ExecutedStep {
  double loss = 0.0;
  std::vector<double> losses;                         // of the micro-batches
  std::vector<typename Stage<T>::Weights> gradients;  // of each stage, copies reduced
  Timeline timeline;
};

// Actions run as schedules/evaluate.h has it, so that the two can be compared: an action starts when all its inputs are
// there, and what it makes is sent when all of it is done. A pair runs its forward, then its backward, on the one
// thread of its rank. Weight gradients are added in the order in which the rank runs W. With two directions each has
// its own copy of every stage's weights; the copies' gradients are added at the end.
template <class T>
class Executor {
 public:
  // All must outlive the executor. The schedule need not be valid: an order that cannot run is found while running.
  // Throws base::Error if the schedule's stages are not the model's.
  Executor(const PipelineModel<T>& model, const schedules::Schedule& schedule, const std::vector<MicroBatch>& batch);
  ~Executor();

  // One step from gradients of zero. The same memory is used again, so that only the first step pays for making it.
  // Throws base::Error for a deadlock (who waits for whom), an action out of place, and work that is never done.
  // With `cores` rank r keeps to cores[r % their number].
  ExecutedStep<T> run(const std::vector<int>& cores = {});

 private:
  struct Copy;  // of a stage
  class Rank;
  void run_ranks(std::vector<Rank>& ranks, Exchange<T>& exchange, const std::vector<int>& cores) const;
  void collect(std::vector<Rank>& ranks, ExecutedStep<T>& step) const;

  const PipelineModel<T>& model_;
  const schedules::Schedule& schedule_;
  const std::vector<MicroBatch>& batch_;
  std::vector<std::unique_ptr<Copy>> copies_;  // [direction][stage]
};

}  // namespace hourglass::kernels
