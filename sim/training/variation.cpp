// Expert loads. Log loads of a layer are normal with sigma `expert_skew`: sqrt(rho) z(layer, expert) + sqrt(1 - rho)
// z(layer, micro-batch, expert), rho the persistence, so that the spread at any moment is sigma and two micro-batches
// correlate by rho. Measured loads are dealt to the experts of each layer in an order of its own, scaled by the part of
// the noise that does not persist if a sigma is given too. Every draw has a seed of its own, made from (seed, layer,
// micro-batch), so that it does not depend on what else is drawn.
#include "sim/training/variation.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "base/random.h"

namespace hourglass::sim {

namespace {

// splitmix64 (Steele, Lea, Flood 2014): neighbouring numbers give unrelated seeds.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

void scale_to_mean_one(std::vector<double>& loads) {
  const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  for (double& load : loads) load /= mean;
}

}  // namespace

std::string Variation::reason() const {
  if (!slow_gpus.empty()) return fmt::format("GPU {} is slow", slow_gpus.front().gpu);
  if (!slow_nics.empty()) return fmt::format("the NIC of GPU {} is slow", slow_nics.front().gpu);
  if (!flapping_nics.empty()) return fmt::format("the NIC of GPU {} flaps", flapping_nics.front().gpu);
  if (skews_experts()) return "experts get unequal shares of the tokens";
  return "";
}

std::vector<float> gpu_loads(const Variation& variation, std::int64_t experts, std::int64_t gpus, std::uint64_t layer,
                             std::uint64_t micro_batch) {
  const std::uint64_t seed = mixed(static_cast<std::uint64_t>(variation.seed) * 0x10001 + layer);
  base::Random lasting(seed), passing(mixed(seed ^ mixed(micro_batch + 1)));
  std::vector<double> loads(static_cast<std::size_t>(experts), 1.0);
  if (!variation.expert_loads.empty()) {
    loads = variation.expert_loads;
    lasting.shuffle(loads);
  }
  const bool measured = !variation.expert_loads.empty();
  const double stays = std::sqrt(variation.expert_persistence), goes = std::sqrt(1.0 - variation.expert_persistence);
  for (double& load : loads) {
    const double lasts = measured ? 0.0 : stays * lasting.normal();
    load *= std::exp(variation.expert_skew * (lasts + goes * passing.normal()));
  }
  scale_to_mean_one(loads);
  std::vector<float> sums(static_cast<std::size_t>(gpus), 0.0F);
  const std::int64_t each = experts / gpus;
  for (std::size_t e = 0; e < loads.size(); ++e)
    sums[e / static_cast<std::size_t>(each)] += static_cast<float>(loads[e] / static_cast<double>(each));
  return sums;
}

}  // namespace hourglass::sim
