#pragma once

#include "sim/engine/task_graph.h"

namespace hourglass::sim {

// When does every task run? Throws base::Error if the tasks wait for each other in a circle.
Timeline run(const TaskGraph& graph);

}  // namespace hourglass::sim
