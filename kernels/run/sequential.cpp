#include "kernels/run/sequential.h"

#include <omp.h>
#include <sched.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <latch>
#include <limits>
#include <numeric>
#include <thread>

namespace hourglass::kernels {

// A micro-batch from the first stage to the last and back. `observe(stage, pass, seconds)` is told every call.
template <class T>
class SequentialPass {
 public:
  using Weights = typename Stage<T>::Weights;
  explicit SequentialPass(const PipelineModel<T>& model) : model_(model), saved_(model.stages.size()) {}

  template <class Observe>
  double run(const std::vector<Weights>& weights, const MicroBatch& batch, std::vector<Weights>& gradients,
             const Observe& observe) {
    const int stages = static_cast<int>(model_.stages.size());
    const auto timed = [&](int stage, Pass pass, const auto& call) {
      const double begin = thread_seconds();
      call(model_.stages[position(stage)], weights[position(stage)], saved_[position(stage)]);
      observe(stage, pass, thread_seconds() - begin);
    };
    double loss = 0.0;
    Tensor<T> in, out;
    for (int s = 0; s < stages; ++s) {
      timed(s, Pass::forward, [&](const auto& stage, const Weights& w, auto& saved) {
        loss = stage.forward(w, batch, std::move(in), saved, out);
      });
      in = std::move(out);
      out = {};
    }
    for (int s = stages; s-- > 0;) {
      timed(s, Pass::backward_input, [&](const auto& stage, const Weights& w, auto& saved) {
        stage.input_gradient(w, batch, std::move(in), saved, out);
      });
      timed(s, Pass::backward_weight, [&](const auto& stage, const Weights&, auto& saved) {
        stage.weight_gradient(batch, saved, gradients[position(s)]);
      });
      in = std::move(out);
      out = {};
    }
    return loss;
  }
  // The weight gradients of the micro-batch just run, once more, into other gradients.
  void weight_gradients(const MicroBatch& batch, std::vector<Weights>& gradients) const {
    for (std::size_t s = 0; s < saved_.size(); ++s) model_.stages[s].weight_gradient(batch, saved_[s], gradients[s]);
  }

 private:
  const PipelineModel<T>& model_;
  std::vector<typename Stage<T>::Saved> saved_;
};

namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

template <class T>
std::vector<typename Stage<T>::Weights> zeros_of(const PipelineModel<T>& model) {
  std::vector<typename Stage<T>::Weights> all;
  for (const Stage<T>& stage : model.stages) all.push_back(stage.zeros());
  return all;
}

template <class T, class Body>
void for_each_pair(std::vector<typename Stage<T>::Weights>& a, std::vector<typename Stage<T>::Weights>& b,
                   const Body& body) {
  for (std::size_t s = 0; s < a.size(); ++s) {
    const NamedTensors<T> left = a[s].list(), right = b[s].list();
    for (std::size_t i = 0; i < left.size(); ++i) body(*left[i].tensor, *right[i].tensor, left[i].name);
  }
}

}  // namespace

void use_one_thread() { omp_set_num_threads(1); }

std::vector<int> usable_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  if (cores.empty()) cores.push_back(0);  // more cores than a cpu_set_t holds
  return cores;
}

void keep_to_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

template <class T>
SequentialStep<T> run_sequentially(const PipelineModel<T>& model, const std::vector<MicroBatch>& batch) {
  SequentialStep<T> step{0.0, {}, zeros_of(model), zeros_of(model)};
  std::thread thread([&] {  // of its own: the caller's keeps its number of OpenMP threads
    use_one_thread();
    SequentialPass<T> pass(model);
    std::vector<typename Stage<T>::Weights> one = zeros_of(model);
    for (const MicroBatch& micro_batch : batch) {
      step.losses.push_back(pass.run(model.weights, micro_batch, step.gradients, [](int, Pass, double) {}));
      step.loss += step.losses.back();
      pass.weight_gradients(micro_batch, one);
      for_each_pair<T>(one, step.magnitudes, [](Tensor<T>& g, Tensor<T>& sum, const std::string&) {
        for (Index i = 0; i < g.size(); ++i) sum.data()[i] += std::abs(g.data()[i]);
        g.fill(T(0));
      });
    }
  });
  thread.join();
  reduce_embeddings<T>(step.gradients);
  reduce_embeddings<T>(step.magnitudes);
  return step;
}

int gradient_terms(const ModelShape& shape, int micro_batches) {
  const auto pieces = static_cast<int>((shape.tokens() + 127) / 128);
  return 2 * pieces * micro_batches + 2;
}

template <class T>
GradientDifference compare_gradients(SequentialStep<T>& reference, std::vector<typename Stage<T>::Weights>& gradients,
                                     int terms) {
  std::vector<double> tolerances;
  const double unit_roundoff = 0.5 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for_each_pair<T>(reference.magnitudes, gradients, [&](Tensor<T>& magnitude, Tensor<T>&, const std::string&) {
    const double largest =
        static_cast<double>(*std::max_element(magnitude.data(), magnitude.data() + magnitude.size()));
    tolerances.push_back(2.0 * (terms - 1) * unit_roundoff * largest);
  });
  GradientDifference difference;
  for_each_pair<T>(reference.gradients, gradients, [&](Tensor<T>& a, Tensor<T>& b, const std::string& name) {
    double largest = 0.0;
    for (Index i = 0; i < a.size(); ++i) {
      const double apart = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
      if (!(apart <= largest)) largest = apart;  // NaN too
    }
    const double tolerance = tolerances[position(difference.tensors++)];
    if (largest == 0.0) ++difference.identical;
    if (!(largest <= difference.largest)) difference.largest = largest;
    const double ratio = largest == 0.0 ? 0.0 : largest / tolerance;
    if (difference.worst.empty() || !(ratio <= difference.largest_of_tolerance)) {
      difference.largest_of_tolerance = ratio;
      difference.worst = name;
    }
  });
  return difference;
}

template <class T>
struct CostMeter<T>::Runner {
  int core;
  SequentialPass<T> pass;
  std::vector<typename Stage<T>::Weights> weights, gradients;
  std::vector<std::array<std::vector<double>, 3>> seconds;  // of each stage: F, B, W
};

template <class T>
CostMeter<T>::CostMeter(const PipelineModel<T>& model, const std::vector<MicroBatch>& batch,
                        const std::vector<int>& cores)
    : model_(model), batch_(batch) {
  for (const int core : cores)
    runners_.emplace_back(new Runner{core, SequentialPass<T>(model), model.weights, zeros_of(model), {}});
  for (auto& runner : runners_) runner->seconds.resize(model.stages.size());
}
template <class T>
CostMeter<T>::~CostMeter() = default;

template <class T>
void CostMeter<T>::measure() {
  std::latch ready(static_cast<std::ptrdiff_t>(runners_.size()));
  std::vector<std::thread> threads;
  for (auto& runner : runners_) {
    threads.emplace_back([&] {
      use_one_thread();
      keep_to_core(runner->core);
      ready.arrive_and_wait();
      for (std::size_t i = 0; i < batch_.size(); ++i) {
        runner->pass.run(runner->weights, batch_[i], runner->gradients, [&](int stage, Pass pass, double time) {
          if (i > 0) runner->seconds[position(stage)][static_cast<std::size_t>(pass)].push_back(time);
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

template <class T>
std::vector<StageCost> CostMeter<T>::costs(std::size_t core) const {
  std::vector<StageCost> costs;
  for (const auto& [forward, backward, weight] : runners_[core]->seconds)
    costs.push_back({mean(forward), mean(backward), mean(weight)});
  return costs;
}

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 28);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

template SequentialStep<float> run_sequentially(const PipelineModel<float>&, const std::vector<MicroBatch>&);
template SequentialStep<double> run_sequentially(const PipelineModel<double>&, const std::vector<MicroBatch>&);
template GradientDifference compare_gradients<float>(SequentialStep<float>&, std::vector<Stage<float>::Weights>&, int);
template GradientDifference compare_gradients<double>(SequentialStep<double>&, std::vector<Stage<double>::Weights>&,
                                                      int);
template class CostMeter<float>;
template class CostMeter<double>;

}  // namespace hourglass::kernels
