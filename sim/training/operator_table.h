#pragma once

#include <vector>

#include "sim/training/plan.h"
#include "sim/training/record.h"

namespace hourglass::sim {

// Every operator of every unit that the model has, priced, in the order in which they run. `network`: what shared links
// and skewed routing do, if given.
std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network = nullptr);

}  // namespace hourglass::sim
