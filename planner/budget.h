#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/plan.h"
#include "sim/result.h"

// The GPU-hour budget of a training run: every stage's step simulated, multiplied by its steps.
namespace hourglass::planner {

struct Quantiles {
  double p10 = 0.0, p50 = 0.0, p90 = 0.0;
};

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

// What one standard deviation in the cost of a class of kernels or links does to the whole budget.
struct Sensitivity {
  std::string cost;
  double relative_error = 0.0;
  double gpu_hours = 0.0;
};

struct Budget {
  std::string plan, model, cluster, profile;
  std::int64_t gpus = 0;
  double price_per_gpu_hour = 0.0;
  std::vector<StageBudget> stages;
  Quantiles total_gpu_hours;
  double days = 0.0;
  double cost_usd = 0.0;
  std::vector<Sensitivity> sensitivities;  // largest first
};

// Called before each simulated step with how many are done and how many there are.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

// Throws base::Error for a plan without stages, or a stage whose step cannot run.
Budget make_budget(const sim::Inputs& inputs, const Progress& progress);

}  // namespace hourglass::planner
