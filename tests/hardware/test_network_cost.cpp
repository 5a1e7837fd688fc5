#include <doctest/doctest.h>

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
  profile.nvlink = {0.5, 1e-5, 1e-6, 0.0, 0.0, 0.0, {}};
  profile.rdma = {0.5, 2e-5, 5e-6, 0.0, 0.0, 0.0, {}};
  profile.moe_nvlink = {0.5, 3e-5, 0.0, 0.0, 0.0, 0.0, {}};
  profile.moe_rdma = {0.5, 4e-5, 0.0, 0.0, 0.0, 0.0, {}};
  profile.in_situ.dispatch_slowdown = 1.5;
  profile.in_situ.combine_slowdown = 1.25;
  return profile;
}

double collective(Collective kind, double bytes, GroupShape group) {
  return collective_seconds(simple_cluster(), simple_profile(), kind, bytes, group);
}
double moe(double remote, double others, MoeDirection direction, Conditions conditions) {
  return moe_seconds(simple_cluster(), simple_profile(), {1e8, remote, others}, direction, conditions);
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

TEST_CASE("a single rank, or nothing to send, is free") {
  for (const Collective kind : {Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter}) {
    CHECK(collective(kind, 1e9, {1, 1}) == 0.0);
    CHECK(collective(kind, 0.0, {8, 8}) == 0.0);
  }
  CHECK(hardware::send_seconds(simple_cluster(), simple_profile(), 0.0, false) == 0.0);
  CHECK(moe_seconds(simple_cluster(), simple_profile(), {0.0, 3.0, 3.0}, MoeDirection::dispatch, Conditions{20}) ==
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
