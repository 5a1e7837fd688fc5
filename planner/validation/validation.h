#pragma once

#include <string>
#include <vector>

#include "hardware/measure/fit.h"

// Predictions beside what was published or measured, row by row.
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

// Fills in the classes from the rows, in the order in which they first appear.
void summarise(Validation& validation);

}  // namespace hourglass::planner
