#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/random.h"
#include "model/ops/routing.h"

using namespace hourglass;
using model::Routing;

namespace {

std::int64_t parts_of(std::uint64_t chosen, std::int64_t experts, std::int64_t parts) {
  std::uint64_t hit = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    if ((chosen >> e & 1u) != 0) hit |= std::uint64_t{1} << (e / (experts / parts));
  }
  return std::popcount(hit);
}

// Every choice of groups, and in each every choice of experts, all equally likely.
double enumerated(const Routing& r, std::int64_t parts) {
  double sum = 0.0, count = 0.0;
  const std::int64_t size = r.experts / r.groups;
  for (std::uint64_t groups = 0; groups < std::uint64_t{1} << r.groups; ++groups) {
    if (std::popcount(groups) != r.groups_per_token) continue;
    std::uint64_t eligible = 0;
    for (std::int64_t e = 0; e < r.experts; ++e) eligible |= (groups >> (e / size) & 1u) << e;
    for (std::uint64_t chosen = 0; chosen < std::uint64_t{1} << r.experts; ++chosen) {
      if (std::popcount(chosen) != r.top_k || (chosen & ~eligible) != 0) continue;
      sum += static_cast<double>(parts_of(chosen, r.experts, parts));
      count += 1.0;
    }
  }
  return sum / count;
}

double simulated(const Routing& r, std::int64_t parts, int rounds) {
  base::Random random(7);
  std::vector<std::int64_t> groups(static_cast<std::size_t>(r.groups));
  std::iota(groups.begin(), groups.end(), 0);
  const std::int64_t size = r.experts / r.groups;
  double sum = 0.0;
  for (int round = 0; round < rounds; ++round) {
    random.shuffle(groups);
    std::vector<std::int64_t> eligible;
    for (std::int64_t g = 0; g < r.groups_per_token; ++g) {
      for (std::int64_t e = 0; e < size; ++e) eligible.push_back(groups[static_cast<std::size_t>(g)] * size + e);
    }
    random.shuffle(eligible);
    std::uint64_t hit = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(r.top_k); ++i)
      hit |= std::uint64_t{1} << (eligible[i] / (r.experts / parts));
    sum += static_cast<double>(std::popcount(hit));
  }
  return sum / rounds;
}

}  // namespace

TEST_CASE("expected parts are the mean over every possible choice of groups and experts") {
  for (const Routing& r : {Routing{8, 2, 1, 1}, Routing{8, 3, 4, 2}, Routing{8, 2, 2, 1}, Routing{12, 4, 4, 3},
                           Routing{12, 3, 6, 2}, Routing{16, 4, 8, 3}, Routing{16, 4, 4, 4}}) {
    for (std::int64_t parts = 1; parts <= r.experts; ++parts) {
      const std::int64_t part = r.experts / parts, group = r.experts / r.groups;
      // Parts that straddle groups are outside the formula.
      if (r.experts % parts != 0 || (part % group != 0 && group % part != 0)) continue;
      CAPTURE(r.experts);
      CAPTURE(r.groups);
      CAPTURE(parts);
      CHECK(model::expected_parts(r, parts) == doctest::Approx(enumerated(r, parts)).epsilon(1e-9));
    }
  }
}

TEST_CASE("DeepSeek-V3: a token goes to almost 4 of 8 nodes and to 7.7 of 64 GPUs, as drawing says") {
  const Routing v3{256, 8, 8, 4};
  for (const std::int64_t parts : {2, 4, 8, 16, 32, 64}) {
    CAPTURE(parts);
    // The standard error of 100,000 draws is 0.002 or less.
    CHECK(model::expected_parts(v3, parts) == doctest::Approx(simulated(v3, parts, 100000)).epsilon(0.003));
  }
  // 4 (1 - C(96, 8) / C(128, 8)) = 3.63: four nodes are allowed, not always all used.
  CHECK(model::expected_parts(v3, 8) == doctest::Approx(3.63).epsilon(0.005));
}

TEST_CASE("a token goes to at least one part, and to no more than there are parts, experts, or GPUs of its groups") {
  for (const Routing& r : {Routing{256, 8, 8, 4}, Routing{160, 6, 8, 3}, Routing{384, 8, 1, 1}, Routing{128, 8, 1, 1},
                           Routing{8, 2, 1, 1}}) {
    double before = 1.0;
    for (std::int64_t parts = 1; parts <= r.experts; parts *= 2) {
      if (r.experts % parts != 0) break;
      const double x = model::expected_parts(r, parts);
      CAPTURE(r.experts);
      CAPTURE(parts);
      CHECK(x >= before - 1e-12);  // finer parts, more of them
      CHECK(x <= static_cast<double>(std::min(parts, r.top_k)) + 1e-12);
      before = x;
    }
    CHECK(model::expected_parts(r, r.experts) == doctest::Approx(static_cast<double>(r.top_k)).epsilon(1e-12));
    CHECK(model::expected_parts(r, 1) == 1.0);
  }
}
