#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "hardware/network/fair_share.h"
#include "hardware/network/flow_system.h"
#include "hardware/network/level_queue.h"

using namespace hourglass;
using namespace hourglass::hardware;

namespace {

FlowSet set_of(const std::vector<std::vector<std::int32_t>>& paths) {
  FlowSet flows;
  for (const auto& path : paths) flows.add(path, 1.0);
  return flows;
}

struct Case {
  std::vector<double> capacity;
  FlowSet flows;
};

// Random links and paths; sizes and starts from few values now and then, so that ties happen.
Case random_case(base::Random& random, bool counts, bool starts) {
  Case made;
  const std::size_t links = 1 + random.below(12), flows = 1 + random.below(40);
  const bool round = random.below(2) == 0;
  for (std::size_t l = 0; l < links; ++l)
    made.capacity.push_back(round ? static_cast<double>(1 + random.below(3)) : random.uniform(0.5, 4.0));
  for (std::size_t f = 0; f < flows; ++f) {
    std::vector<std::int32_t> path;
    const std::size_t length = 1 + random.below(std::min<std::size_t>(links, 4));
    while (path.size() < length) {
      const auto l = static_cast<std::int32_t>(random.below(links));
      if (std::find(path.begin(), path.end(), l) == path.end() || random.below(20) == 0)
        path.push_back(l);  // twice, rarely
    }
    const double bytes = round ? static_cast<double>(1 + random.below(3)) : random.uniform(0.1, 10.0);
    const double count = counts ? static_cast<double>(1 + random.below(5)) : 1.0;
    const double start = starts ? (round ? static_cast<double>(random.below(4)) : random.uniform(0.0, 5.0)) : 0.0;
    made.flows.add(path, bytes, count, start);
  }
  return made;
}

// Full links, and a full link on every path on which the flow is the fastest.
void check_bottlenecks(const Case& made, const std::vector<double>& rates) {
  std::vector<double> load(made.capacity.size(), 0.0), fastest(made.capacity.size(), 0.0);
  for (std::size_t f = 0; f < made.flows.size(); ++f) {
    for (const std::int32_t l : made.flows.links(f)) {
      load[static_cast<std::size_t>(l)] += rates[f] * made.flows.count[f];
      fastest[static_cast<std::size_t>(l)] = std::max(fastest[static_cast<std::size_t>(l)], rates[f]);
    }
  }
  for (std::size_t l = 0; l < load.size(); ++l) CHECK(load[l] <= made.capacity[l] * (1.0 + 1e-9));
  for (std::size_t f = 0; f < made.flows.size(); ++f) {
    bool found = false;
    for (const std::int32_t link : made.flows.links(f)) {
      const auto l = static_cast<std::size_t>(link);
      found = found || (load[l] >= made.capacity[l] * (1.0 - 1e-9) && rates[f] >= fastest[l] * (1.0 - 1e-9));
    }
    CHECK(found);
  }
}

void check_near(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-7));
  }
}

}  // namespace

TEST_CASE("one link is shared equally, and a flow alone gets all of it") {
  check_near(max_min_rates({6.0, 5.0}, set_of({{0}, {0}, {0}, {1}})), {2.0, 2.0, 2.0, 5.0});
}

TEST_CASE("parking lot: the long flow and each short one share every link half and half") {
  // f0 crosses n links, each with one flow of its own (Bertsekas and Gallager, section 6.5.2).
  std::vector<std::vector<std::int32_t>> paths = {{0, 1, 2, 3, 4}};
  for (std::int32_t l = 0; l < 5; ++l) paths.push_back({l});
  check_near(max_min_rates(std::vector<double>(5, 1.0), set_of(paths)), std::vector<double>(6, 0.5));
}

TEST_CASE("unequal parking lot: what a flow held back elsewhere leaves goes to the others") {
  // The example of fair_share.cpp, and a chain in which each link frees the next.
  check_near(max_min_rates({1.0, 1.0}, set_of({{0, 1}, {0}, {1}, {1}})), {1.0 / 3, 2.0 / 3, 1.0 / 3, 1.0 / 3});
  check_near(max_min_rates({1.0, 2.0, 4.0}, set_of({{0, 1}, {0}, {1, 2}, {2}})), {0.5, 0.5, 1.5, 2.5});
}

TEST_CASE("a path that crosses a link twice loads it twice") {
  check_near(max_min_rates({3.0}, set_of({{0, 0}, {0}})), {1.0, 1.0});
}

TEST_CASE("a flow that crosses nothing is through at once") {
  FlowSet flows = set_of({{}, {0}});
  CHECK(std::isinf(max_min_rates({1.0}, flows)[0]));
  check_near(simulate_flows({1.0}, flows).finish_s, {0.0, 1.0});
}

TEST_CASE("two flows of different size: the second speeds up when the first has ended") {
  FlowSet flows;
  flows.add(std::vector<std::int32_t>{0}, 1.0);
  flows.add(std::vector<std::int32_t>{0}, 3.0);
  check_near(simulate_flows({1.0}, flows).finish_s, {2.0, 4.0});  // 1 and 1 by 2 s, then 2 alone
  flows.start_s[1] = 0.5;                                         // half of the first is through when the second joins
  check_near(simulate_flows({1.0}, flows).finish_s, {1.5, 4.0});
}

TEST_CASE("a flow that speeds up can slow another down") {
  // f0 on a with the long f1 on a and b; f2 on b. When f0 ends f1 rises, and f2 falls from 2/3 to 1/2.
  FlowSet flows;
  flows.add(std::vector<std::int32_t>{0}, 1.0, 2.0);
  flows.add(std::vector<std::int32_t>{0, 1}, 10.0);
  flows.add(std::vector<std::int32_t>{1}, 10.0);
  FlowSystem system({1.0, 1.0});
  for (std::size_t f = 0; f < flows.size(); ++f) system.add(flows.links(f), flows.bytes[f], flows.count[f]);
  CHECK(system.rate(2) == doctest::Approx(2.0 / 3));
  std::vector<std::int32_t> finished;
  system.advance(system.next(), finished);
  CHECK(finished == std::vector<std::int32_t>{0});
  CHECK(system.now() == doctest::Approx(3.0));
  CHECK(system.rate(1) == doctest::Approx(0.5));
  CHECK(system.rate(2) == doctest::Approx(0.5));
  CHECK(system.remaining(2) == doctest::Approx(8.0));
}

TEST_CASE("every flow has a bottleneck, on random cases, by the fast and the slow way") {
  base::Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const Case made = random_case(random, i % 2 == 1, false);
    const std::vector<double> rates = max_min_rates(made.capacity, made.flows);
    check_bottlenecks(made, rates);
    check_near(rates, max_min_rates_reference(made.capacity, made.flows));
  }
}

TEST_CASE("flows over time end when the slow way says, re-filling only a part") {
  base::Random random(11);
  for (int i = 0; i < 600; ++i) {
    const Case made = random_case(random, i % 2 == 1, i % 3 == 1);
    const FlowTimes fast = simulate_flows(made.capacity, made.flows),
                    slow = simulate_flows_reference(made.capacity, made.flows);
    check_near(fast.finish_s, slow.finish_s);
  }
}

TEST_CASE("after every event of the incremental system all flows have a bottleneck, and no byte is lost") {
  base::Random random(13);
  for (int i = 0; i < 200; ++i) {
    Case made = random_case(random, i % 2 == 1, false);
    FlowSystem system(made.capacity);
    for (std::size_t f = 0; f < made.flows.size(); ++f)
      system.add(made.flows.links(f), made.flows.bytes[f], made.flows.count[f]);
    std::vector<std::int32_t> finished;
    std::vector<double> sent(made.flows.size(), 0.0);
    while (!std::isinf(system.next())) {
      Case left{made.capacity, {}};
      std::vector<double> rates, all;
      for (std::size_t f = 0; f < made.flows.size(); ++f) {
        all.push_back(system.rate(static_cast<std::int32_t>(f)));
        if (all.back() <= 0.0) continue;
        left.flows.add(made.flows.links(f), 1.0, made.flows.count[f]);
        rates.push_back(all.back());
      }
      check_bottlenecks(left, rates);
      const double before = system.now();
      system.advance(system.next(), finished);
      for (std::size_t f = 0; f < sent.size(); ++f) sent[f] += all[f] * (system.now() - before);
    }
    CHECK(finished.size() == made.flows.size());
    for (std::size_t f = 0; f < sent.size(); ++f) CHECK(sent[f] == doctest::Approx(made.flows.bytes[f]).epsilon(1e-8));
  }
}

TEST_CASE(
    "all-to-alls through shared middle links, long paths, ties and late starts: the fast way equals the slow one") {
  // Three or six links a path: what keeps long paths apart from short ones; sizes from few values tie.
  base::Random random(23);
  for (int i = 0; i < 24; ++i) {
    constexpr std::int32_t ends = 8, middle = 5;
    const bool round = i % 3 == 0, counts = i % 4 == 3;
    Case made;
    for (std::int32_t l = 0; l < 2 * ends + 4 * middle; ++l)
      made.capacity.push_back(l < 2 * ends ? 1.0 : round ? 2.0 : random.uniform(0.8, 3.0));
    const auto pick = [&](std::int32_t row) {
      return 2 * ends + row * middle + static_cast<std::int32_t>(random.below(middle));
    };
    for (std::int32_t a = 0; a < ends; ++a) {
      for (std::int32_t b = 0; b < ends; ++b) {
        std::vector<std::int32_t> path = {a, pick(0), ends + b};
        if (i % 2 == 1) path.insert(path.begin() + 1, {pick(1), pick(2), pick(3)});
        made.flows.add(path, round ? static_cast<double>(1 + random.below(3)) : random.uniform(0.8, 1.2),
                       counts ? static_cast<double>(1 + random.below(3)) : 1.0, i % 5 == 4 ? random.uniform(0, 20) : 0);
      }
    }
    const FlowTimes fast = simulate_flows(made.capacity, made.flows);
    check_near(fast.finish_s, simulate_flows_reference(made.capacity, made.flows).finish_s);
  }
}

TEST_CASE("a count is the same as that many flows") {
  base::Random random(17);
  for (int i = 0; i < 200; ++i) {
    const Case made = random_case(random, true, i % 2 == 1);
    FlowSet single;
    for (std::size_t f = 0; f < made.flows.size(); ++f) {
      for (double k = 0.0; k < made.flows.count[f]; k += 1.0)
        single.add(made.flows.links(f), made.flows.bytes[f], 1.0, made.flows.start_s[f]);
    }
    std::vector<std::int64_t> merged;
    const FlowSet again = merge_identical(single, merged);
    CHECK(again.size() <= made.flows.size());
    const FlowTimes each = simulate_flows(made.capacity, single), together = simulate_flows(made.capacity, again);
    for (std::size_t f = 0; f < single.size(); ++f)
      CHECK(each.finish_s[f] == doctest::Approx(together.finish_s[static_cast<std::size_t>(merged[f])]).epsilon(1e-8));
  }
}

TEST_CASE("an all-to-all with sizes 20 % apart: the fast way equals the slow one, and re-fills few flows") {
  // 24 ends with a link out and a link in each.
  constexpr std::int32_t ends = 24;
  base::Random random(3);
  FlowSet flows;
  for (std::int32_t a = 0; a < ends; ++a) {
    for (std::int32_t b = 0; b < ends; ++b) {
      if (a != b) flows.add(std::vector<std::int32_t>{a, ends + b}, random.uniform(0.8, 1.2));
    }
  }
  const std::vector<double> capacity(2 * ends, 1.0);
  const FlowTimes fast = simulate_flows(capacity, flows);
  check_near(fast.finish_s, simulate_flows_reference(capacity, flows).finish_s);
  CHECK(fast.refilled / static_cast<double>(fast.solves) < 0.5 * static_cast<double>(flows.size()));
}

TEST_CASE("links come out of the queue by level, to within a thousandth, each once") {
  base::Random random(29);
  LevelQueue queue(500);
  std::vector<double> level;
  for (std::int32_t l = 0; l < 500; ++l) {
    level.push_back(std::exp(random.uniform(-10.0, 10.0)));
    queue.push(level.back(), l);
  }
  double before = 0.0;
  std::vector<bool> seen(500, false);
  while (!queue.empty()) {
    const auto l = static_cast<std::size_t>(queue.pop());
    CHECK(!seen[l]);
    seen[l] = true;
    CHECK(level[l] >= before * (1.0 - 1e-3));
    before = std::max(before, level[l]);
  }
  CHECK(std::count(seen.begin(), seen.end(), true) == 500);
}

TEST_CASE("threads do not change a bit of the result") {
  base::Random random(5);
  FlowSet flows;
  for (std::int32_t i = 0; i < 400; ++i) {
    const auto group = static_cast<std::int32_t>(random.below(10)) * 4;
    const auto member = [&] { return group + static_cast<std::int32_t>(random.below(4)); };
    flows.add(std::vector<std::int32_t>{member(), 40 + member()}, random.uniform(0.5, 2.0));
  }
  const std::vector<double> capacity(80, 1.0);
  const FlowTimes one = simulate_flows(capacity, flows, 1e-9, 1), four = simulate_flows(capacity, flows, 1e-9, 4);
  CHECK(one.finish_s == four.finish_s);
  CHECK(one.components > 1);
}

TEST_CASE("flows that cannot be are refused") {
  CHECK_THROWS_WITH_AS(simulate_flows({1.0}, set_of({{1}})), doctest::Contains("no link 1"), base::Error);
  CHECK_THROWS_WITH_AS(simulate_flows({0.0}, set_of({{0}})), doctest::Contains("bandwidth of 0"), base::Error);
  FlowSet flows = set_of({{0}});
  flows.bytes[0] = std::nan("");
  CHECK_THROWS_AS(simulate_flows({1.0}, flows), base::Error);
  flows.bytes[0] = 1.0;
  flows.count[0] = 1.5;
  CHECK_THROWS_WITH_AS(simulate_flows({1.0}, flows), doctest::Contains("whole number"), base::Error);
}
