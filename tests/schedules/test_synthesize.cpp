#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "schedules/lower_bound.h"
#include "schedules/synthesize.h"
#include "schedules/validate.h"

using namespace hourglass;

namespace {

schedules::Synthesis search(int ranks, int micro_batches, schedules::Costs costs, double cap, std::int64_t rounds,
                            std::uint64_t seed = 1) {
  schedules::SynthesisOptions options;
  options.ranks = ranks;
  options.micro_batches = micro_batches;
  options.costs = costs;
  options.activation_cap = cap;
  options.rounds = rounds;
  options.seed = seed;
  return schedules::synthesize(options);
}

}  // namespace

TEST_CASE("without overlap gain the bounds are reached: p=8, m=32, F=B=W=1, at most 9 micro-batches") {
  const schedules::Synthesis found = search(8, 32, {}, 9.0, 2000);
  double v = 0.0, loop = 0.0, both = 0.0;
  for (const schedules::Synthesized& each : found.placements) {
    CHECK(each.evaluation.peak_activations <= 9.0);
    if (each.placement == "V") v = each.evaluation.makespan;
    if (each.placement == "4-loop") loop = each.evaluation.makespan;
    if (each.placement == "bidirectional") both = each.evaluation.makespan;
  }
  CHECK(v == 99.5);
  CHECK(loop == 97.75);
  CHECK(both == 99.0);
  CHECK(found.placements.front().placement == "4-loop");
}

TEST_CASE("what is found is valid, fits the cap, is no worse than the best named and no better than the bound") {
  base::Random random(5);
  for (int round = 0; round < 25; ++round) {
    schedules::Costs costs;
    costs.forward = random.uniform(0.5, 2.0);
    costs.backward_input = random.uniform(0.5, 2.0);
    costs.backward_weight = random.uniform(0.2, 1.5);
    if (random.below(2) == 0) costs.overlapped = (costs.forward + costs.backward()) * random.uniform(0.55, 1.0);
    costs.p2p = random.uniform(0.0, 0.1);
    const int ranks = 2 + 2 * static_cast<int>(random.below(3)),
              micro_batches = 2 * ranks + static_cast<int>(random.below(8));
    const double cap = random.below(2) == 0 ? 0.0 : ranks;
    const schedules::Synthesis found = search(ranks, micro_batches, costs, cap, 400, 1 + random.below(100));
    for (const schedules::Synthesized& each : found.placements) {
      CAPTURE(each.placement);
      schedules::validate(each.schedule, {cap, 1.0, schedules::PointToPoint::asynchronous});
      CHECK(each.evaluation.makespan >= schedules::lower_bound(each.schedule, costs, cap) * (1.0 - 1e-9));
      if (!each.best_named.empty()) CHECK(each.evaluation.makespan <= each.best_named_makespan * (1.0 + 1e-9));
      CHECK(schedules::evaluate(each.schedule, costs).makespan == doctest::Approx(each.evaluation.makespan));
    }
  }
}

TEST_CASE("a search of so many rounds gives the same order every time") {
  schedules::Costs costs;
  costs.backward_input = 1.3;
  costs.backward_weight = 0.7;
  const schedules::Synthesis a = search(4, 10, costs, 5.0, 600), b = search(4, 10, costs, 5.0, 600);
  CHECK(a.placements.front().schedule.actions == b.placements.front().schedule.actions);
}

TEST_CASE("a cap that nothing keeps is an error") { CHECK_THROWS_AS(search(4, 8, {}, 0.2, 10), base::Error); }
