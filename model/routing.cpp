// Uniform node-limited routing. A token picks t = groups_per_token of g groups, then k = top_k experts among the
// E = experts t / g of those groups. A set of x eligible experts is hit with the hypergeometric probability
//     1 - C(E - x, k) / C(E, k).
// A part no larger than a group is eligible with probability t / g. A part of c whole groups holds j of the t chosen
// ones with probability C(c, j) C(g - c, t - j) / C(g, t) and then j whole groups of eligible experts. Limit: real
// routers are not uniform; measured loads come with the flow-level network.
#include "model/routing.h"

#include <algorithm>
#include <cmath>

namespace hourglass::model {

namespace {

// Probability that k experts drawn without replacement from `eligible` miss all of a subset.
double miss_probability(double eligible, double subset, std::int64_t k) {
  double miss = 1.0;
  for (std::int64_t i = 0; i < k; ++i) {
    const auto drawn = static_cast<double>(i);
    miss *= std::max(0.0, eligible - subset - drawn) / (eligible - drawn);
  }
  return miss;
}

double choose(std::int64_t n, std::int64_t k) {
  if (k < 0 || k > n) return 0.0;
  const auto log_factorial = [](std::int64_t i) { return std::lgamma(static_cast<double>(i) + 1.0); };
  return std::exp(log_factorial(n) - log_factorial(k) - log_factorial(n - k));
}

}  // namespace

double expected_parts(const Routing& routing, std::int64_t parts) {
  if (parts <= 1) return 1.0;
  const auto experts = static_cast<double>(routing.experts), groups = static_cast<double>(routing.groups);
  const double used = static_cast<double>(routing.groups_per_token);
  const double eligible = experts * used / groups;
  const double part = experts / static_cast<double>(parts), group = experts / groups;
  if (part <= group) {
    return static_cast<double>(parts) * (used / groups) * (1.0 - miss_probability(eligible, part, routing.top_k));
  }
  const auto groups_of_part = static_cast<std::int64_t>(std::llround(part / group));
  double hit = 0.0;
  for (std::int64_t chosen = 1; chosen <= std::min(groups_of_part, routing.groups_per_token); ++chosen) {
    const double probability = choose(groups_of_part, chosen) *
                               choose(routing.groups - groups_of_part, routing.groups_per_token - chosen) /
                               choose(routing.groups, routing.groups_per_token);
    hit += probability * (1.0 - miss_probability(eligible, static_cast<double>(chosen) * group, routing.top_k));
  }
  return static_cast<double>(parts) * hit;
}

}  // namespace hourglass::model
