#include <doctest/doctest.h>

#include <cmath>

#include "hardware/network_cost.h"

using namespace hourglass;
using hardware::Cluster;
using hardware::Collective;
using hardware::collective_seconds;
using hardware::Conditions;
using hardware::GroupShape;
using hardware::moe_seconds;
using hardware::MoeDirection;
using hardware::Profile;

namespace {

// 100 and 10 GB/s effective, round start-ups.
Cluster simple_cluster() {
  Cluster cluster;
  cluster.nvlink_bandwidth = 200e9;
  cluster.nic_bandwidth = 20e9;
  return cluster;
}

Profile simple_profile() {
  Profile profile;
  const auto link = [](double startup, double step) {
    hardware::LinkClass out;
    out.efficiency = 0.5;
    out.startup_s = startup;
    out.step_s = step;
    return out;
  };
  profile.nvlink = profile.nvlink_p2p = link(1e-5, 1e-6);
  profile.rdma = link(2e-5, 5e-6);
  profile.moe_nvlink = link(3e-5, 0.0);
  profile.moe_rdma = link(4e-5, 0.0);
  profile.in_situ.dispatch_slowdown = 1.5;
  profile.in_situ.combine_slowdown = 1.25;
  return profile;
}

double collective(Collective kind, double bytes, GroupShape group) {
  return collective_seconds(simple_cluster(), simple_profile(), kind, bytes, group);
}
double moe(double remote, double others, MoeDirection direction, Conditions conditions) {
  return moe_seconds(simple_cluster(), simple_profile(), {1e8, remote, others}, direction, 0, conditions);
}

}  // namespace

TEST_CASE("rings of n ranks move (n-1)/n of the buffer in n-1 steps, all-reduce twice that, on the tier they cross") {
  for (const double n : {2.0, 4.0, 8.0}) {
    const GroupShape node{static_cast<std::int64_t>(n), 8};
    const double gather = 1e-5 + (n - 1) * 1e-6 + (n - 1) / n * 1e9 / 100e9;
    CHECK(collective(Collective::all_gather, 1e9, node) == doctest::Approx(gather));
    CHECK(collective(Collective::reduce_scatter, 1e9, node) == doctest::Approx(gather));
    CHECK(collective(Collective::all_reduce, 1e9, node) ==
          doctest::Approx(1e-5 + 2 * (n - 1) * 1e-6 + 2 * (n - 1) / n * 1e9 / 100e9));
    const GroupShape spread{static_cast<std::int64_t>(n), 1};
    CHECK(collective(Collective::all_gather, 1e9, spread) ==
          doctest::Approx(2e-5 + (n - 1) * 5e-6 + (n - 1) / n * 1e9 / 10e9));
  }
}

TEST_CASE("over nodes a ring moves through all NICs of the group on a node, up to what NVLink carries") {
  const auto gather = [](std::int64_t ranks, std::int64_t per_node) {
    return collective(Collective::all_gather, 1e9, {ranks, per_node}) - 2e-5 - static_cast<double>(ranks - 1) * 5e-6;
  };
  CHECK(gather(16, 1) == doctest::Approx(15.0 / 16.0 * 1e9 / 10e9));
  CHECK(gather(16, 4) == doctest::Approx(15.0 / 16.0 * 1e9 / 40e9));
  CHECK(gather(16, 8) == doctest::Approx(15.0 / 16.0 * 1e9 / 80e9));
  CHECK(gather(32, 16) == doctest::Approx(31.0 / 32.0 * 1e9 / 100e9));  // NVLink
}

TEST_CASE("all-reduce takes the fastest of ring, tree between nodes and the switch inside one") {
  const double nodes = 64.0;
  CHECK(collective(Collective::all_reduce, 1e3, {64, 1}) ==
        doctest::Approx(2e-5 + 2 * std::log2(nodes) * 5e-6 + 2e3 / 10e9));
  CHECK(collective(Collective::all_reduce, 1e12, {64, 1}) ==
        doctest::Approx(2e-5 + 126 * 5e-6 + 126.0 / 64.0 * 1e12 / 10e9));
  Profile profile = simple_profile();
  profile.nvlink.switch_efficiency = 0.45;
  profile.nvlink.switch_startup_s = 1e-4;
  const auto reduce = [&](double bytes) {
    return collective_seconds(simple_cluster(), profile, Collective::all_reduce, bytes, {8, 8});
  };
  CHECK(reduce(1e9) == doctest::Approx(1e-4 + 9.0 / 8.0 * 1e9 / 90e9));
  CHECK(reduce(1e5) == doctest::Approx(1e-5 + 14e-6 + 14.0 / 8.0 * 1e5 / 100e9));
}

TEST_CASE("a single rank, or nothing to send, is free") {
  for (const Collective kind : {Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter}) {
    CHECK(collective(kind, 1e9, {1, 1}) == 0.0);
    CHECK(collective(kind, 0.0, {8, 8}) == 0.0);
  }
  CHECK(hardware::send_seconds(simple_cluster(), simple_profile(), 0.0, false) == 0.0);
  CHECK(moe_seconds(simple_cluster(), simple_profile(), {0.0, 3.0, 3.0}, MoeDirection::dispatch, 0, Conditions{20}) ==
        0.0);
}

TEST_CASE("collectives: more bytes or more ranks never faster, leaving the node always slower") {
  double before = 0.0;
  for (double bytes = 1e3; bytes < 1e10; bytes *= 10.0) {
    const double seconds = collective(Collective::all_reduce, bytes, {8, 8});
    CHECK(seconds > before);
    CHECK(collective(Collective::all_reduce, bytes, {16, 8}) > seconds);
    CHECK(collective(Collective::all_reduce, bytes, {8, 4}) > seconds);
    CHECK(collective(Collective::all_reduce, bytes, {4, 4}) < seconds);
    before = seconds;
  }
}

TEST_CASE("a message is a start-up and its bytes over the tier's bandwidth") {
  CHECK(hardware::send_seconds(simple_cluster(), simple_profile(), 1e8, true) == doctest::Approx(1e-5 + 1e8 / 100e9));
  CHECK(hardware::send_seconds(simple_cluster(), simple_profile(), 1e8, false) == doctest::Approx(2e-5 + 1e8 / 10e9));
}

TEST_CASE("dispatch and combine take the slower of the two tiers, which run at once") {
  const double remote_copy = 1e8 / 10e9, near_copy = 1e8 / 100e9;
  CHECK(moe(3.0, 5.0, MoeDirection::dispatch, {}) == doctest::Approx(4e-5 + 3 * remote_copy));
  CHECK(moe(0.1, 5.0, MoeDirection::dispatch, {}) == doctest::Approx(4e-5 + 5 * near_copy));
  CHECK(moe(0.0, 5.0, MoeDirection::dispatch, {}) == doctest::Approx(3e-5 + 5 * near_copy));  // within a node
  CHECK(moe(3.0, 5.0, MoeDirection::combine, {}) == moe(3.0, 5.0, MoeDirection::dispatch, {}));
}

TEST_CASE("beside computation dispatch and combine slow by their own factors and wait for slower peers") {
  const double copies = 3.0 * 1e8 / 10e9;
  CHECK(moe(3.0, 0.0, MoeDirection::dispatch, Conditions{20}) == doctest::Approx(4e-5 + 1.5 * copies));
  CHECK(moe(3.0, 0.0, MoeDirection::combine, Conditions{20}) == doctest::Approx(4e-5 + 1.25 * copies));
}

TEST_CASE("all-to-all in a node: every part at once, small ones through a channel each, large ones in bulk") {
  Profile profile = simple_profile();
  profile.nvlink_p2p.low_latency_efficiency = 0.01;  // 2 GB/s
  profile.nvlink_p2p.low_latency_startup_s = 5e-6;
  const auto seconds = [&](double bytes, std::int64_t ranks) {
    return collective_seconds(simple_cluster(), profile, Collective::all_to_all, bytes, {ranks, 8});
  };
  CHECK(seconds(8e3, 8) == doctest::Approx(5e-6 + 1e3 / 2e9));
  CHECK(seconds(4e3, 4) == doctest::Approx(seconds(8e3, 8)));
  CHECK(seconds(8e9, 8) == doctest::Approx(1e-5 + 7e9 / 100e9));
}

TEST_CASE("dispatch between nodes is bound by what its SMs forward, inside a node it is not") {
  Profile profile = simple_profile();
  profile.moe_nvlink.dispatch_sm_bandwidth = 2e9;
  const auto seconds = [&](double remote, std::int64_t sms) {
    return moe_seconds(simple_cluster(), profile, {1e8, remote, 4.0}, MoeDirection::dispatch, sms, {});
  };
  CHECK(seconds(0.1, 10) == doctest::Approx(4e-5 + 4e8 / 20e9));
  CHECK(seconds(0.1, 20) == doctest::Approx(4e-5 + 4e8 / 40e9));
  CHECK(seconds(0.1, 100) == doctest::Approx(4e-5 + 4e8 / 100e9));  // the links
  CHECK(seconds(0.1, 0) == seconds(0.1, 100));
  CHECK(seconds(0.0, 10) == doctest::Approx(3e-5 + 4e8 / 100e9));
}

TEST_CASE("low latency: one message an expert, what stays on the GPU is free, what stays on the node takes NVLink") {
  Profile profile = simple_profile();
  profile.moe_low_latency = {1e-5, 2e-6, 0.5, 0.5, 0.25, {}};
  const auto seconds = [&](std::int64_t ranks, bool nvlink) {
    return hardware::low_latency_moe_seconds(simple_cluster(), profile, 1000.0, 1e4,
                                             {ranks, std::min<std::int64_t>(ranks, 8)}, nvlink);
  };
  CHECK(seconds(8, true) == doctest::Approx(1e-5 + 7.0 / 8.0 * 1e7 / 100e9));
  CHECK(seconds(64, true) == doctest::Approx(1.2e-5 + 56.0 / 64.0 * 1e7 / 10e9));
  CHECK(seconds(64, false) == doctest::Approx(63.0 / 64.0 * 1e7 / 5e9));
}
