#pragma once

#include <string>
#include <vector>

#include "schedules/evaluate.h"
#include "schedules/schedule.h"

namespace hourglass::schedules {

// A schedule drawn as the papers draw it: one row a rank, time to the right, micro-batch numbers in the boxes; forwards
// and backwards in two hues, the second direction (or later chunks) in a lighter shade, an overlapped pair as one
// framed box of two halves.
struct Drawing {
  std::string title;
  const Schedule* schedule = nullptr;
  Costs costs;
};

// Several drawings below each other share one time scale. Self-contained SVG.
std::string to_svg(const std::vector<Drawing>& drawings);

}  // namespace hourglass::schedules
