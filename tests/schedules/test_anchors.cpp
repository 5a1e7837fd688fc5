#include <doctest/doctest.h>

#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/validate.h"

using namespace hourglass::schedules;

namespace {

struct Anchor {
  const char* name;
  int ranks, micro_batches, chunks;
  Costs costs;
  double makespan;
  double peak;  // 0: not given
};

Evaluation run(const Anchor& anchor) {
  const Schedule schedule = generate(anchor.name, {anchor.ranks, anchor.micro_batches, anchor.chunks});
  validate(schedule);
  return evaluate(schedule, anchor.costs);
}

constexpr Costs unit{1.0, 1.0, 1.0, 3.0};
constexpr Costs gain{1.0, 1.3, 0.7, 1.9};

}  // namespace

TEST_CASE("anchors of every schedule: makespan and peak activations") {
  for (const Anchor& anchor : {
           Anchor{"1f1b", 8, 32, 0, unit, 117.0, 8.0},
           Anchor{"zb-h1", 8, 32, 0, unit, 103.0, 8.0},
           Anchor{"zb-h2", 8, 32, 0, unit, 103.0, 15.0},
           Anchor{"zb-v", 8, 32, 0, unit, 99.5, 8.0},
           Anchor{"dualpipe", 8, 32, 0, unit, 102.0, 9.0},
           Anchor{"dualpipev", 8, 32, 0, unit, 103.0, 8.5},
           Anchor{"interleaved-overlap", 8, 32, 4, unit, 101.25, 10.0},
           Anchor{"dualpipe", 8, 20, 0, unit, 66.0, 9.0},
           Anchor{"1f1b", 8, 32, 0, gain, 117.0, 8.0},
           Anchor{"zb-h1", 8, 32, 0, gain, 107.2, 8.0},
           Anchor{"dualpipe", 8, 32, 0, gain, 75.8, 9.0},
           Anchor{"interleaved-overlap", 8, 32, 4, gain, 73.1, 10.0},
       }) {
    CAPTURE(anchor.name);
    const Evaluation evaluation = run(anchor);
    CHECK(evaluation.makespan == doctest::Approx(anchor.makespan).epsilon(1e-12));
    CHECK(evaluation.peak_activations == doctest::Approx(anchor.peak).epsilon(1e-12));
  }
}

TEST_CASE("zero bubble is zero in the span only") {
  CHECK(run({"zb-h2", 8, 32, 0, unit, 0, 0}).span == doctest::Approx(96.0));
  CHECK(run({"zb-v", 8, 32, 0, unit, 0, 0}).span == doctest::Approx(96.0));
  CHECK(run({"zb-v", 8, 32, 0, unit, 0, 0}).span_bubble_ratio == doctest::Approx(0.0));
  CHECK(run({"zb-v", 8, 32, 0, unit, 0, 0}).bubble_ratio == doctest::Approx(3.5 / 99.5));
}

TEST_CASE("dualpipe p=8, m=20 has a bubble of 6 on every rank, and p+1 micro-batches") {
  const Evaluation evaluation = run({"dualpipe", 8, 20, 0, unit, 0, 0});
  for (const RankEvaluation& rank : evaluation.ranks) {
    CHECK(rank.bubble == doctest::Approx(6.0));
    CHECK(rank.peak_activations == doctest::Approx(9.0));
  }
}

TEST_CASE("where pairs gain, ranks with fewer pairs are busier, so bubbles differ") {
  const Evaluation evaluation = run({"dualpipe", 8, 32, 0, gain, 0, 0});
  CHECK(evaluation.ranks[0].overlapped_pairs != evaluation.ranks[3].overlapped_pairs);
  CHECK(evaluation.ranks[0].bubble != doctest::Approx(evaluation.ranks[3].bubble));
}
