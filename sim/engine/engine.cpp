// The event engine where nothing contends: streams are FIFO and durations fixed, so the discrete-event simulation
// degenerates to a longest-path sweep. A task starts at the latest end of what it waits for (its stream's previous task
// included); processing tasks in any topological order gives the same integers, so there is no event queue and no order
// of events to break ties on. Cost: one visit a task and one a dependency.
#include "sim/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace hourglass::sim {

TaskId TaskGraphBuilder::add(std::uint32_t stream, base::Time work, const TaskUse& use) {
  const auto id = static_cast<TaskId>(graph_.work.size());
  graph_.use.push_back(use);
  graph_.work.push_back(work);
  graph_.stream.push_back(stream);
  if (last_on_stream_[stream] != none) edges_.push_back({last_on_stream_[stream], id});
  last_on_stream_[stream] = id;
  return id;
}

TaskGraph TaskGraphBuilder::freeze() && {
  graph_.streams = static_cast<std::uint32_t>(last_on_stream_.size());
  graph_.input_count.assign(graph_.size(), 0);
  graph_.output_begin.assign(graph_.size() + 1, 0);
  for (const Edge& edge : edges_) {
    ++graph_.output_begin[edge.from + 1];
    ++graph_.input_count[edge.to];
  }
  for (std::size_t i = 0; i < graph_.size(); ++i) graph_.output_begin[i + 1] += graph_.output_begin[i];
  graph_.outputs.resize(edges_.size());
  std::vector<std::uint32_t> next(graph_.output_begin.begin(), graph_.output_begin.end() - 1);
  for (const Edge& edge : edges_) graph_.outputs[next[edge.from]++] = edge.to;
  return std::move(graph_);
}

Timeline run(const TaskGraph& graph) {
  const std::size_t tasks = graph.size();
  Timeline timeline{std::vector<base::Time>(tasks, 0), std::vector<base::Time>(tasks, 0), 0};
  std::vector<std::uint32_t> waiting = graph.input_count;
  std::vector<TaskId> ready;
  for (std::size_t i = 0; i < tasks; ++i) {
    if (waiting[i] == 0) ready.push_back(static_cast<TaskId>(i));
  }
  std::size_t done = 0;
  while (!ready.empty()) {
    const TaskId task = ready.back();
    ready.pop_back();
    ++done;
    const base::Time end = timeline.start[task] + graph.work[task];
    timeline.end[task] = end;
    timeline.makespan = std::max(timeline.makespan, end);
    for (std::uint32_t i = graph.output_begin[task]; i < graph.output_begin[task + 1]; ++i) {
      const TaskId output = graph.outputs[i];
      timeline.start[output] = std::max(timeline.start[output], end);
      if (--waiting[output] == 0) ready.push_back(output);
    }
  }
  if (done != tasks) {
    throw base::Error(fmt::format("{} of {} tasks wait for each other in a circle", tasks - done, tasks), "engine",
                      "the schedule's order cannot be executed");
  }
  return timeline;
}

}  // namespace hourglass::sim
