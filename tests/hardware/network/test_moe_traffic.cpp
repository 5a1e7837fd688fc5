#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "hardware/network/collectives.h"
#include "hardware/network/moe_traffic.h"
#include "hardware/network_cost.h"

using namespace hourglass;
using namespace hourglass::hardware;

namespace {

const std::string configs = std::string(HOURGLASS_SOURCE_DIR) + "/configs/";

Cluster h800(FabricKind fabric) {
  Cluster cluster = read_cluster(base::load_json(configs + "clusters/h800.json").value, "h800");
  cluster.fabric.kind = fabric;
  return cluster;
}
Profile profile() { return read_profile(base::load_json(configs + "profiles/h800.json").value, "h800"); }

MoeTime time_of(MoeKernel kernel, MoeStep step, std::int64_t ranks) {
  const bool normal = kernel == MoeKernel::normal;
  const Topology topology = build_topology(h800(FabricKind::multi_rail), ranks);
  MoeRouting routing;
  routing.ranks = ranks;
  routing.tokens = normal ? 4096 : 128;
  routing.nodes_per_token = normal ? 4 : 0;
  routing.loads = uniform_loads(normal ? 256 : 1024);
  return moe_time(topology, RoutePolicy::destination_modulo, expected_tokens(routing), {}, kernel, step,
                  moe_parameters(profile()));
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

// deepseek-ai/DeepEP README @ebfe47e and @d8dd185, docs/legacy.md. EP64 of the throughput kernels, and EP128 and EP256,
// are in no fit. No parameter depends on the number of ranks.
TEST_CASE("DeepEP's published figures come out of the flows within 7 percent, at every group size") {
  struct Published {
    std::int64_t ranks;
    double dispatch, combine;
  };
  for (const Published& each : std::vector<Published>{{8, 153, 158}, {16, 43, 43}, {32, 58, 57}, {64, 51, 50}}) {
    CAPTURE(each.ranks);
    CHECK(time_of(MoeKernel::normal, MoeStep::dispatch, each.ranks).logical_bandwidth / 1e9 ==
          doctest::Approx(each.dispatch).epsilon(0.07));
    CHECK(time_of(MoeKernel::normal, MoeStep::combine, each.ranks).logical_bandwidth / 1e9 ==
          doctest::Approx(each.combine).epsilon(0.07));
  }
  for (const Published& each : std::vector<Published>{
           {8, 163, 318}, {16, 173, 329}, {32, 182, 350}, {64, 186, 353}, {128, 192, 369}, {256, 194, 360}}) {
    CAPTURE(each.ranks);
    const auto us = [&](MoeStep step) {
      return time_of(MoeKernel::low_latency_rdma, step, each.ranks).transfer.seconds * 1e6;
    };
    CHECK(us(MoeStep::dispatch) == doctest::Approx(each.dispatch).epsilon(0.07));
    CHECK(us(MoeStep::combine) == doctest::Approx(each.combine).epsilon(0.07));
  }
  for (const Published& each : std::vector<Published>{{8, 77, 114}, {16, 118, 195}, {32, 155, 273}, {64, 173, 314}}) {
    CAPTURE(each.ranks);
    const auto us = [&](MoeStep step) {
      return time_of(MoeKernel::low_latency, step, each.ranks).transfer.seconds * 1e6;
    };
    CHECK(us(MoeStep::dispatch) == doctest::Approx(each.dispatch).epsilon(0.07));
    CHECK(us(MoeStep::combine) == doctest::Approx(each.combine).epsilon(0.07));
  }
}

// NVIDIA aiconfigurator, DeepEP in SGLang 0.5.0 on H100: notify of 8 nodes and at most 64 tokens, which the two
// parameters did not see (2 and 4 nodes did): median 79 us for dispatch (98 for combine,
// which waits more).
TEST_CASE("notify grows with the rounds of a barrier over the nodes, and is not there inside one") {
  CHECK(time_of(MoeKernel::normal, MoeStep::dispatch, 8).notify_s == 0.0);
  CHECK(time_of(MoeKernel::normal, MoeStep::dispatch, 16).notify_s == doctest::Approx(33e-6));
  CHECK(time_of(MoeKernel::normal, MoeStep::dispatch, 64).notify_s == doctest::Approx(79e-6).epsilon(0.1));
  CHECK(time_of(MoeKernel::low_latency, MoeStep::dispatch, 64).notify_s == 0.0);
}

TEST_CASE("one balanced group alone takes what the closed form says") {
  const Cluster cluster = h800(FabricKind::multi_rail);
  for (const std::int64_t ranks : {8, 16, 32, 64}) {
    CAPTURE(ranks);
    const std::int64_t nodes = ranks / 8;
    const model::Routing routing{256, 8, nodes, std::min<std::int64_t>(nodes, 4)};
    const MoeTraffic traffic = moe_traffic(routing, 4096, 7392, {ranks, 8});
    const double closed = moe_seconds(cluster, profile(), traffic, MoeDirection::dispatch, 24, {});
    CHECK(time_of(MoeKernel::normal, MoeStep::dispatch, ranks).transfer.seconds ==
          doctest::Approx(closed).epsilon(1e-6));
  }
}

TEST_CASE("drawn tokens: every token has top_k experts on at most the allowed nodes, and skew makes a GPU fuller") {
  MoeRouting routing;
  routing.ranks = 32;
  routing.tokens = 200;
  routing.loads = uniform_loads(256);
  const MoeTokens even = draw_tokens(routing, 3);
  CHECK(sum(even.selections) == 32 * 200 * 8);
  CHECK(sum(even.to_node) <= 32 * 200 * 4);
  CHECK(sum(even.to_rank) <= sum(even.selections));
  CHECK(sum(even.to_rank) >= sum(even.to_node));
  CHECK(even.to_rank == draw_tokens(routing, 3).to_rank);
  CHECK(even.to_rank != draw_tokens(routing, 4).to_rank);
  const MoeTokens expected = expected_tokens(routing);
  CHECK(sum(expected.selections) == doctest::Approx(sum(even.selections)));
  CHECK(sum(expected.to_node) == doctest::Approx(sum(even.to_node)).epsilon(0.02));
  CHECK(sum(expected.to_rank) == doctest::Approx(sum(even.to_rank)).epsilon(0.02));
}

TEST_CASE("a recorded routing is counted, and one that names a missing expert refused") {
  // Two ranks of one node, four experts: rank 0 has 0 and 1.
  const MoeTokens tokens = count_tokens({{{0, 1}, {0, 2}}, {{3, 2}}}, 4, 8);
  CHECK(tokens.to_rank == std::vector<double>{2, 1, 0, 1});
  CHECK(tokens.selections == std::vector<double>{3, 1, 0, 2});
  CHECK_THROWS_AS(count_tokens({{{0, 4}}, {{1}}}, 4, 8), base::Error);
  CHECK_THROWS_AS(count_tokens({{{0}}, {{1}}, {{2}}}, 4, 8), base::Error);
}

TEST_CASE("balanced traffic takes the same time on planes and on rails; a failed plane costs one of them more") {
  MoeRouting routing;
  routing.ranks = 64;
  routing.loads = uniform_loads(256);
  const MoeTokens tokens = expected_tokens(routing);
  const auto seconds = [&](FabricKind kind, const char* failed) {
    Topology topology = build_topology(h800(kind), 64);
    if (failed != nullptr) fail(topology, failed);
    return moe_time(topology, RoutePolicy::destination_modulo, tokens, {}, MoeKernel::normal, MoeStep::dispatch,
                    moe_parameters(profile()))
        .transfer.seconds;
  };
  const double planes = seconds(FabricKind::multi_plane, nullptr);
  CHECK(seconds(FabricKind::multi_rail, nullptr) == doctest::Approx(planes).epsilon(2e-3));
  CHECK(seconds(FabricKind::multi_plane, "plane2") > 8.0 / 7.0 * planes);
}

TEST_CASE("flows of a collective agree with the closed form, in time and in bytes on the wires") {
  const Cluster cluster = h800(FabricKind::multi_plane);
  const Topology topology = build_topology(cluster, 32);
  Network network(topology, RoutePolicy::destination_modulo, {1.0, 1.0});
  for (const std::int64_t ranks : {2, 4, 8}) {
    const CollectiveTime time =
        collective_time(network, CollectiveKind::all_gather, CollectiveAlgorithm::flat, ranks, 1e9, 0.0);
    const auto n = static_cast<double>(ranks);
    CHECK(time.transfer.seconds == doctest::Approx((n - 1) / n * 1e9 / cluster.nvlink_bandwidth).epsilon(0.01));
    CHECK(time.bus_bandwidth == doctest::Approx(cluster.nvlink_bandwidth).epsilon(0.01));
  }
  CHECK_THROWS_AS(collective_time(network, CollectiveKind::all_reduce, CollectiveAlgorithm::flat, 64, 1e9, 0.0),
                  base::Error);
  CHECK_THROWS_AS(collective_time(network, CollectiveKind::all_reduce, CollectiveAlgorithm::flat, 1, 1e9, 0.0),
                  base::Error);
}

// Insights into DeepSeek-V3, ISCA'25, arXiv 2505.09343, table 3: two layers of 64-port switches, eight planes of them,
// three layers.
TEST_CASE("switches, links and cost of the published topologies") {
  struct Row {
    FabricKind kind;
    std::int64_t endpoints, switches, links;
    double million_usd;
  };
  for (const Row& row :
       {Row{FabricKind::multi_rail, 2048, 96, 2048, 9}, Row{FabricKind::multi_plane, 16384, 768, 16384, 72},
        Row{FabricKind::three_layer, 65536, 5120, 131072, 491}}) {
    Cluster cluster = h800(row.kind);
    cluster.gpus = row.endpoints;
    const TopologySummary summary = summarize(build_topology(cluster, row.endpoints), cluster);
    CHECK(summary.endpoints == row.endpoints);
    CHECK(summary.switches() == row.switches);
    CHECK(summary.links == row.links);
    CHECK(summary.cost_usd / 1e6 == doctest::Approx(row.million_usd).epsilon(0.01));
    CHECK(most_gpus(cluster) == row.endpoints);
  }
  // The table's Slim Fly and dragonfly: switches and links as published, our unit costs, which were not fitted to them.
  const Fabric fabric = h800(FabricKind::multi_plane).fabric;
  const auto million = [&](double switches, double links, double endpoints) {
    return (switches * fabric.switch_usd + links * fabric.link_usd + endpoints * fabric.endpoint_usd) / 1e6;
  };
  CHECK(million(1568, 32928, 32928) == doctest::Approx(146).epsilon(0.01));
  CHECK(million(16352, 384272, 261632) == doctest::Approx(1522).epsilon(0.01));
}
