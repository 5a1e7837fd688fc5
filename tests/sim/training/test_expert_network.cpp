#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"
#include "sim/training/simulate.h"

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
    const sim::Inputs inputs = reference("{}", {std::string("cluster.fabric.kind=") + kind});
    const sim::Result result = sim::simulate(inputs);
    REQUIRE(result.network);
    CHECK(result.network->dispatch_factor == doctest::Approx(1.0).epsilon(2e-3));
    CHECK(result.network->combine_factor == doctest::Approx(1.0).epsilon(2e-3));
    CHECK(result.network->imbalance == doctest::Approx(1.0));
    CHECK(result.step_time_s == doctest::Approx(closed).epsilon(2e-3));
    CHECK_FALSE(result.network->hottest.empty());
    double most = 0.0;
    std::int64_t links = 0;
    for (const hardware::LinkCell& cell : result.network->cells) {
      CHECK(cell.least <= cell.mean * (1.0 + 1e-12));
      CHECK(cell.mean <= cell.most * (1.0 + 1e-12));
      most = std::max(most, cell.most);
      links += cell.links;
    }
    CHECK(most == doctest::Approx(result.network->hottest.front().utilization));
    CHECK(links == static_cast<std::int64_t>(hardware::build_topology(inputs.cluster, inputs.plan.gpus).links.size()));
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

TEST_CASE("planes and rails cost the same while balanced, and differ when a hash lays flows on the same cables") {
  const auto dispatch = [&](const char* kind, const char* network) {
    return sim::expert_network(
               reference(network, {"plan.gpus=512", "plan.expert_parallel=256", "plan.pipeline_parallel=2",
                                   "cluster.fabric.switch_ports=32", "cluster.fabric.oversubscription=3",
                                   std::string("cluster.fabric.kind=") + kind}))
        .dispatch_factor;
  };
  const double planes = dispatch("multi_plane", "{}");
  CHECK(dispatch("multi_rail", "{}") == doctest::Approx(planes).epsilon(2e-3));
  CHECK(dispatch("three_layer", "{}") < 1.6 * planes);  // destinations of one node part ways above the leaves
  const double hashed = dispatch("multi_plane", R"({"routing": "ecmp"})");
  CHECK(hashed > 1.1 * planes);
  CHECK(std::abs(dispatch("multi_rail", R"({"routing": "ecmp"})") / hashed - 1.0) > 2e-3);
  // A spine of a plane is one of few for one rail, a spine under all rails one of few for all.
  CHECK(dispatch("multi_rail", R"({"failed": ["spine0"]})") >
        1.1 * dispatch("multi_plane", R"({"failed": ["plane3.spine0"]})"));
}

TEST_CASE("measured expert loads set the traffic: equal ones like uniform, one hot expert fills its GPU") {
  std::string loads = R"({"expert_loads": [)", hot;
  for (int e = 0; e < 256; ++e) loads += e == 0 ? "1" : ",1";
  hot = loads;
  hot.replace(hot.find('[') + 1, 1, "8");
  const sim::ExpertNetwork even = sim::expert_network(reference(loads + "]}"));
  const sim::ExpertNetwork skewed = sim::expert_network(reference(hot + "]}"));
  CHECK(even.imbalance < 1.05);
  CHECK(even.dispatch_factor < 1.15);  // drawn, so that sizes differ and NICs idle at the tail; 1 on average
  CHECK(skewed.imbalance > 1.5);
  CHECK(skewed.dispatch_factor > even.dispatch_factor);
}

TEST_CASE("a failed plane and skewed experts cost time, and the same input gives the same answer") {
  const sim::ExpertNetwork failed = sim::expert_network(reference(R"({"failed": ["plane3"]})"));
  // An eighth of the traffic goes to the seven other rails: 8/7 if it could be spread evenly over seven remote nodes.
  CHECK(failed.dispatch_factor > 8.0 / 7.0);
  CHECK(failed.dispatch_factor < 1.5);
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
