#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hardware/profile.h"
#include "planner/budget/goodput.h"

// How wide the budget's range is: every source of error drawn, the run's hours from each draw.
namespace hourglass::planner {

struct Quantiles {
  double p10 = 0.0, p50 = 0.0, p90 = 0.0;
};
// Of any values, by linear interpolation; reorders them. Throws base::Error if there are none.
Quantiles quantiles_of(std::vector<double>& values);

// The logarithm of a factor on a cost: a normal distribution of two halves, wider to one side.
struct LogFactor {
  double median = 0.0;
  double down = 0.0, up = 0.0;  // standard deviations below and above the median
  double at(double standard_normal) const { return median + (standard_normal < 0.0 ? down : up) * standard_normal; }
};
LogFactor log_factor(double p10, double p50, double p90);

// Classes of the profile whose errors are one error: one draw for all their kernels.
struct CostError {
  std::vector<std::string> classes;
  LogFactor factor;  // on seconds: measured over predicted
};
std::vector<CostError> cost_errors(const hardware::Profile& profile);

// The profile as if all of an error's classes were `factor` times as slow.
hardware::Profile slowed(const hardware::Profile& profile, const CostError& error, double factor);
// As if the fullest GPU of every expert-parallel group had `imbalance` times the mean load.
hardware::Profile imbalanced(const hardware::Profile& profile, double imbalance);

// What one standard deviation of one source does to the simulated hours.
struct Sensitivity {
  std::string cost;
  double relative_error = 0.0;  // one standard deviation to the slow side
  double gpu_hours = 0.0;
};

struct Range {
  Quantiles net_gpu_hours, gross_gpu_hours;
  std::vector<Sensitivity> sensitivities;  // largest first
};

struct RangeInputs {
  const hardware::Profile* profile = nullptr;
  double simulated_hours = 0.0;  // what the costs change
  double given_hours = 0.0;      // what they do not
  bool imbalance = false;        // experts are spread over GPUs, and the plan simulates no imbalance of its own
  sim::Uncertainty uncertainty;
  GoodputInputs goodput_inputs;
  Goodput goodput;
};

// `hours_under`: simulated hours under another profile.
Range draw_range(const RangeInputs& inputs, const std::function<double(const hardware::Profile&)>& hours_under);

}  // namespace hourglass::planner
