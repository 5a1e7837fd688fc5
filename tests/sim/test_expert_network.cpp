#include <doctest/doctest.h>

#include "base/error.h"
#include "sim/simulate.h"

using namespace hourglass;

namespace {

sim::Inputs reference(const std::string& network, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"plan.global_batch=5120", "plan.network=" + network});
  return sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", more);
}

}  // namespace

TEST_CASE("balanced groups on a sound network cost what one group alone costs, under planes, rails and three layers") {
  const double closed = sim::simulate(reference("null")).step_time_s;
  for (const char* kind : {"multi_plane", "multi_rail", "three_layer"}) {
    CAPTURE(kind);
    const sim::Result result = sim::simulate(reference("{}", {std::string("cluster.fabric.kind=") + kind}));
    REQUIRE(result.network);
    CHECK(result.network->dispatch_factor == doctest::Approx(1.0).epsilon(2e-3));
    CHECK(result.network->combine_factor == doctest::Approx(1.0).epsilon(2e-3));
    CHECK(result.network->imbalance == doctest::Approx(1.0));
    CHECK(result.step_time_s == doctest::Approx(closed).epsilon(2e-3));
    CHECK_FALSE(result.network->hottest.empty());
  }
}

TEST_CASE("groups that span leaves of an over-subscribed fabric collide under ECMP more than under adaptive routing") {
  const std::vector<std::string> wide = {"plan.gpus=512",
                                         "plan.expert_parallel=256",
                                         "plan.pipeline_parallel=2",
                                         "cluster.fabric.kind=multi_rail",
                                         "cluster.fabric.switch_ports=32",
                                         "cluster.fabric.oversubscription=3"};
  const sim::ExpertNetwork spread = sim::expert_network(reference(R"({"routing": "adaptive"})", wide));
  const sim::ExpertNetwork hashed = sim::expert_network(reference(R"({"routing": "ecmp"})", wide));
  CHECK(hashed.dispatch_factor > 1.1 * spread.dispatch_factor);
}

TEST_CASE("a failed plane and skewed experts cost time, and the same input gives the same answer") {
  const sim::ExpertNetwork failed = sim::expert_network(reference(R"({"failed": ["plane3"]})"));
  CHECK(failed.dispatch_factor > 1.3);
  CHECK(failed.dispatch_factor < 2.1);  // its traffic lands on one other rail at worst
  const sim::Inputs skewed = reference(R"({"expert_skew": 0.3, "seed": 5})");
  const sim::ExpertNetwork once = sim::expert_network(skewed), again = sim::expert_network(skewed);
  CHECK(once.imbalance > 1.05);
  CHECK(once.dispatch_factor > 1.0);
  CHECK(once.dispatch_factor == again.dispatch_factor);
  CHECK(sim::simulate(skewed).step_time_s > sim::simulate(reference("{}")).step_time_s);
}

TEST_CASE("unknown parts of the network and unknown policies are refused") {
  CHECK_THROWS_AS(sim::expert_network(reference(R"({"failed": ["plane99"]})")), base::Error);
  CHECK_THROWS_AS(reference(R"({"routing": "random"})"), base::Error);
  CHECK_THROWS_AS(reference(R"({"expert_skew": -1})"), base::Error);
}
