// Expert loads. Log loads of a layer are normal with sigma `expert_skew`: sqrt(rho) z(layer, expert) + sqrt(1 - rho)
// z(layer, micro-batch, expert), rho the persistence, so that the spread at any moment is sigma and two micro-batches
// correlate by rho. Measured loads are dealt to the experts of each layer in an order of its own, scaled by the part of
// the noise that does not persist if a sigma is given too. Every draw has a seed of its own, made from (seed, layer,
// micro-batch), so that it does not depend on what else is drawn.
#include "sim/training/variation.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace hourglass::sim {

namespace {

std::int64_t read_gpu(base::Fields& fields, std::int64_t gpus) { return fields.integer("gpu", 0, gpus - 1); }

std::vector<SlowPart> read_slow(base::Fields& fields, const std::string& key, std::int64_t gpus) {
  std::vector<SlowPart> parts;
  if (!fields.has(key)) return parts;
  for (base::Fields& each : fields.objects(key)) {
    parts.push_back({read_gpu(each, gpus), each.number("factor", 1.0, 1e3)});
    each.finish();
  }
  return parts;
}

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

Variation read_variation(base::Fields fields, std::int64_t gpus) {
  Variation variation;
  variation.slow_gpus = read_slow(fields, "slow_gpus", gpus);
  variation.slow_nics = read_slow(fields, "slow_nics", gpus);
  if (fields.has("flapping_nics")) {
    for (base::Fields& each : fields.objects("flapping_nics")) {
      FlappingNic nic;
      nic.gpu = read_gpu(each, gpus);
      nic.first_s = each.number_or("first_s", 0.0, 0.0, 1e5);
      nic.every_s = each.number("every_s", 1e-3, 1e5);
      nic.down_s = each.number("down_s", 1e-6, 1e5);
      if (nic.down_s >= nic.every_s) each.fail("down_s", "the NIC would never be up", "make it less than every_s");
      each.finish();
      variation.flapping_nics.push_back(nic);
    }
  }
  if (fields.has("expert_loads")) variation.expert_loads = fields.numbers("expert_loads", 1e-12, 1e15);
  variation.expert_skew = fields.number_or("expert_skew", 0.0, 0.0, 5.0);
  variation.expert_persistence = fields.number_or("expert_persistence", 1.0, 0.0, 1.0);
  variation.seed = fields.integer_or("seed", 1, 0, 1'000'000'000);
  fields.finish();
  return variation;
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
