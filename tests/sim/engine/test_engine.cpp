#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "sim/engine/engine.h"

using namespace hourglass;
using sim::TaskGraphBuilder;
using sim::TaskId;

TEST_CASE("tasks of one stream run in the order of their ids") {
  TaskGraphBuilder builder(1);
  const TaskId a = builder.add(0, 5), b = builder.add(0, 7);
  const sim::Timeline timeline = sim::run(std::move(builder).freeze());
  CHECK(timeline.start[a] == 0);
  CHECK(timeline.start[b] == 5);
  CHECK(timeline.makespan == 12);
}

TEST_CASE("a task starts at the latest end of its inputs, to the picosecond") {
  TaskGraphBuilder builder(3);
  const TaskId short_input = builder.add(0, 10), long_input = builder.add(1, 11), task = builder.add(2, 1);
  builder.depend(task, short_input);
  builder.depend(task, long_input);
  const sim::Timeline timeline = sim::run(std::move(builder).freeze());
  CHECK(timeline.start[task] == 11);
}

TEST_CASE("two streams overlap where nothing orders them") {
  TaskGraphBuilder builder(2);
  builder.add(0, 100);
  builder.add(1, 60);
  CHECK(sim::run(std::move(builder).freeze()).makespan == 100);
}

TEST_CASE("a circle is an error that counts the tasks in it") {
  TaskGraphBuilder builder(2);
  const TaskId a = builder.add(0, 1), b = builder.add(1, 1);
  builder.depend(a, b);
  builder.depend(b, a);
  const sim::TaskGraph graph = std::move(builder).freeze();
  CHECK_THROWS_WITH_AS(sim::run(graph),
                       "engine: 2 of 2 tasks wait for each other in a circle; the schedule's order cannot be executed",
                       base::Error);
}

TEST_CASE("an empty graph takes no time") { CHECK(sim::run(TaskGraphBuilder(4).freeze()).makespan == 0); }

// Every start is tight: nothing earlier was possible, and nothing that it waits for ends later.
TEST_CASE("on random graphs every start equals the latest end it waits for") {
  base::Random random(7);
  for (int round = 0; round < 200; ++round) {
    const auto streams = static_cast<std::uint32_t>(1 + random.below(5));
    TaskGraphBuilder builder(streams);
    std::vector<std::vector<TaskId>> inputs;
    std::vector<TaskId> last(streams, ~TaskId{0});
    const auto tasks = 1 + random.below(60);
    for (TaskId task = 0; task < tasks; ++task) {
      const auto stream = static_cast<std::uint32_t>(random.below(streams));
      builder.add(stream, static_cast<base::Time>(random.below(1000)));
      inputs.emplace_back();
      if (last[stream] != ~TaskId{0}) inputs.back().push_back(last[stream]);
      last[stream] = task;
      for (int edge = 0; edge < 2 && task > 0; ++edge) {
        const auto on = static_cast<TaskId>(random.below(task));
        builder.depend(task, on);
        inputs.back().push_back(on);
      }
    }
    const sim::TaskGraph graph = std::move(builder).freeze();
    const sim::Timeline timeline = sim::run(graph);
    for (TaskId task = 0; task < tasks; ++task) {
      base::Time latest = 0;
      for (const TaskId input : inputs[task]) latest = std::max(latest, timeline.end[input]);
      REQUIRE(timeline.start[task] == latest);
      REQUIRE(timeline.end[task] == latest + graph.work[task]);
    }
  }
}
