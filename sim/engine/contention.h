#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/engine/task_graph.h"

// The event engine where tasks share what they run on; contention.cpp states the rules.
namespace hourglass::sim {

// Members m, m + stride, m + 2 stride, ... of a pipeline rank, `ranks` of them, take part in a collective together.
struct ParallelGroup {
  std::int64_t ranks = 1, stride = 1;
};

// At `first_s`, and every `every_s` from then on, a NIC has `down_s` without bandwidth.
struct NicOutage {
  std::int64_t gpu = 0;
  double first_s = 0.0, every_s = 0.0, down_s = 0.0;
};

// The GPUs that run a task graph: `members` of them for every pipeline rank, all with that rank's program. GPU g is
// member g % members of rank g / members.
struct Machine {
  std::int64_t members = 1;
  bool share_nic = true;
  std::vector<ParallelGroup> groups;  // [TaskUse::group]; counts with more than one member
  std::vector<float> compute_factor;  // [GPU]: its kernels take so much longer; empty: 1
  std::vector<float> nic_capacity;    // [GPU]: of its NIC, in and out; empty: 1
  std::vector<NicOutage> outages;
  // Rows that a GPU's experts get, over the mean: loads[row * columns + column], column = member / stride % columns.
  std::vector<float> loads;
  std::int64_t load_columns = 0, load_stride = 1;
};

// Told now and then how far a run is (0 to 1); a run ends with base::Error when it answers false.
using Progress = std::function<bool(double done, base::Time reached)>;

struct MachineTimeline {
  std::int64_t members = 1;
  std::vector<base::Time> start, end;  // [task * members + member]
  base::Time makespan = 0;
  std::uint64_t events = 0;  // tasks ended and rates changed

  // The timeline of one member of every rank: chosen[rank].
  Timeline of(const TaskGraph& graph, std::uint32_t streams_per_rank, const std::vector<std::int64_t>& chosen) const;
};

// Bytes of memory that run_shared needs, about.
double shared_run_bytes(const TaskGraph& graph, std::int64_t members);

// `streams_per_rank` consecutive streams are one rank's; the first computes, the second runs collectives. Throws
// base::Error if tasks wait for each other in a circle, or when `progress` says so.
MachineTimeline run_shared(const TaskGraph& graph, std::uint32_t streams_per_rank, const Machine& machine,
                           const Progress& progress = nullptr);

}  // namespace hourglass::sim
