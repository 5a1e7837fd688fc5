#pragma once

#include "schedules/catalogue.h"
#include "sim/training/fast/fast_step.h"

// What a plan takes at least however its layers are split: what a search asks before it splits them.
namespace hourglass::sim {

// Both: `inputs` has the plan's parallelism, completed; `parameters` as content_parameters() has them.
base::Time least_step(const Inputs& inputs, const ContentTable& contents,
                      const std::vector<model::ParameterCount>& parameters, const schedules::Traits& schedule,
                      const StepCosts& costs);
// On the fullest GPU.
double least_memory_bytes(const Inputs& inputs, const ContentTable& contents,
                          const std::vector<model::ParameterCount>& parameters, const StepProgram& program,
                          StepCosts& costs);

}  // namespace hourglass::sim
