#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "base/random.h"
#include "schedules/catalogue.h"
#include "schedules/closed_form.h"
#include "schedules/evaluate.h"
#include "schedules/lower_bound.h"
#include "schedules/validate.h"

using namespace hourglass;
using namespace hourglass::schedules;

namespace {

// A random shape that `entry` can run.
Shape random_shape(const CatalogueEntry& entry, base::Random& random) {
  const auto below = [&](int bound) { return static_cast<int>(random.below(static_cast<std::uint64_t>(bound))); };
  Shape shape{1 + below(10), 1 + below(30), 0};
  if (entry.name == "dualpipe") shape.ranks = 2 * (1 + below(5));
  if (entry.takes_chunks) shape.chunks = 2 + below(3);
  if (entry.name.starts_with("interleaved")) shape.micro_batches = shape.ranks * (1 + below(4));
  if (entry.name == "zb-h2" || entry.name == "dualpipev") shape.micro_batches = 2 * shape.ranks + below(20);
  if (entry.name == "dualpipe") shape.micro_batches = 2 * (shape.ranks + below(10));
  return shape;
}

Costs random_costs(base::Random& random) {
  Costs costs{random.log_normal(0, 0.7), random.log_normal(0, 0.7), random.log_normal(0, 0.7)};
  const double together = costs.forward + costs.backward();
  const double kind = random.uniform();
  if (kind < 0.5) costs.overlapped = together * random.uniform(0.2, 1.1);  // even below BW
  if (random.uniform() < 0.5) costs.p2p = random.uniform(0.0, 0.5);
  return costs;
}

}  // namespace

TEST_CASE("the catalogue states of every schedule what its instances show") {
  base::Random random(7);
  for (const CatalogueEntry& entry : catalogue()) {
    CAPTURE(entry.name);
    for (int i = 0; i < 100; ++i) {
      const Shape shape = i == 0 ? Shape{4, 16, 0} : random_shape(entry, random);
      const Schedule schedule = generate(entry.name, shape);
      const Traits stated = traits(entry.name, shape.chunks);
      bool pairs = false, fused = false;
      for (const auto& rank : schedule.actions) {
        for (const Action& action : rank) {
          pairs = pairs || action.kind == Kind::overlapped;
          fused = fused || action.kind == Kind::backward;
        }
      }
      // A step of very few micro-batches may end before its first pair.
      REQUIRE((stated.pairs == pairs || (stated.pairs && shape.micro_batches <= 2 * shape.ranks)));
      REQUIRE(stated.fused == fused);
      REQUIRE(stated.copies == schedule.parameter_copies());
      REQUIRE(stated.stages_per_rank * schedule.ranks == schedule.stages);
    }
  }
}

TEST_CASE("conservation laws on 10,000 random shapes and costs, every schedule") {
  base::Random random(20);
  const int cases_each = 10000 / static_cast<int>(catalogue().size()) + 1;
  double Costs::*const all_costs[] = {&Costs::forward, &Costs::backward_input, &Costs::backward_weight, &Costs::p2p,
                                      &Costs::overlapped};
  for (const CatalogueEntry& entry : catalogue()) {
    for (int i = 0; i < cases_each; ++i) {
      const Shape shape = random_shape(entry, random);
      const Schedule schedule = generate(entry.name, shape);
      CAPTURE(entry.name);
      CAPTURE(shape.ranks);
      CAPTURE(shape.micro_batches);
      validate(schedule);  // complete: every F, B, W once per stage and micro-batch
      Evaluator evaluator(schedule);
      Costs costs = random_costs(random);
      if (costs.overlapped < 0.0) costs.overlapped = costs.pair();
      const Evaluation evaluation = evaluator.evaluate(costs);
      const double tolerance = 1e-9 * evaluation.makespan;
      REQUIRE(evaluation.makespan >= lower_bound(schedule, costs) - tolerance);
      REQUIRE(evaluation.makespan >= lower_bound(schedule, costs, evaluation.peak_activations) - tolerance);
      REQUIRE(evaluation.span <= evaluation.makespan + tolerance);
      for (const RankEvaluation& rank : evaluation.ranks) {
        REQUIRE(std::abs(rank.busy + rank.bubble - evaluation.makespan) <= tolerance);
      }
      Costs higher = costs;
      double Costs::*const raised = all_costs[random.below(5)];
      higher.*raised += random.uniform(0.0, 1.0);
      REQUIRE(evaluator.makespan(higher) >= evaluation.makespan - tolerance);
    }
  }
}

TEST_CASE("every legal shape is a valid schedule: odd m, m = 2p+2, one rank, many ranks") {
  for (const CatalogueEntry& entry : catalogue()) {
    CAPTURE(entry.name);
    for (const int p : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 31, 32, 33, 64}) {
      for (const int m : {1, 2, 3, p - 1, p, p + 1, 2 * p - 1, 2 * p, 2 * p + 1, 2 * p + 2, 3 * p, 4 * p + 3}) {
        CAPTURE(p);
        CAPTURE(m);
        Schedule schedule;
        try {
          schedule = generate(entry.name, {p, m, 0});
        } catch (const base::Error&) {
          // Only shapes that break a rule of the specification may be refused.
          const bool illegal = m < 1 || (entry.name.starts_with("interleaved") && m % p != 0) ||
                               (entry.name == "dualpipe" && (p % 2 != 0 || m % 2 != 0 || m < 2 * p)) ||
                               ((entry.name == "zb-h2" || entry.name == "dualpipev") && m < 2 * p);
          REQUIRE(illegal);
          continue;
        }
        REQUIRE_NOTHROW(validate(schedule));
      }
    }
  }
}

TEST_CASE("peak activations are those of the papers") {
  for (const int p : {2, 4, 6, 8, 9, 12, 16, 32}) {
    const int m = 4 * p;
    CAPTURE(p);
    const auto peak = [&](const char* name, int chunks = 0) {
      return evaluate(generate(name, {p, m, chunks}), {}).peak_activations;
    };
    CHECK(peak("gpipe") == m);
    CHECK(peak("1f1b") == p);
    CHECK(peak("zb-h1") == p);
    CHECK(peak("zb-h2") == 2 * p - 1);
    CHECK(peak("zb-v") == p);
    CHECK(peak("looped-bfs") == m);
    CHECK(peak("interleaved-1f1b", 3) == doctest::Approx((2.0 * p + 2 * (p - 1) + 1) / 3));
    CHECK(peak("dualpipev") == p + 0.5);
    if (p % 2 == 0) CHECK(peak("dualpipe") == p + 1);
    CHECK(peak("v-half") <= p / 2.0 + 1.0);
    CHECK(peak("v-min") <= (p + 4) / 3.0 + 0.5);
  }
}

TEST_CASE("dualpipev is dualpipe cut in half") {
  for (const int p : {1, 2, 3, 5, 8, 16}) {
    for (const int m : {2 * p, 2 * p + 1, 2 * p + 2, 5 * p}) {
      const Schedule whole = generate("dualpipe", {2 * p, 2 * m, 0}), half = generate("dualpipev", {p, m, 0});
      for (std::size_t rank = 0; rank < static_cast<std::size_t>(p); ++rank) {
        std::vector<Action> folded = whole.actions[rank];
        for (Action& action : folded) {
          action.micro_batch %= m;
          if (action.kind == Kind::overlapped) action.backward_micro_batch %= m;
        }
        REQUIRE(folded == half.actions[rank]);
      }
      // A half rank's stage is half of its work, so the times agree with a whole rank's halved costs.
      CHECK(evaluate(whole, {0.5, 0.5, 0.5, 1.2}).makespan == doctest::Approx(evaluate(half, {1, 1, 1, 2.4}).makespan));
    }
  }
}

TEST_CASE("closed forms hold wherever they say so, and fail outside their regime") {
  base::Random random(5);
  std::set<std::string> wrong_outside;
  for (const CatalogueEntry& entry : catalogue()) {
    for (int i = 0; i < 600; ++i) {
      const Shape shape = random_shape(entry, random);
      const Schedule schedule = generate(entry.name, shape);
      Costs costs = random_costs(random);
      if (random.uniform() < 0.5) costs.p2p = 0.0;
      if (random.uniform() < 0.4) costs.backward_input = costs.backward_weight = costs.forward;
      const auto form = closed_form(schedule, costs);
      if (!form) break;
      const Evaluation e = evaluate(schedule, costs);
      double span_bubble = 0.0;
      for (const RankEvaluation& rank : e.ranks) span_bubble = std::max(span_bubble, e.span - rank.busy);
      const double found = form->quantity == "makespan" ? e.makespan
                           : form->quantity == "bubble" ? e.bubble
                                                        : span_bubble;
      const bool holds = std::abs(found - form->value) <= 1e-9 * e.makespan;
      CAPTURE(entry.name);
      CAPTURE(shape.ranks);
      CAPTURE(shape.micro_batches);
      CAPTURE(shape.chunks);
      CAPTURE(found);
      CAPTURE(form->value);
      CAPTURE(costs.forward);
      CAPTURE(costs.backward_input);
      CAPTURE(costs.backward_weight);
      CAPTURE(costs.overlapped);
      if (form->applies)
        CHECK(holds);
      else if (!holds)
        wrong_outside.insert(entry.name);
    }
  }
  CHECK(wrong_outside == std::set<std::string>{"1f1b", "dualpipe", "dualpipev", "gpipe", "interleaved-1f1b",
                                               "interleaved-overlap", "zb-h1", "zb-h2", "zb-v"});
}

TEST_CASE("lower bounds at p=8, m=32, F=B=W=1, no overlap gain") {
  const Costs unit{1, 1, 1, 3};
  CHECK(lower_bound(generate("zb-h1", {8, 32, 0}), unit) == doctest::Approx(103.0));
  CHECK(lower_bound(generate("zb-v", {8, 32, 0}), unit) == doctest::Approx(99.5));
  CHECK(lower_bound(generate("interleaved-1f1b", {8, 32, 4}), unit) == doctest::Approx(97.75));
  CHECK(lower_bound(generate("dualpipe", {8, 32, 0}), unit) == doctest::Approx(99.0));
  // Little's law: with one micro-batch at a time nothing overlaps on rank 0.
  CHECK(lower_bound(generate("1f1b", {8, 32, 0}), unit, 1.0) == doctest::Approx(32.0 * 17.0));
}
