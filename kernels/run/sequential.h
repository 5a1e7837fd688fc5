#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/pass.h"
#include "kernels/run/pipeline_model.h"

// The step without a pipeline: what every schedule must reproduce, and what predictions are calibrated on.
namespace hourglass::kernels {

using base::Pass;

// Kernels called from this thread use no other, so that pipeline ranks do not take each other's cores.
void use_one_thread();
// The cores that this process may use; a thread keeps to the one given. Cores of a shared machine differ in speed by 20
// % and more, by what the other thread of each serves, so a rank's costs are measured where the rank will run.
std::vector<int> usable_cores();
void keep_to_core(int core);
// Time that the calling thread has spent on a core.
double thread_seconds();

template <class T>
struct SequentialStep {
  double loss = 0.0;
  std::vector<double> losses;                          // of the micro-batches; `loss` is their sum in order
  std::vector<typename Stage<T>::Weights> gradients;   // of each stage
  std::vector<typename Stage<T>::Weights> magnitudes;  // sum over micro-batches of |gradient|, for tolerances
};

// Micro-batch by micro-batch: F of every stage, then B and W of every stage from the last.
template <class T>
SequentialStep<T> run_sequentially(const PipelineModel<T>& model, const std::vector<MicroBatch>& batch);

// Gradients of two runs that summed the same micro-batches in different orders.
//
// A sum of n terms in floating point differs from the exact one by at most (n - 1) u times the sum of their magnitudes,
// u the unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2), so that two orders
// differ by at most twice that. What is summed is the same bit for bit: a micro-batch runs the same kernels on the same
// inputs in every schedule. The tolerance is taken per tensor, from its largest sum of magnitudes; `terms` says how
// many additions a gradient's element sees.
struct GradientDifference {
  int tensors = 0, identical = 0;     // identical: bit for bit
  double largest = 0.0;               // absolute
  double largest_of_tolerance = 0.0;  // of the difference over its tolerance: at most 1 if the runs agree
  std::string worst;                  // the tensor of the line above
};
template <class T>
GradientDifference compare_gradients(SequentialStep<T>& reference, std::vector<typename Stage<T>::Weights>& gradients,
                                     int terms);
// Additions to one element of a gradient in a step: of each micro-batch one for every 128 tokens (Eigen splits longer
// inner dimensions), twice where head and MTP module share a table, and two reductions of copies.
int gradient_terms(const ModelShape& shape, int micro_batches);

// Seconds on a core of one micro-batch at one stage.
struct StageCost {
  double forward_s = 0.0, backward_s = 0.0, weight_s = 0.0;
};
// Measures the costs in sequential passes. As many passes as `cores` has run side by side, each kept to its core and on
// weights of its own, so that what shares caches and memory in the pipeline shares them here too. Time on the core and
// not elapsed time: what other programs take from a rank is no property of the rank.
template <class T>
class CostMeter {
 public:
  // All must outlive the meter. The first micro-batch of each pass warms up and is not counted, so give two or more.
  CostMeter(const PipelineModel<T>& model, const std::vector<MicroBatch>& batch, const std::vector<int>& cores);
  ~CostMeter();
  void measure();                                        // one more pass on every core
  std::vector<StageCost> costs(std::size_t core) const;  // of every stage on the core: means over all passes so far

 private:
  struct Runner;
  const PipelineModel<T>& model_;
  const std::vector<MicroBatch>& batch_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

// Lets the process keep the memory that it frees, as the allocators of training frameworks do. Otherwise large blocks
// go back to the system after every action and come again page by page.
void keep_freed_memory();

double median(std::vector<double> values);  // of at least one

}  // namespace hourglass::kernels
