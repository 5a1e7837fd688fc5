#pragma once

#include <string>
#include <vector>

#include "planner/validation/validation.h"
#include "sim/training/plan.h"

// Predictions against what was published or measured, row by row.
namespace hourglass::planner {

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

}  // namespace hourglass::planner
