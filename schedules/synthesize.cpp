// Schedule synthesis, in three steps for every placement (flat, looped with 2 and 4 chunks, V, bidirectional):
//   1. every named schedule on it that fits the cap is a seed;
//   2. list scheduling (list_scheduler.h) under policies drawn at random, the first ones without noise;
//   3. local search on the best order: move one action of one rank to another place, keep the order if its makespan is
//   not
//      longer (equal ones are kept too: plateaus are wide). An order is evaluated by a sweep over rank cursors that
//      stops at a deadlock.
// Each step only replaces the best order by a better one, so the result is never worse than a named schedule. The lower
// bound (lower_bound.h) says when to stop: an order that meets it is optimal.
//
// Limits: a heuristic. Pairs are formed by seeds and list scheduling, and moved but not made or split by local search.
#include "schedules/synthesize.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/random.h"
#include "schedules/build.h"
#include "schedules/catalogue.h"
#include "schedules/list_scheduler.h"
#include "schedules/lower_bound.h"
#include "schedules/validate.h"

namespace hourglass::schedules {

namespace {

constexpr double unbounded = std::numeric_limits<double>::infinity();
constexpr double tolerance = 1e-9;

// Actions numbered over all ranks, with the few that each waits for: evaluates any order of them on their ranks.
class OrderEvaluator {
 public:
  OrderEvaluator(const Schedule& schedule, const Costs& costs, double cap) : costs_(costs) {
    const double chunks = static_cast<double>(schedule.stages) / schedule.ranks;
    cap_ = cap > 0.0 ? cap * chunks + tolerance : unbounded;
    const Dependencies dependencies = derive_dependencies(schedule);
    const double cost_of[] = {costs.forward / chunks, costs.backward_input / chunks, costs.backward_weight / chunks,
                              costs.backward() / chunks, costs.pair() / chunks};
    for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
      std::vector<std::uint32_t> order;
      for (const Action& action : schedule.actions[r]) {
        order.push_back(static_cast<std::uint32_t>(actions_.size()));
        actions_.push_back(action);
        work_.push_back(cost_of[static_cast<std::size_t>(action.kind)]);
      }
      orders_.push_back(std::move(order));
    }
    input_begin_ = dependencies.input_begin;
    for (const Dependency& input : dependencies.inputs) {
      inputs_.push_back(input.producer);
      delay_.push_back(input.remote ? costs.p2p : 0.0);
    }
    end_.assign(actions_.size(), unbounded);
    waiter_.assign(actions_.size(), none);
    cursor_.assign(orders_.size(), 0);
  }

  std::vector<std::vector<std::uint32_t>>& orders() { return orders_; }

  // Makespan of the current orders; unbounded if they deadlock.
  double makespan() {
    std::fill(end_.begin(), end_.end(), unbounded);
    std::fill(waiter_.begin(), waiter_.end(), none);
    std::fill(cursor_.begin(), cursor_.end(), 0);
    pending_.clear();
    for (std::size_t r = 0; r < orders_.size(); ++r) pending_.push_back(static_cast<std::uint32_t>(r));
    std::size_t done = 0;
    double longest = 0.0;
    while (!pending_.empty()) {
      const std::uint32_t rank = pending_.back();
      pending_.pop_back();
      const std::vector<std::uint32_t>& order = orders_[rank];
      std::uint32_t& next = cursor_[rank];
      double free = next > 0 ? end_[order[next - 1]] : 0.0;
      for (; next < order.size(); ++next) {
        const std::uint32_t action = order[next];
        double start = free;
        std::uint32_t missing = none;
        for (std::uint32_t i = input_begin_[action]; i < input_begin_[action + 1]; ++i) {
          if (end_[inputs_[i]] == unbounded) missing = inputs_[i];
          start = std::max(start, end_[inputs_[i]] + delay_[i]);
        }
        if (missing != none) {
          waiter_[missing] = rank;
          second_waiter(missing, rank);
          break;
        }
        end_[action] = free = start + work_[action];
        ++done;
        if (waiter_[action] != none) wake(action);
      }
      longest = std::max(longest, free);
    }
    return done == actions_.size() ? longest : unbounded;
  }

  // Whether the rank's order keeps the cap.
  bool fits(std::size_t rank) const {
    double held = 0.0;
    const double kept = costs_.activation_kept_for_weight;
    for (const std::uint32_t id : orders_[rank]) {
      const Kind kind = actions_[id].kind;
      if (kind == Kind::forward || kind == Kind::overlapped) held += 1.0;
      if (held > cap_) return false;
      if (kind == Kind::backward_input) held -= 1.0 - kept;
      if (kind == Kind::backward_weight) held -= kept;
      if (kind == Kind::backward || kind == Kind::overlapped) held -= 1.0;
    }
    return true;
  }

  Schedule schedule(Schedule base) const {
    base.name = "synthesized";
    for (std::size_t r = 0; r < orders_.size(); ++r) {
      base.actions[r].clear();
      for (const std::uint32_t id : orders_[r]) base.actions[r].push_back(actions_[id]);
    }
    return base;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  // An output goes to at most two ranks: the next stage's and, for a pair, the one that holds its other half.
  void second_waiter(std::uint32_t action, std::uint32_t rank) { also_waiting_.push_back({action, rank}); }
  void wake(std::uint32_t action) {
    for (std::size_t i = 0; i < also_waiting_.size();) {
      if (also_waiting_[i].first != action) {
        ++i;
        continue;
      }
      pending_.push_back(also_waiting_[i].second);
      also_waiting_[i] = also_waiting_.back();
      also_waiting_.pop_back();
    }
  }

  Costs costs_;
  double cap_ = unbounded;
  std::vector<Action> actions_;
  std::vector<double> work_;
  std::vector<std::uint32_t> input_begin_, inputs_;
  std::vector<double> delay_;
  std::vector<std::vector<std::uint32_t>> orders_;
  std::vector<double> end_;
  std::vector<std::uint32_t> waiter_, cursor_, pending_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> also_waiting_;  // at most one entry a rank
};

class Clock {
 public:
  Clock(const SynthesisOptions& options, double share_begin, double share_end, std::int64_t& orders)
      : options_(options),
        begin_(share_begin),
        end_(share_end),
        orders_(orders),
        start_(std::chrono::steady_clock::now()),
        first_(orders) {}
  // The share of this placement's time that is spent; one order more is tried.
  double tick() {
    ++orders_;
    return used();
  }
  double used() const {
    if (options_.rounds > 0) {
      return static_cast<double>(orders_ - first_) / (static_cast<double>(options_.rounds) * (end_ - begin_));
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    return elapsed.count() / (options_.seconds * (end_ - begin_));
  }
  double share() const { return begin_ + (end_ - begin_) * std::min(1.0, used()); }

 private:
  const SynthesisOptions& options_;
  double begin_, end_;
  std::int64_t& orders_;
  std::chrono::steady_clock::time_point start_;
  std::int64_t first_;
};

Policy draw_policy(base::Random& random, std::int64_t round) {
  Policy policy;
  policy.first = static_cast<Policy::First>(random.below(3));
  policy.forward_tie = static_cast<Policy::Tie>(random.below(3));
  policy.backward_tie = static_cast<Policy::Tie>(random.below(3));
  if (random.below(2) == 0) policy.deferred_weights = static_cast<int>(random.below(12));
  if (random.below(3) == 0) policy.patience = random.uniform() * 0.5;
  if (round > 60 && random.below(2) == 0) policy.noise = random.uniform(0.0, 2.0);
  return policy;
}

class PlacementSearch {
 public:
  PlacementSearch(const SynthesisOptions& options, std::string placement, Schedule empty, Clock clock)
      : options_(options), empty_(std::move(empty)), clock_(clock), random_(options.seed) {
    best_.placement = std::move(placement);
    best_.evaluation.makespan = unbounded;
    best_.lower_bound = lower_bound(empty_, options.costs, options.activation_cap);
  }

  void seed(const std::string& name, const Schedule& schedule) {
    if (!offer(schedule)) return;
    best_.best_named = name;
    best_.best_named_makespan = best_.evaluation.makespan;
  }

  template <class Report>
  void search(const Report& report) {
    for (std::int64_t round = 0; clock_.used() < 0.4 && !optimal(); ++round) {
      const auto made =
          list_schedule(empty_, options_.costs, options_.activation_cap, draw_policy(random_, round), random_);
      clock_.tick();
      if (made) offer(*made);
      report(clock_.share(), best_.evaluation.makespan);
    }
    if (found()) improve(report);
  }

  bool found() const { return best_.evaluation.makespan < unbounded; }
  Synthesized take() { return std::move(best_); }

 private:
  bool optimal() const { return best_.evaluation.makespan <= best_.lower_bound * (1.0 + tolerance); }

  bool offer(const Schedule& schedule) {
    Evaluation evaluation = evaluate(schedule, options_.costs);
    if (options_.activation_cap > 0.0 && evaluation.peak_activations > options_.activation_cap + tolerance)
      return false;
    if (evaluation.makespan >= best_.evaluation.makespan * (1.0 - tolerance)) return false;
    best_.schedule = schedule;
    best_.evaluation = std::move(evaluation);
    return true;
  }

  // Moves single actions of one rank, keeping what is not longer.
  template <class Report>
  void improve(const Report& report) {
    OrderEvaluator order(best_.schedule, options_.costs, options_.activation_cap);
    double current = order.makespan();
    while (clock_.used() < 1.0 && current > best_.lower_bound * (1.0 + tolerance)) {
      const std::size_t rank = random_.below(order.orders().size());
      std::vector<std::uint32_t>& actions = order.orders()[rank];
      if (actions.size() < 2) continue;
      const std::size_t from = random_.below(actions.size());
      const std::size_t reach = 1 + random_.below(std::min<std::size_t>(24, actions.size() - 1));
      const bool later = random_.below(2) == 0;
      const std::size_t to = later ? std::min(actions.size() - 1, from + reach) : (from > reach ? from - reach : 0);
      rotate(actions, from, to);
      const double makespan = order.fits(rank) ? order.makespan() : unbounded;
      clock_.tick();
      if (makespan > current * (1.0 + 1e-12)) {
        rotate(actions, to, from);
      } else {
        current = makespan;
      }
      report(clock_.share(), current);
    }
    offer(order.schedule(best_.schedule));
  }

  static void rotate(std::vector<std::uint32_t>& actions, std::size_t from, std::size_t to) {
    const auto begin = actions.begin();
    const auto at = [&](std::size_t i) { return begin + static_cast<std::ptrdiff_t>(i); };
    if (from < to)
      std::rotate(at(from), at(from + 1), at(to + 1));
    else
      std::rotate(at(to), at(from), at(from + 1));
  }

  const SynthesisOptions& options_;
  Schedule empty_;
  Clock clock_;
  base::Random random_;
  Synthesized best_;
};

struct NamedPlacement {
  std::string name;
  Schedule empty;
};

std::vector<NamedPlacement> placements_for(const Shape& shape) {
  std::vector<NamedPlacement> all;
  const std::string name = "synthesized";
  all.push_back({"flat", looped_placement(name, shape, 1)});
  if (shape.ranks > 1) {
    all.push_back({"2-loop", looped_placement(name, shape, 2)});
    all.push_back({"4-loop", looped_placement(name, shape, 4)});
    all.push_back({"V", v_placement(name, shape)});
    if (shape.micro_batches % 2 == 0) all.push_back({"bidirectional", bidirectional_placement(name, shape)});
  }
  return all;
}

}  // namespace

std::vector<std::string> synthesis_placements() { return {"flat", "2-loop", "4-loop", "V", "bidirectional"}; }

Synthesis synthesize(const SynthesisOptions& options, const std::function<void(double, double)>& progress) {
  // Every named schedule of this shape, whatever its placement.
  std::vector<Schedule> named;
  const auto collect = [&](const std::string& name, int chunks) {
    const Shape shape{options.ranks, options.micro_batches, chunks};
    if (!refusal(name, shape)) named.push_back(generate(name, shape));
  };
  for (const CatalogueEntry& entry : catalogue()) {
    if (!entry.takes_chunks)
      collect(entry.name, 0);
    else
      for (const int chunks : {2, 4}) collect(entry.name, chunks);
  }
  Synthesis synthesis;
  std::vector<NamedPlacement> placements = placements_for({options.ranks, options.micro_batches, 0});
  if (!options.placement.empty()) {
    std::erase_if(placements, [&](const NamedPlacement& each) { return each.name != options.placement; });
  }
  const auto report = [&](double share, double makespan) {
    if (progress && synthesis.orders % 256 == 0) progress(share, makespan);
  };
  for (std::size_t i = 0; i < placements.size(); ++i) {
    const double parts = static_cast<double>(placements.size()), index = static_cast<double>(i);
    PlacementSearch search(options, placements[i].name, placements[i].empty,
                           Clock(options, index / parts, (index + 1.0) / parts, synthesis.orders));
    for (const Schedule& schedule : named) {
      if (schedule.placement == placements[i].empty.placement) search.seed(schedule.name, schedule);
    }
    search.search(report);
    if (search.found()) synthesis.placements.push_back(search.take());
  }
  if (synthesis.placements.empty()) {
    throw base::Error(fmt::format("no order of {} micro-batches on {} ranks holds at most {:.4g}",
                                  options.micro_batches, options.ranks, options.activation_cap),
                      "synthesize", "raise the memory cap");
  }
  for (const Synthesized& each : synthesis.placements)
    validate(each.schedule,
             {options.activation_cap, options.costs.activation_kept_for_weight, PointToPoint::asynchronous});
  std::stable_sort(synthesis.placements.begin(), synthesis.placements.end(),
                   [](const Synthesized& a, const Synthesized& b) {
                     return a.evaluation.makespan < b.evaluation.makespan - tolerance;
                   });
  return synthesis;
}

}  // namespace hourglass::schedules
