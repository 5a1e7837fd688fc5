#include <doctest/doctest.h>

#include "base/error.h"
#include "planner/search.h"
#include "sim/simulate.h"

using namespace hourglass;

namespace {

sim::Inputs small() {
  return sim::load_inputs(
      std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/llama-3.1-405b.json",
      {"plan.model=../models/llama-3.1-8b.json", "plan.gpus=64", "plan.global_batch=128", "plan.tensor_parallel=2",
       "plan.pipeline_parallel=4", "plan.schedule=1f1b", "plan.chunks=0"});
}

}  // namespace

TEST_CASE("the fastest plan found is no slower than any point, fits, and repeats when simulated") {
  const sim::Inputs inputs = small();
  const planner::SearchResult result = planner::search(inputs, {});
  const planner::SearchPoint& best = result.points[result.front.front()];
  for (const planner::SearchPoint& point : result.points)
    if (point.refused.empty()) CHECK(best.step_time_s <= point.step_time_s);
  CHECK(best.peak_memory_bytes <= inputs.cluster.memory_bytes);
  CHECK(result.illegal + result.too_large + result.simulated == result.points.size());
  sim::Inputs again = inputs;
  again.plan = planner::apply(inputs.plan, best.choice);
  sim::complete_parallelism(again.plan, again.model, again.cluster, "");
  CHECK(sim::simulate(again).step_time_s == best.step_time_s);
}

TEST_CASE("on the front memory falls as time grows, and what memory pruned would not have fitted") {
  const sim::Inputs inputs = small();
  const planner::SearchResult result = planner::search(inputs, {{"1f1b"}, 0.6});
  for (std::size_t i = 1; i < result.front.size(); ++i) {
    CHECK(result.points[result.front[i]].step_time_s >= result.points[result.front[i - 1]].step_time_s);
    CHECK(result.points[result.front[i]].peak_memory_bytes < result.points[result.front[i - 1]].peak_memory_bytes);
  }
  REQUIRE(result.too_large > 0);
  for (const planner::SearchPoint& point : result.points) {
    if (point.simulated || point.peak_memory_bytes == 0.0) continue;
    sim::Inputs pruned = inputs;
    pruned.plan = planner::apply(inputs.plan, point.choice);
    try {
      sim::complete_parallelism(pruned.plan, pruned.model, pruned.cluster, "");
      CHECK(sim::simulate(pruned).largest_memory_bytes() >= point.peak_memory_bytes);
    } catch (const base::Error&) {  // illegal for its schedule too
    }
  }
}

TEST_CASE("a search that nothing can satisfy is an error") {
  CHECK_THROWS_AS(planner::search(small(), {{"1f1b"}, 0.999}), base::Error);
}
