#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "hardware/cluster.h"
#include "sim/training/sharding.h"

// What a plan says beside one step: failures and checkpoints, energy, prices, the range's inputs, further runs. Every
// key has a default, so that each plan can be asked for hours with failures; `assumptions` says which figures were
// used, and where each comes from.
namespace hourglass::sim {

// How a run meets failures (planner/budget/goodput.h has the formulas).
struct Reliability {
  double failures_per_gpu_day = 419.0 / (54.0 * 16384.0);   // unexpected interruptions of the whole job
  double planned_per_day = 0.0;                             // interruptions with a checkpoint just before
  double detection_s = 600.0;                               // from a failure until its node is known
  double restart_s = 300.0;                                 // from there until the first step, without loading
  double storage_bandwidth_per_gpu = 2e12 / 16384.0;        // writing and reading checkpoints, bytes/s
  double bytes_per_parameter = checkpoint_bytes(zero_1());  // weights, master weights and moments
  double blocking_share = 1.0;                              // of a checkpoint's writing that training waits for
  double checkpoint_interval_s = 0.0;                       // 0: the optimum
  double node_share = 0.78;                                 // of interruptions that take a node out of service
  double repair_s = 86400.0;                                // until that node is back
  std::optional<std::int64_t> spare_nodes;                  // absent: the number that costs fewest GPU-hours
};

struct Energy {
  double power_per_gpu = 0.0;  // W of a GPU with its share of the node; 0: the cluster's
  double pue = 1.3;            // power of the whole site over that of its computers
};

// The load of the fullest GPU of an expert-parallel group over the mean, in quantiles.
struct Imbalance {
  double p10 = 1.0, p50 = 1.04, p90 = 1.15;
};

// What the range of the budget is drawn from beside the profile's residuals.
struct Uncertainty {
  Imbalance imbalance;
  double failure_factor = 2.0;  // p90 of the failure rate over its median
  std::int64_t samples = 20000;
  std::int64_t seed = 1;
};

// A run beside the plan's own: another plan, part of one of its stages again, or hours simply given.
struct ExtraRun {
  std::string name;
  std::int64_t count = 1;
  std::string plan_file;  // resolved; or
  std::string stage;      // of this plan, with
  double tokens = 0.0;    //   so many tokens at its full batch, or
  double share = 0.0;     //   this share of its GPU-hours; or
  double gpu_hours = 0.0;
};

struct Operations {
  Reliability reliability;
  Energy energy;
  Uncertainty uncertainty;
  std::map<std::string, double> prices;  // of a GPU-hour, by currency, beside the cluster's in USD
  std::vector<ExtraRun> runs;
  std::vector<std::string> given;  // "reliability.restart_min", ...: what the plan states itself
};

// The block `reliability` of an object, or the defaults.
Reliability read_reliability(base::Fields& fields);

// Adds the blocks that the plan leaves out, empty, so that --set plan.reliability.restart_min=5 has where to go.
void add_operation_blocks(base::Json& document);

// A figure that a budget rests on.
struct Assumption {
  std::string key;  // as in the plan
  double value = 0.0;
  std::string source;
};
std::vector<Assumption> assumptions(const Operations& operations, const hardware::Cluster& cluster);

// W of one GPU with its share of the node: the plan's, else the cluster's; 0 where neither says.
double power_per_gpu(const Energy& energy, const hardware::Cluster& cluster);

}  // namespace hourglass::sim
