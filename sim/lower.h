#pragma once

#include <vector>

#include "schedules/schedule.h"
#include "sim/blocks.h"
#include "sim/plan.h"
#include "sim/stages.h"
#include "sim/task_graph.h"

namespace hourglass::sim {

enum class Stream : std::uint32_t { compute = 0, communication = 1, point_to_point = 2 };
inline constexpr std::uint32_t streams_per_rank = 3;

// Where an action sits in the task graph: a zero-length task opens and another closes it.
struct ActionTasks {
  TaskId begin = 0;
  TaskId end = 0;
  base::Time compute = 0;  // work on the compute stream between them
};

// The tail of a step on one rank: gradients reduced, clipped by a global norm, optimizer, parameters gathered.
struct TailTasks {
  TaskId reduce_scatter = 0, optimizer = 0, all_gather = 0;
};

// What the tail takes on a rank that holds `parameters` (one GPU's share of all its stages), of which the pipeline has
// `copies`.
struct TailTimes {
  base::Time reduce_scatter = 0, optimizer = 0, all_gather = 0;
};
TailTimes tail_times(const Inputs& inputs, const model::ParameterCount& parameters, int copies);

// One message between pipeline neighbours.
base::Time message_time(const Inputs& inputs);

// One pipeline's step as a task graph. Data- and expert-parallel replicas are folded into it: routing is balanced and
// every replica runs the same program, so their timelines are equal and one is enough.
struct Lowered {
  TaskGraph graph;
  std::vector<std::vector<ActionTasks>> actions;  // [rank][position]
  std::vector<TailTasks> tails;                   // [rank]
};

Lowered lower(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
              BlockLibrary& blocks);

// Parameters a rank holds, over all its stages and both directions.
model::ParameterCount rank_parameters(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, int rank);

}  // namespace hourglass::sim
