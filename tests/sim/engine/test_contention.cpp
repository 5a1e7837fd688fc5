#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "sim/engine/contention.h"
#include "sim/engine/engine.h"
#include "sim/training/machine.h"

using namespace hourglass;
using base::Time;
using sim::TaskGraphBuilder;
using sim::TaskId;
using sim::TaskUse;

namespace {

// Two ranks of four streams, as sim/training/lower.h has them: compute, collectives, messages, gradients.
constexpr std::uint32_t per_rank = 4;
constexpr std::uint32_t compute = 0, collectives = 1, messages = 2;

TaskUse wants(float nic, std::int32_t to = -1) {
  TaskUse use;
  use.nic = nic;
  use.to = to;
  return use;
}

TaskUse in_group(std::uint16_t group, float nic = 0.0F) {
  TaskUse use = wants(nic);
  use.group = group;
  return use;
}

sim::Machine alone() { return {}; }

// A random program on `ranks` ranks: tasks on any stream, that wait for earlier ones. `shared`: with wants.
sim::TaskGraph random_program(base::Random& random, int ranks, bool shared, bool slowdowns = true) {
  TaskGraphBuilder builder(static_cast<std::uint32_t>(ranks) * per_rank);
  const int tasks = 20 + static_cast<int>(random.below(60));
  for (int i = 0; i < tasks; ++i) {
    const auto rank = static_cast<std::uint32_t>(random.below(static_cast<std::uint64_t>(ranks)));
    const auto stream = static_cast<std::uint32_t>(random.below(3));
    TaskUse use;
    if (shared && stream == collectives) {
      use = in_group(1, random.below(3) == 0 ? 0.0F : static_cast<float>(random.uniform(0.1, 1.0)));
      use.felt = random.below(2) == 0;
    }
    if (shared && stream == compute && random.below(2) == 0 && slowdowns) use.slowdown = 1.25F;
    if (shared && stream == messages)
      use = wants(static_cast<float>(random.uniform(0.3, 1.0)),
                  static_cast<std::int32_t>((rank + 1) % static_cast<std::uint32_t>(ranks)));
    const TaskId id = builder.add(rank * per_rank + stream, static_cast<Time>(random.below(1000)), use);
    for (int d = 0; d < 2 && id > 0; ++d) builder.depend(id, static_cast<TaskId>(random.below(id)));
  }
  return std::move(builder).freeze();
}

}  // namespace

TEST_CASE("where nothing is shared the times are those of the sweep, to the picosecond") {
  base::Random random(1);
  for (int i = 0; i < 300; ++i) {
    const sim::TaskGraph graph = random_program(random, 1 + static_cast<int>(random.below(4)), false);
    const sim::Timeline expected = sim::run(graph);
    const sim::MachineTimeline actual = sim::run_shared(graph, per_rank, alone());
    REQUIRE(actual.start == expected.start);
    REQUIRE(actual.end == expected.end);
    REQUIRE(actual.makespan == expected.makespan);
  }
}

TEST_CASE("two tasks that both want a whole NIC share it evenly") {
  TaskGraphBuilder builder(2 * per_rank);
  const TaskId exchange = builder.add(collectives, 1000, wants(1.0F));
  const TaskId message = builder.add(messages, 400, wants(1.0F, 1));
  const auto timeline = sim::run_shared(std::move(builder).freeze(), per_rank, alone());
  CHECK(timeline.end[message] == 800);    // half the rate
  CHECK(timeline.end[exchange] == 1400);  // 400 of work done by then, 600 left alone
}

TEST_CASE("what fits on a NIC together is not slowed; a little more is") {
  for (const float want : {0.5F, 0.51F}) {
    TaskGraphBuilder builder(2 * per_rank);
    const TaskId exchange = builder.add(collectives, 1000, wants(0.5F));
    const TaskId message = builder.add(messages, 1000, wants(want, 1));
    const auto timeline = sim::run_shared(std::move(builder).freeze(), per_rank, alone());
    CHECK((timeline.end[message] == 1000) == (want == 0.5F));
    CHECK(timeline.end[exchange] == 1000);  // wants no more than an equal share
  }
}

TEST_CASE("a message is slowed where it arrives, too") {
  TaskGraphBuilder builder(2 * per_rank);
  builder.add(per_rank + collectives, 1000, wants(1.0F));  // on rank 1
  const TaskId message = builder.add(messages, 300, wants(1.0F, 1));
  CHECK(sim::run_shared(std::move(builder).freeze(), per_rank, alone()).end[message] == 600);
}

TEST_CASE("messages out and in do not disturb each other: a NIC has two directions") {
  TaskGraphBuilder builder(2 * per_rank);
  const TaskId there = builder.add(messages, 300, wants(1.0F, 1));
  const TaskId back = builder.add(per_rank + messages, 300, wants(1.0F, 0));
  const auto timeline = sim::run_shared(std::move(builder).freeze(), per_rank, alone());
  CHECK(timeline.end[there] == 300);
  CHECK(timeline.end[back] == 300);
}

TEST_CASE("an outage holds a message up for as long as it lasts") {
  TaskGraphBuilder builder(2 * per_rank);
  const TaskId message = builder.add(messages, 1'000'000, wants(1.0F, 1));
  sim::Machine machine;
  machine.outages.push_back({1, 0.4e-6, 1.0, 0.25e-6});  // of the receiver
  CHECK(sim::run_shared(std::move(builder).freeze(), per_rank, machine).end[message] == 1'250'000);
}

TEST_CASE("computation runs at its full rate only while nothing communicates on its GPU") {
  TaskUse beside;
  beside.slowdown = 1.25F;
  TaskGraphBuilder builder(per_rank);
  const TaskId weights = builder.add(compute, 1000, beside);
  TaskUse felt;
  felt.felt = true;
  builder.add(collectives, 500, felt);
  // 500 beside, the other 500 of work in 400.
  CHECK(sim::run_shared(std::move(builder).freeze(), per_rank, alone()).end[weights] == 900);
}

TEST_CASE("a collective starts with its last member and ends for all at once") {
  TaskGraphBuilder builder(per_rank);
  const TaskId before = builder.add(compute, 100), together = builder.add(collectives, 50, in_group(1));
  builder.depend(together, before);
  sim::Machine machine;
  machine.members = 6;
  machine.groups = {{1, 1}, {3, 2}};  // members 0 2 4 and 1 3 5
  machine.compute_factor = {1.0F, 1.0F, 1.5F, 1.0F, 1.0F, 1.0F};
  const auto timeline = sim::run_shared(std::move(builder).freeze(), per_rank, machine);
  for (std::size_t m = 0; m < 6; ++m) CHECK(timeline.end[together * 6 + m] == (m % 2 == 0 ? 200 : 150));
}

TEST_CASE("equal GPUs, one by one, take exactly as long as one of them folded") {
  base::Random random(2);
  for (int i = 0; i < 200; ++i) {
    const sim::TaskGraph graph = random_program(random, 2 + static_cast<int>(random.below(3)), true);
    sim::Machine machine;
    machine.groups = {{1, 1}, {2 + static_cast<std::int64_t>(random.below(3)), 1}};
    const sim::MachineTimeline folded = sim::run_shared(graph, per_rank, machine);
    machine.members = 2 * machine.groups[1].ranks;
    const sim::MachineTimeline all = sim::run_shared(graph, per_rank, machine);
    REQUIRE(all.makespan == folded.makespan);
    for (std::size_t id = 0; id < all.end.size(); ++id)
      REQUIRE(all.end[id] == folded.end[id / static_cast<std::size_t>(machine.members)]);
    REQUIRE(folded.makespan >= sim::run(graph).makespan * 4 / 5);  // slowdowns of 1.25 count as always in the sweep
  }
}

TEST_CASE("where nothing else is shared, a slow GPU never shortens a step") {
  base::Random random(3);
  for (int i = 0; i < 100; ++i) {
    const sim::TaskGraph graph = random_program(random, 3, true, false);
    sim::Machine machine;
    machine.groups = {{1, 1}, {2, 1}};
    machine.members = 2;
    machine.share_nic = false;
    const Time unshared = sim::run_shared(graph, per_rank, machine).makespan;
    machine.compute_factor.assign(6, 1.0F);
    machine.compute_factor[random.below(6)] = 1.5F;
    CHECK(sim::run_shared(graph, per_rank, machine).makespan >= unshared);
  }
}

TEST_CASE("a circle, and a user who stops the run, are errors") {
  TaskGraphBuilder builder(2 * per_rank);
  const TaskId a = builder.add(compute, 1), b = builder.add(per_rank, 1);
  builder.depend(a, b);
  builder.depend(b, a);
  CHECK_THROWS_AS(sim::run_shared(std::move(builder).freeze(), per_rank, alone()), base::Error);
  TaskGraphBuilder many(per_rank);
  for (int i = 0; i < 70000; ++i) many.add(messages, 1, wants(0.1F, 0));
  CHECK_THROWS_AS(sim::run_shared(std::move(many).freeze(), per_rank, alone(), [](double, Time) { return false; }),
                  base::Error);
}
