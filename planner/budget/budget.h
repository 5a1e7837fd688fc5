#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "planner/budget/goodput.h"
#include "planner/budget/uncertainty.h"
#include "sim/training/plan.h"
#include "sim/training/result.h"

// The GPU-hour budget of a training run: every stage's step simulated, multiplied by its steps.
namespace hourglass::planner {

// How a stage starts: the batch grows while so many tokens pass.
struct RampBudget {
  double tokens = 0.0;
  double gpu_hours = 0.0;
  std::int64_t first_batch = 0;
  std::string small_batch_schedule;  // used below `small_batch_below` sequences; "" if the plan's own always ran
  std::int64_t small_batch_below = 0;
};

struct StageBudget {
  std::string name;
  double tokens = 0.0;  // 0 for a stage given in hours
  double steps = 0.0;
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 0;
  double gpu_hours = 0.0;
  double days = 0.0;
  double cost_usd = 0.0;
  std::optional<RampBudget> ramp;
  std::optional<sim::Result> step;  // at the full batch; absent for a stage given in hours
};

// A run beside the plan's own.
struct RunBudget {
  std::string name;
  std::string what;  // "plan ablation.json on 256 GPUs", "5 % of pre-training again", "hours given"
  std::int64_t count = 1;
  double gpu_hours = 0.0, gross_gpu_hours = 0.0;  // of all `count`
};

struct Price {
  std::string currency;
  double per_gpu_hour = 0.0;
};

struct Budget {
  std::string plan, model, cluster, profile;
  std::int64_t gpus = 0;
  double price_per_gpu_hour = 0.0;
  std::vector<StageBudget> stages;
  double gpu_hours = 0.0;  // net: of the stages as simulated; days and cost_usd are of these
  double days = 0.0;
  double cost_usd = 0.0;
  Goodput goodput;  // the same run with failures
  Quantiles total_gpu_hours, gross_gpu_hours;
  std::vector<Sensitivity> sensitivities;  // largest first
  std::vector<RunBudget> runs;
  Quantiles programme_gpu_hours;  // gross, of the plan's own run and all others
  std::vector<Price> prices;      // USD first
  double power_per_gpu = 0.0;     // W; 0: not known
  double pue = 1.0;
  std::vector<sim::Assumption> assumptions;

  double net_energy() const { return gpu_hours * base::seconds_per_hour * power_per_gpu * pue; }  // J
  double gross_energy() const { return goodput.gross_gpu_hours * base::seconds_per_hour * power_per_gpu * pue; }
};

// Called before each simulated step with how many are done and how many there are.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

// Throws base::Error for a plan without stages, or a stage whose step cannot run.
Budget make_budget(const sim::Inputs& inputs, const Progress& progress);

// Without the range and the other runs: a fraction of the simulations.
Budget net_budget(const sim::Inputs& inputs, const Progress& progress);

}  // namespace hourglass::planner
