#include "planner/validation/validation.h"

#include <algorithm>
#include <cmath>

namespace hourglass::planner {

bool Validation::exceeded() const {
  return std::any_of(classes.begin(), classes.end(), [](const ValidationClass& each) { return each.exceeded(); });
}

void summarise(Validation& out) {
  for (const ValidationRow& row : out.rows) {
    const bool known =
        std::any_of(out.classes.begin(), out.classes.end(), [&](const auto& c) { return c.name == row.cls; });
    if (!known) out.classes.push_back({row.cls, {}, "", 0.0, 0.0});
  }
  for (ValidationClass& each : out.classes) {
    std::vector<double> errors;
    double worst = -1.0;
    for (const ValidationRow& row : out.rows) {
      if (row.cls != each.name) continue;
      errors.push_back(row.error());
      if (std::abs(row.error()) <= worst) continue;
      worst = std::abs(row.error());
      each.worst = row.id;
    }
    each.errors = hardware::summarise_errors(errors);
  }
}

}  // namespace hourglass::planner
