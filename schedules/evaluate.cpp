// Longest path. An action starts when its rank is free and its inputs are there; an input from another rank takes c
// more:
//
//   start(i) = max(end(previous on the rank), end(inputs from other ranks) + c),   end(i) = start(i) + cost(kind of i)
//
// Inputs from the same rank need no term, since the rank's order is known to respect them. So an action has at most two
// (a pair: one of its forward, one of its backward), and in an order of execution the whole schedule is one pass over a
// flat array -- 16 bytes read and 8 written an action, no branch.
//
// Activations: one more when F starts, one less at the end of BW or W, and B alone frees the
// share that W does not need; a pair holds both. Work on a rank never overlaps, so the peak follows from the order
// alone.
#include "schedules/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "schedules/validate.h"

namespace hourglass::schedules {

namespace {

constexpr std::uint32_t first_place = 2;  // see Evaluator::Node

void check(const Costs& costs) {
  const auto bad = [](double cost) { return !(cost >= 0.0 && cost <= 1e30); };
  if (bad(costs.forward) || bad(costs.backward_input) || bad(costs.backward_weight) || bad(costs.pair()) ||
      bad(costs.p2p)) {
    throw base::Error(fmt::format("costs F={}, B={}, W={}, FB={}, p2p={} cannot be evaluated", costs.forward,
                                  costs.backward_input, costs.backward_weight, costs.overlapped, costs.p2p),
                      "", "every cost is a number of at least 0 (FB may be left out)");
  }
  const double kept = costs.activation_kept_for_weight;
  if (!(kept >= 0.0 && kept <= 1.0))
    throw base::Error(fmt::format("the share of activations kept for W is {}, not between 0 and 1", kept));
}

std::array<double, 5> cost_of_kinds(const Costs& costs, double divisor) {
  return {costs.forward / divisor, costs.backward_input / divisor, costs.backward_weight / divisor,
          costs.backward() / divisor, costs.pair() / divisor};
}

}  // namespace

Evaluator::Evaluator(const Schedule& schedule)
    : divisor_(static_cast<double>(schedule.stages) / schedule.ranks), parameter_copies_(schedule.parameter_copies()) {
  const Dependencies dependencies = derive_dependencies(schedule);
  const std::vector<std::uint32_t> order = execution_order(dependencies);
  const std::size_t actions = dependencies.rank_begin.back();
  if (order.size() < actions) throw deadlock_error(schedule, dependencies, order);
  rank_begin_ = dependencies.rank_begin;
  kinds_.reserve(actions);
  for (const auto& rank : schedule.actions) {
    for (const Action& action : rank) kinds_.push_back(action.kind);
  }
  place_.resize(actions);
  for (std::uint32_t place = 0; place < actions; ++place) place_[order[place]] = place + first_place;
  nodes_.resize(actions);
  for (std::size_t r = 0; r + 1 < rank_begin_.size(); ++r) {
    std::uint32_t previous = 0;
    for (std::uint32_t i = rank_begin_[r]; i < rank_begin_[r + 1]; ++i) {
      Node node{previous, {1, 1}, static_cast<std::uint32_t>(kinds_[i])};
      std::size_t inputs = 0;
      for (std::uint32_t d = dependencies.input_begin[i]; d < dependencies.input_begin[i + 1]; ++d) {
        const Dependency& input = dependencies.inputs[d];
        if (input.remote) node.input[inputs++] = place_[input.producer];
      }
      previous = place_[i];
      nodes_[previous - first_place] = node;
    }
  }
  end_.resize(actions + first_place);
  end_[0] = 0.0;
  end_[1] = -std::numeric_limits<double>::infinity();
}

void Evaluator::sweep(const Costs& costs) {
  check(costs);
  const std::array<double, 5> cost = cost_of_kinds(costs, divisor_);
  const double p2p = costs.p2p;
  double* const end = end_.data();
  double* out = end + first_place;
  for (const Node& node : nodes_) {
    const double arrival = std::max(end[node.input[0]], end[node.input[1]]) + p2p;
    *out++ = std::max(end[node.previous], arrival) + cost[node.kind];
  }
}

double Evaluator::makespan(const Costs& costs) {
  sweep(costs);
  double last = 0.0;
  for (std::size_t r = 0; r + 1 < rank_begin_.size(); ++r) {
    if (rank_begin_[r] < rank_begin_[r + 1]) last = std::max(last, end_[place_[rank_begin_[r + 1] - 1]]);
  }
  return last;
}

Evaluation Evaluator::evaluate(const Costs& costs) {
  Evaluation result;
  result.makespan = makespan(costs);
  result.parameter_copies = parameter_copies_;
  result.rank_begin = rank_begin_;
  result.start.resize(kinds_.size());
  result.end.resize(kinds_.size());
  const std::array<double, 5> cost = cost_of_kinds(costs, divisor_);
  const double chunk = 1.0 / divisor_, kept = costs.activation_kept_for_weight;
  // What an action holds more while it runs, and then holds less.
  const std::array<double, 5> taken{1.0, 0.0, 0.0, 0.0, 1.0}, freed{0.0, 1.0 - kept, kept, 1.0, 1.0};
  for (std::size_t r = 0; r + 1 < rank_begin_.size(); ++r) {
    RankEvaluation rank;
    std::array<int, 5> count{};
    double held = 0.0, peak = 0.0;
    for (std::uint32_t i = rank_begin_[r]; i < rank_begin_[r + 1]; ++i) {
      const auto kind = static_cast<std::size_t>(kinds_[i]);
      result.end[i] = end_[place_[i]];
      result.start[i] = result.end[i] - cost[kind];
      ++count[kind];
      held += taken[kind];
      peak = std::max(peak, held);
      held -= freed[kind];
    }
    for (std::size_t kind = 0; kind < count.size(); ++kind) rank.busy += count[kind] * cost[kind];
    rank.bubble = std::max(0.0, result.makespan - rank.busy);
    if (rank_begin_[r] < rank_begin_[r + 1]) {
      rank.begin = result.start[rank_begin_[r]];
      rank.end = result.end[rank_begin_[r + 1] - 1];
    }
    rank.peak_activations = peak * chunk;
    rank.overlapped_pairs = count[static_cast<std::size_t>(Kind::overlapped)];
    result.ranks.push_back(rank);
  }
  for (const RankEvaluation& rank : result.ranks) {
    result.span = std::max(result.span, rank.end - rank.begin);
    result.bubble = std::max(result.bubble, rank.bubble);
    result.peak_activations = std::max(result.peak_activations, rank.peak_activations);
    result.overlapped_pairs += rank.overlapped_pairs;
  }
  if (result.makespan > 0.0) result.bubble_ratio = result.bubble / result.makespan;
  for (const RankEvaluation& rank : result.ranks) {
    if (result.span > 0.0)
      result.span_bubble_ratio = std::max(result.span_bubble_ratio, (result.span - rank.busy) / result.span);
  }
  result.span_bubble_ratio = std::max(0.0, result.span_bubble_ratio);
  return result;
}

Evaluation evaluate(const Schedule& schedule, const Costs& costs) { return Evaluator(schedule).evaluate(costs); }

}  // namespace hourglass::schedules
