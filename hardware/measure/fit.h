#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "hardware/cluster.h"
#include "hardware/measure/samples.h"
#include "hardware/profile.h"

// From samples to a profile: which parameters the data determine, their values, and how far the predictions stay off.
namespace hourglass::hardware {

// Relative errors, |predicted / measured - 1|.
struct ErrorSummary {
  std::size_t rows = 0;
  double median = 0.0;
  double p90 = 0.0;
  double worst = 0.0;
  std::array<double, 3> quantiles = {};  // signed, at 10, 50 and 90 %
  double bias = 0.0;                     // median of predicted / measured - 1
};
ErrorSummary summarise_errors(std::vector<double> relative_errors);  // signed errors in

struct Residual {
  const Sample* sample = nullptr;
  double in_sample = 0.0;  // predicted / measured - 1
  double held_out = 0.0;   // the same by the fit that did not see the sample's shape family
};

// One class of a profile, fitted.
struct ClassFit {
  std::string name;  // as in origins()
  std::vector<std::string> parameters;
  std::vector<double> values;
  std::vector<std::string> undetermined;  // parameters that the data leave open, with the reason; they keep their value
  ErrorSummary in_sample, held_out;
  std::vector<Residual> residuals;
};

struct Fit {
  Profile profile;
  std::vector<ClassFit> classes;
  std::vector<std::string> skipped;  // what could not be used, and why
};

// Robust non-linear least squares on log(predicted / measured), k-fold by shape family, deterministic. Only classes
// that the samples cover change. `smallest_rows`: GEMMs with fewer rows are left out (decode kernels are another
// regime).
Fit fit_profile(const Cluster& cluster, const Profile& base, const std::vector<SampleSet>& sets,
                std::int64_t smallest_rows = 64);

}  // namespace hourglass::hardware
