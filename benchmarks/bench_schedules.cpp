#include <benchmark/benchmark.h>

#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/validate.h"

using namespace hourglass;

namespace {

// One order under new costs: nanoseconds an action.
void evaluate_order(benchmark::State& state, const char* name) {
  schedules::Evaluator evaluator(schedules::generate(name, {16, 120, 0}));
  schedules::Costs costs;
  for (auto _ : state) {
    costs.forward += 1e-9;  // a new case every time
    benchmark::DoNotOptimize(evaluator.makespan(costs));
  }
  const auto actions = static_cast<double>(evaluator.actions());
  state.counters["actions"] = actions;
  state.counters["per_action"] =
      benchmark::Counter(actions, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(evaluate_order, onef1b, "1f1b");
BENCHMARK_CAPTURE(evaluate_order, zb_h1, "zb-h1");
BENCHMARK_CAPTURE(evaluate_order, dualpipe, "dualpipe");

// The whole way from a name to a makespan.
void generate_validate_evaluate(benchmark::State& state, const char* name) {
  for (auto _ : state) {
    const schedules::Schedule schedule = schedules::generate(name, {16, 120, 0});
    schedules::validate(schedule);
    benchmark::DoNotOptimize(schedules::evaluate(schedule, {}).makespan);
  }
}
BENCHMARK_CAPTURE(generate_validate_evaluate, dualpipe, "dualpipe")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(generate_validate_evaluate, zb_v, "zb-v")->Unit(benchmark::kMicrosecond);

}  // namespace
