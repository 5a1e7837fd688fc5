#include <benchmark/benchmark.h>

#include "sim/simulate.h"

using namespace hourglass;

namespace {

// A whole step of DeepSeek-V3 on 2048 H800s: prices, layouts, lowering, engine, memory.
void simulate_step(benchmark::State& state) {
  const sim::Inputs inputs =
      sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", {});
  std::size_t tasks = 0;
  for (auto _ : state) tasks = sim::simulate(inputs).tasks;
  state.counters["tasks"] = static_cast<double>(tasks);
}
BENCHMARK(simulate_step)->Unit(benchmark::kMillisecond);

}  // namespace
