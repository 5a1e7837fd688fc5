#include "sim/training/tail.h"

#include "hardware/price.h"

namespace hourglass::sim {

namespace {

// AdamW on FP32 master weights and gradients and BF16 moments reads 4 + 4 + 2 + 2 bytes a parameter and writes master,
// moments and the BF16 parameter.
constexpr double optimizer_reads = 12.0, optimizer_writes = 10.0;

}  // namespace

std::array<GradientGroup, 2> gradient_groups(const model::Parallelism& p, const model::ParameterCount& parameters,
                                             int copies) {
  const std::int64_t dense = p.data * p.context * copies;
  const std::int64_t expert = p.data * p.context * p.tensor * copies / (p.expert * p.expert_tensor);
  return {{{parameters.dense, dense, model::Group::data}, {parameters.expert, expert, model::Group::expert_data}}};
}

TailTimes tail_times(const Inputs& inputs, const model::ParameterCount& parameters, int copies) {
  const hardware::Platform platform = inputs.platform();
  const auto time_of = [&](const model::OperatorKind& op) {
    return base::time_from_seconds(hardware::cost_of(platform, op).seconds);
  };
  TailTimes times;
  for (const GradientGroup& g : gradient_groups(inputs.plan.parallel, parameters, copies)) {
    times.reduce_scatter += time_of(model::ReduceScatter{g.parameters * gradient_bytes, g.group, g.ranks});
    times.optimizer +=
        time_of(model::Optimizer{g.parameters / static_cast<double>(g.ranks), optimizer_reads, optimizer_writes});
    times.all_gather += time_of(model::AllGather{g.parameters * parameter_bytes, g.group, g.ranks});
  }
  return times;
}

}  // namespace hourglass::sim
