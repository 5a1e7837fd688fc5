#include <doctest/doctest.h>

#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

// Seconds of exposed communication, over all ranks, by what carries it.
sim::ExposedTiers exposed(const std::vector<std::string>& overrides) {
  std::vector<std::string> all = {"plan.global_batch=5120", "plan.profile=../profiles/h100.json"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  const sim::Result result =
      sim::simulate(sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", all));
  sim::ExposedTiers sum;
  for (const sim::RankResult& rank : result.ranks) {
    sum.rdma_s += rank.exposed.rdma_s;
    sum.nvlink_s += rank.exposed.nvlink_s;
  }
  return sum;
}

}  // namespace

TEST_CASE("64 expert-parallel GPUs stay on NVLink in domains of 72, whatever a host holds, and not in domains of 8") {
  const std::string rack = "plan.cluster=../../tests/hardware/data/gb200_like.json";
  const sim::ExposedTiers wide = exposed({rack});
  CHECK(wide.rdma_s == 0.0);
  CHECK(wide.nvlink_s > 0.0);
  const sim::ExposedTiers narrow = exposed({rack, "cluster.nvlink_domain=8"});
  CHECK(narrow.rdma_s > 0.0);
  const sim::ExposedTiers other_hosts = exposed({rack, "cluster.gpus_per_host=8"});
  CHECK(other_hosts.nvlink_s == wide.nvlink_s);
}
