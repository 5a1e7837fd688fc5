#pragma once

#include <vector>

#include "schedules/schedule.h"
#include "sim/engine/contention.h"
#include "sim/engine/task_graph.h"
#include "sim/training/blocks.h"
#include "sim/training/plan.h"
#include "sim/training/stages.h"

namespace hourglass::sim {

enum class Stream : std::uint32_t { compute = 0, communication = 1, point_to_point = 2, gradients = 3, host = 4 };
inline constexpr std::uint32_t streams_per_rank = 5;

// Where an action sits in the task graph: a zero-length task opens and another closes it.
struct ActionTasks {
  TaskId begin = 0;
  TaskId end = 0;
  base::Time compute = 0;  // work on the compute stream between them
  std::int64_t host = -1;  // the task that launches its kernels; -1: it cannot matter
};

// The ends of a step on one rank: gradients reduced (for each stage if that overlaps), clipped by a global norm,
// optimizer, parameters gathered (for each stage, at the start, if that overlaps).
struct TailTasks {
  std::vector<TaskId> reduce_scatters, all_gathers;
  TaskId optimizer = 0;
};

// One message between pipeline ranks: what `action` of rank `from` makes and an action of rank `to` waits for.
struct Message {
  TaskId task = 0;
  std::int32_t from = 0, to = 0;
  std::int32_t action = 0;  // position on its rank
};

// What a task's time is for: its classes, of which there are few different mixtures.
struct TaskTold {
  std::uint32_t mixture = 0;  // index into Lowered::mixtures
  std::int32_t action = -1;   // position on its rank; -1: a message or a tail
};

// One message between pipeline neighbours.
base::Time message_time(const Inputs& inputs);

// One pipeline's step as a task graph. Data- and expert-parallel replicas are folded into it: routing is balanced and
// every replica runs the same program, so their timelines are equal and one is enough.
struct Lowered {
  TaskGraph graph;
  std::vector<std::vector<ActionTasks>> actions;  // [rank][position]
  std::vector<TailTasks> tails;                   // [rank]
  std::vector<Message> messages;
  std::vector<TaskTold> told;  // [task]
  std::vector<ClassTimes> mixtures;
  std::vector<ParallelGroup> groups;     // [TaskUse::group]
  std::vector<std::uint64_t> load_rows;  // [TaskUse::row]: layer << 32 | micro-batch
};

std::uint32_t stream_of(int rank, Stream stream);

Lowered lower(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
              BlockLibrary& blocks);

// Parameters a rank holds, over all its stages and both directions.
model::ParameterCount rank_parameters(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, int rank);

}  // namespace hourglass::sim
