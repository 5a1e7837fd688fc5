#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hardware/measure/fit.h"
#include "sim/training/plan.h"

// Predictions against what was published or measured, row by row.
namespace hourglass::planner {

struct ValidationRow {
  std::string id;
  std::string cls;
  double reported = 0.0;
  double predicted = 0.0;
  std::string unit;
  double error() const { return predicted / reported - 1.0; }
};

struct ValidationClass {
  std::string name;
  hardware::ErrorSummary errors;
  std::string worst;                           // id of the worst row
  double median_bound = 0.0, p90_bound = 0.0;  // 0: none stated
  bool exceeded() const {
    return (median_bound > 0.0 && errors.median > median_bound) || (p90_bound > 0.0 && errors.p90 > p90_bound);
  }
};

struct SkippedRow {
  std::string id;
  std::string reason;
};

struct Validation {
  std::vector<ValidationRow> rows;
  std::vector<ValidationClass> classes;
  std::vector<SkippedRow> skipped;
  bool exceeded() const;
};

// Everything in `configs`/published and `configs`/measurements.
Validation validate_published(const std::string& configs);
// Anybody's samples against a profile.
Validation validate_samples(const hardware::Cluster& cluster, const hardware::Profile& profile,
                            const std::vector<hardware::SampleSet>& sets);

// Anybody's measured training runs (runs.cpp has the format) against our simulation. `configs`: models, clusters,
// profiles.
Validation validate_runs(const std::string& file, const std::string& configs);

// Appends a file's runs as rows, and those that cannot be modelled as skipped.
void add_runs(Validation& validation, const std::string& file, const std::string& configs);

// The runs of a file as plans; those that cannot be modelled are left out.
struct PublishedRun {
  std::string id, model;
  sim::Inputs inputs;
};
std::vector<PublishedRun> published_runs(const std::string& file, const std::string& configs);

// Fills in the classes from the rows.
void summarise(Validation& validation);

}  // namespace hourglass::planner
