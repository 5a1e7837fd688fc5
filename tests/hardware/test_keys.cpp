// What the descriptions of clusters and profiles give besides their readers and schemas.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "hardware/cluster.h"
#include "hardware/compute_cost.h"
#include "hardware/network/routes.h"
#include "hardware/network/topology.h"
#include "hardware/profile.h"

using namespace hourglass;
using base::Json;
using hardware::Cluster;

namespace {

const std::string root = std::string(HOURGLASS_SOURCE_DIR) + "/";

Json document(const std::string& path) { return base::load_json(root + path).value; }

Cluster shipped_cluster(const std::string& name) {
  return hardware::read_cluster(document("configs/clusters/" + name + ".json"), name);
}

std::vector<std::string> names_of(const std::vector<hardware::FittedFigure>& figures) {
  std::vector<std::string> names;
  for (const hardware::FittedFigure& each : figures) names.push_back(each.name);
  return names;
}

std::string refusal(const std::function<void(Json&)>& change) {
  Json json = document("tests/hardware/data/gb200_like.json");
  change(json);
  try {
    hardware::read_cluster(json, "f.json");
  } catch (const base::Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a fit moves the figures that a class has, and gives up the spared ones first") {
  hardware::Profile h100 = hardware::read_profile(document("configs/profiles/h100.json"), "h100");
  CHECK(names_of(hardware::fitted_figures(h100, "router")) ==
        std::vector<std::string>{"choice_ps_per_score", "launch_us", "efficiency"});
  h100.nvlink.switch_efficiency = 0.0;
  h100.nvlink.low_latency_efficiency = 0.3;
  h100.nvlink.copy_steps = 0.0;
  CHECK(names_of(hardware::fitted_figures(h100, "nvlink")) ==
        std::vector<std::string>{"efficiency", "startup_us", "step_us", "dispatch_sm_GBps", "combine_sm_GBps",
                                 "low_latency_efficiency", "low_latency_startup_us"});
  CHECK(hardware::fitted_figures(h100, "optimizer")[0].value == &h100.optimizer.efficiency);
  CHECK_THROWS_AS(hardware::fitted_figures(h100, "gem"), base::Error);
}

TEST_CASE("launches are stated by the profile; what it leaves out is one kernel") {
  Json json = document("configs/profiles/h800.json");
  const hardware::Profile stated = hardware::read_profile(json, "f.json");
  CHECK(stated.launches.norm == 4.0 / 3.0);
  CHECK(stated.launches.rotary == 5.0 / 3.0);
  json["launches"] = {{"router", 7}, {"source", "a test"}};
  const hardware::Profile some = hardware::read_profile(json, "f.json");
  CHECK(some.launches.router == 7.0);
  CHECK(some.launches.norm == 1.0);
  json.erase("launches");
  CHECK(hardware::read_profile(json, "f.json").launches.router == 1.0);
  CHECK(hardware::profile_json(stated)["launches"]["norm"] == 4.0 / 3.0);
}

TEST_CASE("gpus_per_node is the word for a host that is one NVLink domain; both may be given apart") {
  const Cluster h800 = shipped_cluster("h800");
  CHECK(h800.nvlink_domain == 8);
  CHECK(h800.gpus_per_host == 8);
  const Cluster rack = hardware::read_cluster(document("tests/hardware/data/gb200_like.json"), "gb200");
  CHECK(rack.nvlink_domain == 72);
  CHECK(rack.gpus_per_host == 4);
  CHECK(refusal([](Json& j) {
          j["gpus_per_node"] = 4;
          j["sources"]["gpus_per_node"] = "x";
        }) == "f.json /nvlink_domain: 72 contradicts gpus_per_node = 4; where the two differ, leave out gpus_per_node");
  CHECK(refusal([](Json& j) { j["gpus_per_host"] = 5; }) ==
        "f.json /nvlink_domain: 72 GPUs on NVLink are no whole hosts of 5; give a multiple or a divisor of "
        "gpus_per_host");
  CHECK(refusal([](Json& j) {
          j.erase("gpus_per_host");
          j["sources"].erase("gpus_per_host");
        }) == "f.json /gpus_per_host: is missing beside nvlink_domain; add it");
  CHECK(refusal([](Json& j) { j["sources"].erase("nvlink_domain"); }) ==
        "f.json /sources/nvlink_domain: is missing; add it");
}

TEST_CASE("NVLink joins the GPUs of a domain, rails the GPUs of one place in their hosts") {
  const Cluster rack = hardware::read_cluster(document("tests/hardware/data/gb200_like.json"), "gb200");
  const hardware::Topology topology = hardware::build_topology(rack, 100);
  CHECK(topology.gpus == 144);
  CHECK(topology.nodes == 2);
  CHECK(topology.hosts == 36);
  CHECK(topology.rails == 4);
  hardware::Router router(topology, hardware::RoutePolicy::ecmp, 1);
  const auto over_nics = [&](std::int32_t from, std::int32_t to) {
    std::vector<std::int32_t> path;
    router.route(from, to, hardware::Via::direct, 0, 1.0, path);
    for (const std::int32_t link : path) {
      if (topology.links[static_cast<std::size_t>(link)].tier != hardware::LinkTier::nvlink) return true;
    }
    return false;
  };
  CHECK(!over_nics(0, 63));
  CHECK(!over_nics(3, 71));
  CHECK(over_nics(71, 72));
  for (std::int32_t gpu = 0; gpu < topology.gpus; ++gpu)
    CHECK(topology.vertices[static_cast<std::size_t>(topology.leaf_of_nic[static_cast<std::size_t>(gpu)])].rail ==
          gpu % 4);
}

TEST_CASE("a GPU multiplies what its cluster states, in the tiles that it states") {
  const hardware::Profile profile = hardware::read_profile(document("configs/profiles/h100.json"), "h100");
  Cluster h100 = shipped_cluster("h100");
  const hardware::GemmShape shape{1, 4096, 4096, 4096, hardware::MathType::fp8, 2.0, false};
  const double before = hardware::gemm_seconds(h100, profile, shape, {});
  h100.gemm_tiles.heights = {64};
  CHECK(hardware::gemm_seconds(h100, profile, shape, {}) > before);
  h100.math_types = {hardware::MathType::bf16};
  CHECK_THROWS_AS(hardware::gemm_seconds(h100, profile, shape, {}), base::Error);
  CHECK(!hardware::has_math(shipped_cluster("a100"), hardware::MathType::fp8));
  CHECK(refusal([](Json& j) { j["fp8_TFLOPS"] = 0; }) ==
        "f.json /math_types: there is FP8 among them, but no fp8_TFLOPS; add it");
  CHECK(refusal([](Json& j) { j["gemm_tiles"]["largest"] = 1023; }) ==
        "f.json /gemm_tiles/largest: no tile has at most 1023 elements; raise it");
}
