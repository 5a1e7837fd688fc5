#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"

namespace hourglass::sim {

using TaskId = std::uint32_t;

// A frozen task graph in compressed sparse rows. Every task runs on one FIFO stream (CUDA-stream semantics): tasks of a
// stream run in the order of their ids, and a task starts when the one before it on its stream and all its inputs are
// done.
struct TaskGraph {
  std::uint32_t streams = 0;
  std::vector<base::Time> work;             // [task]
  std::vector<std::uint32_t> stream;        // [task]
  std::vector<std::uint32_t> output_begin;  // [task + 1]: the tasks that need task i are outputs[output_begin[i] ...]
  std::vector<TaskId> outputs;              // stream successors included
  std::vector<std::uint32_t> input_count;   // [task]: how many it waits for

  std::size_t size() const { return work.size(); }
};

// Collects tasks and edges in any order, then freezes them.
class TaskGraphBuilder {
 public:
  explicit TaskGraphBuilder(std::uint32_t streams) : last_on_stream_(streams, none) {}
  TaskId add(std::uint32_t stream, base::Time work);
  void depend(TaskId task, TaskId on) { edges_.push_back({on, task}); }
  TaskGraph freeze() &&;

 private:
  static constexpr TaskId none = ~TaskId{0};
  struct Edge {
    TaskId from, to;
  };
  TaskGraph graph_;
  std::vector<TaskId> last_on_stream_;
  std::vector<Edge> edges_;
};

struct Timeline {
  std::vector<base::Time> start;  // [task]
  std::vector<base::Time> end;
  base::Time makespan = 0;
};

}  // namespace hourglass::sim
