#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"

namespace hourglass::sim {

using TaskId = std::uint32_t;

// What a task shares with others while it runs (sim/engine/contention.h). Where nothing is shared it does not count.
struct TaskUse {
  float nic = 0.0F;           // bandwidth it takes of a NIC when nobody disturbs it, 1: all; in and out
  std::int32_t to = -1;       // a message: it leaves by the own NIC and reaches that of this pipeline rank
  float slowdown = 1.0F;      // computation: its work holds beside communication, and is so much less alone
  std::int32_t row = -1;      // of expert loads: which layer and micro-batch
  float expert_share = 0.0F;  // of its work that grows with the rows that the GPU's experts get
  std::uint16_t group = 0;    // collectives: index of their parallel group, 0: none
  bool felt = false;          // a collective beside which computation has a slowdown
};

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
  std::vector<TaskUse> use;                 // [task]

  std::size_t size() const { return work.size(); }
};

// Collects tasks and edges in any order, then freezes them.
class TaskGraphBuilder {
 public:
  explicit TaskGraphBuilder(std::uint32_t streams) : last_on_stream_(streams, none) {}
  TaskId add(std::uint32_t stream, base::Time work, const TaskUse& use = {});
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
