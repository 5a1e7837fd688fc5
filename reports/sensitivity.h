#pragma once

#include <string>

#include "base/fields.h"
#include "base/provenance.h"
#include "planner/budget/sensitivity.h"

// A tornado: one bar an input, the widest on top.
namespace hourglass::reports {

std::string sensitivity_text(const planner::Tornado& tornado);
base::Json sensitivity_json(const planner::Tornado& tornado, const base::Provenance& provenance);
// Self-contained.
std::string sensitivity_svg(const planner::Tornado& tornado);

}  // namespace hourglass::reports
