#include "sim/training/machine.h"

#include <algorithm>

namespace hourglass::sim {

namespace {

std::vector<float> nic_capacities(const Variation& variation, std::size_t gpus) {
  if (variation.slow_nics.empty()) return {};
  std::vector<float> capacity(gpus, 1.0F);
  for (const SlowPart& slow : variation.slow_nics)
    capacity[static_cast<std::size_t>(slow.gpu)] = static_cast<float>(1.0 / slow.factor);
  return capacity;
}

std::vector<float> compute_factors(const Variation& variation, std::size_t gpus) {
  if (variation.slow_gpus.empty()) return {};
  std::vector<float> factor(gpus, 1.0F);
  for (const SlowPart& slow : variation.slow_gpus)
    factor[static_cast<std::size_t>(slow.gpu)] = static_cast<float>(slow.factor);
  return factor;
}

}  // namespace

Machine machine_of(const Inputs& inputs, const Lowered& lowered, bool folded) {
  const Plan& plan = inputs.plan;
  Machine machine;
  machine.share_nic = plan.contention;
  machine.groups = lowered.groups;
  if (folded) return machine;
  machine.members = plan.gpus / plan.parallel.pipeline;
  if (!plan.variation) return machine;
  const Variation& variation = *plan.variation;
  const auto gpus = static_cast<std::size_t>(plan.gpus);
  machine.compute_factor = compute_factors(variation, gpus);
  machine.nic_capacity = nic_capacities(variation, gpus);
  for (const FlappingNic& nic : variation.flapping_nics)
    machine.outages.push_back({nic.gpu, nic.first_s, nic.every_s, nic.down_s});
  if (!variation.skews_experts() || lowered.load_rows.empty()) return machine;
  machine.load_columns = plan.parallel.expert;
  machine.load_stride = plan.parallel.expert_tensor;
  machine.loads.reserve(lowered.load_rows.size() * static_cast<std::size_t>(machine.load_columns));
  for (const std::uint64_t row : lowered.load_rows) {
    const std::vector<float> loads = gpu_loads(variation, model::experts_of(inputs.model)->routed_experts,
                                               machine.load_columns, row >> 32, row & 0xffffffffU);
    machine.loads.insert(machine.loads.end(), loads.begin(), loads.end());
  }
  return machine;
}

}  // namespace hourglass::sim
