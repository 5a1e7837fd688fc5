// A whole step of DeepSeek-V3: prices, layouts, lowering, engine, memory, accounts. Folded, and GPU by GPU from 2,048 to
// 16,384 (more data parallelism, the same work a GPU).
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "sim/training/fast/simulate_plan.h"

using namespace hourglass;

namespace {

sim::Inputs plan(std::int64_t gpus) {
  const std::string number = std::to_string(gpus);
  return sim::load_inputs(
      std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json",
      {"plan.gpus=" + number, "cluster.gpus=" + number, "plan.global_batch=" + std::to_string(gpus * 15360 / 2048)});
}

void step(benchmark::State& state, sim::Fold fold) {
  const sim::Inputs inputs = plan(state.range(0));
  sim::SimulateOptions options;
  options.fold = fold;
  sim::Result result;
  for (auto _ : state) result = sim::simulate_plan(inputs, nullptr, options);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double tasks = static_cast<double>(result.tasks) * static_cast<double>(result.simulated_gpus) / 16.0;
  state.counters["tasks"] = tasks;
  state.counters["step_s"] = result.step_time_s;
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024.0;
  state.counters["per_task"] =
      benchmark::Counter(tasks, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(step, folded, sim::Fold::automatic)->Arg(2048)->Arg(16384)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(step, every_gpu, sim::Fold::off)
    ->Arg(2048)
    ->Arg(4096)
    ->Arg(8192)
    ->Arg(16384)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
