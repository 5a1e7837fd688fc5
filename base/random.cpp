#include "base/random.h"

#include <cmath>
#include <numbers>

namespace hourglass::base {

std::uint64_t Random::below(std::uint64_t bound) {
  const std::uint64_t reject_under = (0 - bound) % bound;  // 2^64 mod bound
  std::uint64_t value = engine_();
  while (value < reject_under) value = engine_();
  return value % bound;
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

double Random::log_normal(double mu, double sigma) { return std::exp(mu + sigma * normal()); }

}  // namespace hourglass::base
