#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "planner/budget/budget.h"
#include "planner/budget/sensitivity.h"
#include "planner/budget/solve.h"
#include "planner/compare/clusters.h"

using namespace hourglass;

namespace {

const std::string plans = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/";
const std::string short_run = R"(plan.stages=[{"name":"a","steps":1000}])";

sim::Inputs reference(std::vector<std::string> overrides = {}) {
  overrides.push_back(short_run);
  return sim::load_inputs(plans + "deepseek-v3.json", overrides);
}

const planner::Lever& lever(const planner::Tornado& tornado, const std::string& name) {
  return *std::find_if(tornado.levers.begin(), tornado.levers.end(), [&](const auto& l) { return l.name == name; });
}

}  // namespace

TEST_CASE("a lever is the plan with --set") {
  const planner::Tornado tornado = planner::sensitivity(reference(), 0.1);
  CHECK(tornado.time == planner::net_budget(reference(), nullptr).gpu_hours);
  const planner::Lever& nic = lever(tornado, "NIC bandwidth");
  CHECK(nic.down.time == doctest::Approx(planner::net_budget(reference({"cluster.nic_GBps=45"}), nullptr).gpu_hours));
  CHECK(nic.up.time == doctest::Approx(planner::net_budget(reference({"cluster.nic_GBps=55"}), nullptr).gpu_hours));
  CHECK(nic.elasticity() == doctest::Approx(std::log(nic.up.time / nic.down.time) / std::log(55.0 / 45.0)));
  const planner::Lever& sms = lever(tornado, "SMs for communication");
  CHECK(sms.up.time ==
        doctest::Approx(planner::net_budget(reference({"plan.communication_sms=22"}), nullptr).gpu_hours));
}

TEST_CASE("better hardware never slows the run, worse balance never speeds it up; the largest effect comes first") {
  const planner::Tornado tornado = planner::sensitivity(reference(), 0.1);
  for (const char* name : {"FP8 rate", "BF16 rate", "HBM bandwidth", "NIC bandwidth", "NVLink bandwidth"})
    CHECK(lever(tornado, name).elasticity() < 0.0);
  for (const char* name : {"expert imbalance", "wait for slower peers", "network latency", "kernel launches"})
    CHECK(lever(tornado, name).elasticity() > 0.0);
  CHECK(lever(tornado, "expert imbalance").down.factor == 1.0);
  for (std::size_t i = 1; i < tornado.levers.size(); ++i)
    CHECK(tornado.levers[i - 1].swing() >= tornado.levers[i].swing());
}

TEST_CASE("without stages the levers move one step; what a model does not use is left out or without effect") {
  const sim::Inputs dense = sim::load_inputs(plans + "llama-3.1-405b.json", {"plan.stages=[]"});
  const planner::Tornado tornado = planner::sensitivity(dense, 0.05);
  CHECK_FALSE(tornado.run);
  CHECK(tornado.time > 1.0);
  CHECK(lever(tornado, "FP8 rate").swing() == 0.0);
  for (const planner::Lever& each : tornado.levers) {
    CHECK(each.name != "expert imbalance");
    CHECK(each.name != "SMs for communication");
  }
}

TEST_CASE("the fewest GPUs: in time, while the next smaller legal number is not") {
  const std::vector<std::string> large = {"cluster.gpus=16384"};
  const double days =
      planner::net_budget(reference({"cluster.gpus=16384", "plan.gpus=4096"}), nullptr).goodput.wall_s / 86400.0;
  const planner::GpuSolution exact = planner::solve_gpus(reference(large), days * 1.0001);
  CHECK(exact.gpus == 4096);
  CHECK(planner::solve_gpus(reference(large), days * 0.9999).gpus > 4096);
  const auto smaller =
      std::find_if(exact.simulated.begin(), exact.simulated.end(), [](const auto& e) { return e.gpus == 3072; });
  REQUIRE(smaller != exact.simulated.end());
  CHECK_FALSE(smaller->in_time);
  std::int64_t last = 0;
  for (const planner::GpuCount& each : exact.simulated) {
    CHECK(each.gpus > last);
    CHECK(15360 % (each.gpus / 16) == 0);  // whole replicas divide the batch
    last = each.gpus;
  }
}

TEST_CASE("days fall as GPUs are added, and more days never need more GPUs") {
  std::int64_t last = 1 << 30;
  for (const double days : {0.12, 0.2, 0.3, 0.5}) {
    const std::int64_t gpus = planner::solve_gpus(reference({"cluster.gpus=16384"}), days).gpus;
    CHECK(gpus <= last);
    last = gpus;
  }
}

TEST_CASE("what no number of GPUs can do is an error that says how close it comes") {
  CHECK_THROWS_WITH_AS(planner::solve_gpus(reference(), 0.01), doctest::Contains("even 2048 GPUs take"), base::Error);
  CHECK_THROWS_AS(planner::solve_gpus(sim::load_inputs(plans + "deepseek-v3.json", {"plan.stages=[]"}), 60.0),
                  base::Error);
}

TEST_CASE("clusters side by side: each with its own profile, as if the plan named it") {
  const planner::ClusterComparison all =
      planner::compare_clusters(plans + "deepseek-v3.json", {"h800", "h100", "a100"}, {short_run});
  REQUIRE(all.clusters.size() == 3);
  CHECK(all.clusters[0].profile == "h800");
  CHECK(all.clusters[1].profile == "h100");
  CHECK(all.clusters[0].budget.gpu_hours == planner::net_budget(reference(), nullptr).gpu_hours);
  CHECK(all.clusters[1].budget.gpu_hours ==
        planner::net_budget(reference({"plan.cluster=../clusters/h100.json"}), nullptr).gpu_hours);
  CHECK(all.clusters[2].refused.find("FP8") != std::string::npos);
  CHECK_THROWS_AS(planner::compare_clusters(plans + "deepseek-v3.json", {"h9000"}, {}), base::Error);
}
