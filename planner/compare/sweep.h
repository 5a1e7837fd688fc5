#pragma once

#include <string>
#include <vector>

#include "planner/compare/comparison.h"

// The same comparison at many shapes: how schedules behave as micro-batches or pipeline ranks grow.
namespace hourglass::planner {

struct SweepRange {
  std::string variable;  // "micro_batches" or "pipeline_ranks"
  int first = 1, last = 1, step = 1;
};

struct SweepPoint {
  int value = 0;
  Comparison comparison;  // without schedules where none can run this value
};

struct Sweep {
  SweepRange range;
  std::vector<SweepPoint> points;
};

// Parses "micro_batches=16:256" or "pipeline_ranks=4:32:4". Throws base::UsageError.
SweepRange read_sweep_range(const std::string& text);

// Throws base::Error if nothing can run anywhere in the range.
Sweep sweep(const SweepRange& range, schedules::Shape shape, const schedules::Costs& costs,
            const CompareOptions& options);
Sweep sweep(const SweepRange& range, const sim::Inputs& inputs, const CompareOptions& options);

}  // namespace hourglass::planner
