// 32 concurrent all-to-alls of 64 GPUs on 2048: 129,024 flows, each explicit. The GPUs of a group are 8 neighbouring
// nodes; every GPU sends straight from its NIC to every other's (inside a node over NVLink) through a multi-rail fat
// tree.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "base/random.h"
#include "hardware/network/fair_share.h"
#include "hardware/network/routes.h"

using namespace hourglass;

namespace {

struct Problem {
  std::vector<double> capacity;
  hardware::FlowSet flows;
};

hardware::Cluster cluster() {
  hardware::Cluster made;
  made.name = "h800";
  made.gpus = 2048;
  made.nvlink_domain = made.gpus_per_host = 8;
  made.nvlink_bandwidth = 200e9;
  made.nic_bandwidth = 50e9;
  made.fabric.kind = hardware::FabricKind::multi_rail;
  return made;
}

// Sizes within `spread` of 1 MB.
Problem groups_of_64(hardware::RoutePolicy policy, double spread) {
  const hardware::Topology topology = hardware::build_topology(cluster(), 2048);
  hardware::Router router(topology, policy, 1);
  Problem problem;
  for (const hardware::Link& link : topology.links) problem.capacity.push_back(link.bandwidth);
  base::Random random(1);
  std::vector<std::int32_t> path;
  for (std::int32_t group = 0; group < 2048; group += 64) {
    for (std::int32_t a = group; a < group + 64; ++a) {
      for (std::int32_t b = group; b < group + 64; ++b) {
        if (a == b) continue;
        path.clear();
        router.route(a, b, hardware::Via::direct, 0, 1e6, path);
        problem.flows.add(path, 1e6 * random.uniform(1.0 - spread, 1.0 + spread));
      }
    }
  }
  return problem;
}

void solve(benchmark::State& state, hardware::RoutePolicy policy, double spread) {
  const Problem problem = groups_of_64(policy, spread);
  hardware::FlowTimes times;
  for (auto _ : state) times = hardware::simulate_flows(problem.capacity, problem.flows);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["flows"] = static_cast<double>(problem.flows.size());
  state.counters["components"] = static_cast<double>(times.components);
  state.counters["solves"] = static_cast<double>(times.solves);
  state.counters["refilled_a_solve"] = times.refilled / static_cast<double>(times.solves);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024.0;
  state.counters["finish_ms"] = times.seconds * 1e3;
}
using hardware::RoutePolicy;
BENCHMARK_CAPTURE(solve, equal_sizes, RoutePolicy::destination_modulo, 0.0)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(solve, sizes_20_percent, RoutePolicy::destination_modulo, 0.2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(solve, sizes_20_percent_ecmp, RoutePolicy::ecmp, 0.2)->Unit(benchmark::kMillisecond)->UseRealTime();

// What it takes to make the 129,024 flows: topology and routes.
void route(benchmark::State& state, RoutePolicy policy) {
  for (auto _ : state) benchmark::DoNotOptimize(groups_of_64(policy, 0.0));
}
BENCHMARK_CAPTURE(route, destination_modulo, RoutePolicy::destination_modulo)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(route, ecmp, RoutePolicy::ecmp)->Unit(benchmark::kMillisecond);

}  // namespace
