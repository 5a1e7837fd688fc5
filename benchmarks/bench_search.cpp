#include <benchmark/benchmark.h>

#include "planner/search/search.h"

using namespace hourglass;

namespace {

sim::Inputs deepseek() {
  return sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", {});
}

// Every plan of at most 16 pipeline ranks that fits is simulated, none is pruned by a bound: DeepSeek-V3 on 2048 H800s.
// plans/s counts these only. One in `part` units of work is run.
void simulated_plans(benchmark::State& state) {
  constexpr std::uint64_t part = 20;
  planner::SearchOptions options;
  options.bound = false;
  planner::Space space = planner::space_of(deepseek(), {}, {});
  std::erase_if(space.pipelines, [](std::int64_t pipeline) { return pipeline > 16; });
  std::uint64_t simulated = 0, plans = 0;
  for (auto _ : state) {
    planner::Search search(space, options);
    std::vector<std::uint64_t> units;
    for (std::uint64_t unit = 0; unit < search.units(); unit += part) units.push_back(unit);
    search.run(units, [&](planner::UnitResult result) {
      simulated += result.simulated;
      plans += result.plans;
    });
  }
  state.counters["plans/s"] = benchmark::Counter(static_cast<double>(simulated), benchmark::Counter::kIsRate);
  state.counters["simulated"] = static_cast<double>(simulated) / static_cast<double>(state.iterations());
  state.counters["of"] = static_cast<double>(plans) / static_cast<double>(state.iterations());
}
BENCHMARK(simulated_plans)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();

// The whole search: every legal plan of the space.
void whole_search(benchmark::State& state) {
  std::uint64_t simulated = 0, plans = 0;
  for (auto _ : state) {
    const planner::SearchResult result = planner::search(deepseek(), {});
    simulated = result.simulated;
    plans = result.plans;
  }
  state.counters["simulated"] = static_cast<double>(simulated);
  state.counters["plans"] = static_cast<double>(plans);
}
BENCHMARK(whole_search)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace
