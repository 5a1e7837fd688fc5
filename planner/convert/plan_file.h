#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "sim/training/plan.h"

// Plans written for other programs.
namespace hourglass::planner {

// A split of the layers as Megatron-LM's --pipeline-model-parallel-layout: E embedding, t layer, m MTP, L loss, | ends a
// stage; equal neighbours as "(t|)*3".
std::string layout_string(const sim::Inputs& inputs, const std::vector<std::int64_t>& layers_per_stage);

// Megatron-LM's flags for a plan, a line each. What it has no flag for is said in lines that begin with '#'.
std::string megatron_flags(const sim::Inputs& inputs, const std::vector<std::int64_t>& layers_per_stage);

}  // namespace hourglass::planner
