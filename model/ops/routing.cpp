// Uniform node-limited routing. A token picks t = groups_per_token of g groups, then k = top_k experts among the
// E = experts t / g of those groups. A set of x eligible experts is hit with the hypergeometric probability
//     1 - C(E - x, k) / C(E, k).
// A part inside a group is eligible with probability t / g. A part over several groups is a piece of the first, c whole
// groups and a piece of the last; which of them are chosen is hypergeometric again: j of the c and each end or not,
// with probability C(c, j) C(g - c - 2, t - j - ends) / C(g, t). Limit: real routers are not uniform.
#include "model/ops/routing.h"

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
  const std::int64_t experts = routing.experts, groups = routing.groups, used = routing.groups_per_token;
  const std::int64_t group = experts / groups;
  const double eligible = static_cast<double>(group * used);
  double expected = 0.0;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = part * experts / parts, end = (part + 1) * experts / parts;
    const std::int64_t first = begin / group, last = (end - 1) / group;  // the groups it touches
    if (first == last) {
      const double chosen = static_cast<double>(used) / static_cast<double>(groups);
      expected += chosen * (1.0 - miss_probability(eligible, static_cast<double>(end - begin), routing.top_k));
      continue;
    }
    // Its share of the group where it begins, whole groups, and its share of the one where it ends.
    const std::int64_t head = (first + 1) * group - begin, tail = end - last * group, whole = last - first - 1;
    for (std::int64_t in_head = 0; in_head <= 1; ++in_head) {
      for (std::int64_t in_tail = 0; in_tail <= 1; ++in_tail) {
        for (std::int64_t j = 0; j <= whole; ++j) {
          const double probability =
              choose(whole, j) * choose(groups - whole - 2, used - j - in_head - in_tail) / choose(groups, used);
          const std::int64_t subset = in_head * head + in_tail * tail + j * group;
          expected += probability * (1.0 - miss_probability(eligible, static_cast<double>(subset), routing.top_k));
        }
      }
    }
  }
  return expected;
}

}  // namespace hourglass::model
