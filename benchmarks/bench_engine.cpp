// The two engines alone, on the task graph of one DeepSeek-V3 step folded to 16 GPUs: nanoseconds a task where nothing
// is shared (a sweep), and a task that starts and ends where something is.
#include <benchmark/benchmark.h>

#include "sim/engine/engine.h"
#include "sim/training/machine.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

struct Step {
  sim::Inputs inputs;
  sim::Lowered lowered;
};

Step deepseek() {
  Step step{sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", {}), {}};
  const schedules::Schedule schedule = sim::plan_schedule(step.inputs.plan);
  const sim::UnitPrices prices(step.inputs);
  const sim::StageLayout layout = sim::candidate_layouts(step.inputs, schedule, prices).front();
  sim::BlockLibrary blocks(layout.stages, prices);
  step.lowered = sim::lower(step.inputs, schedule, layout, blocks);
  return step;
}

void rate(benchmark::State& state, double tasks) {
  state.counters["per_task"] =
      benchmark::Counter(tasks, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void sweep(benchmark::State& state) {
  const Step step = deepseek();
  for (auto _ : state) benchmark::DoNotOptimize(sim::run(step.lowered.graph).makespan);
  rate(state, static_cast<double>(step.lowered.graph.size()));
}
BENCHMARK(sweep)->Unit(benchmark::kMillisecond);

void shared(benchmark::State& state) {
  const Step step = deepseek();
  sim::Machine machine = sim::machine_of(step.inputs, step.lowered, true);
  machine.members = state.range(0);
  std::uint64_t events = 0;
  for (auto _ : state) events = sim::run_shared(step.lowered.graph, sim::streams_per_rank, machine).events;
  rate(state, static_cast<double>(step.lowered.graph.size()) * static_cast<double>(machine.members));
  state.counters["events"] = static_cast<double>(events);
}
// GPUs a pipeline rank: folded, and all of the plan.
BENCHMARK(shared)->Arg(1)->Arg(128)->Unit(benchmark::kMillisecond);

}  // namespace
