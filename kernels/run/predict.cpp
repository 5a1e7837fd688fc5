#include "kernels/run/predict.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <thread>
#include <tuple>

#include "schedules/dependencies.h"
#include "schedules/validate.h"

namespace hourglass::kernels {

namespace {

using schedules::Action;
using schedules::Kind;

// By stage, kind, and for pairs the other stage.
using Group = std::tuple<int, Kind, int>;
Group group_of(const Action& action) { return {action.stage, action.kind, action.backward_stage}; }

struct Samples {
  std::vector<double> predicted, seconds, cpu_seconds;
};

}  // namespace

double measure_message(double bytes) {
  constexpr int rounds = 300;
  const Tensor<float> message(1, std::max<Index>(1, static_cast<Index>(bytes / sizeof(float))));
  Exchange<float> exchange(2);
  const auto wait = [](int rank, int round) { return Wait{rank, {}, {false, 1, round}, 1 - rank}; };
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) exchange.send(0, {false, 1, i}, exchange.receive(wait(1, i)));
  });
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    exchange.send(1, {false, 1, i}, message);
    exchange.receive(wait(0, i));
    seconds.push_back(0.5 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  other.join();
  return median(std::move(seconds));
}

double predicted_seconds(const Action& action, const std::vector<StageCost>& costs) {
  const StageCost& own = costs[position(action.stage)];
  switch (action.kind) {
    case Kind::forward:
      return own.forward_s;
    case Kind::backward_input:
      return own.backward_s;
    case Kind::backward_weight:
      return own.weight_s;
    case Kind::backward:
      return own.backward_s + own.weight_s;
    case Kind::overlapped: {
      const StageCost& other = costs[position(action.backward_stage)];
      return own.forward_s + other.backward_s + other.weight_s;
    }
  }
  return 0.0;
}

Prediction predict(const schedules::Schedule& schedule, const std::vector<std::vector<double>>& seconds,
                   double message_s) {
  const schedules::Dependencies d = schedules::derive_dependencies(schedule);
  const std::vector<std::uint32_t> order = schedules::execution_order(d);
  if (order.size() < d.rank_begin.back()) throw schedules::deadlock_error(schedule, d, order);
  std::vector<double> cost, start(order.size()), end(order.size());
  for (const auto& rank : seconds) cost.insert(cost.end(), rank.begin(), rank.end());
  std::vector<bool> first(order.size() + 1, false);
  for (const std::uint32_t begin : d.rank_begin) first[begin] = true;
  for (const std::uint32_t id : order) {
    start[id] = first[id] ? 0.0 : end[id - 1];
    for (std::uint32_t i = d.input_begin[id]; i < d.input_begin[id + 1]; ++i) {
      if (d.inputs[i].remote) start[id] = std::max(start[id], end[d.inputs[i].producer] + message_s);
    }
    end[id] = start[id] + cost[id];
  }
  Prediction prediction;
  if (!end.empty()) prediction.makespan_s = *std::max_element(end.begin(), end.end());
  for (std::size_t r = 0; r + 1 < d.rank_begin.size(); ++r) {
    const auto from = static_cast<std::ptrdiff_t>(d.rank_begin[r]),
               to = static_cast<std::ptrdiff_t>(d.rank_begin[r + 1]);
    prediction.start_s.emplace_back(start.begin() + from, start.begin() + to);
    prediction.end_s.emplace_back(end.begin() + from, end.begin() + to);
  }
  return prediction;
}

Prediction predict(const schedules::Schedule& schedule, const RunCosts& costs) {
  std::vector<std::vector<double>> seconds;
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    seconds.emplace_back();
    for (const Action& action : schedule.actions[r])
      seconds.back().push_back(predicted_seconds(action, costs.ranks[r]));
  }
  return predict(schedule, seconds, costs.message_s);
}

namespace {

std::size_t median_run(const std::vector<Timeline>& runs) {
  std::vector<std::size_t> order(runs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return runs[a].makespan_s < runs[b].makespan_s; });
  return order[(order.size() - 1) / 2];
}

std::map<Group, Samples> samples_of(const schedules::Schedule& schedule, const RunCosts& costs,
                                    const std::vector<Timeline>& runs) {
  std::map<Group, Samples> groups;
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
      Samples& samples = groups[group_of(schedule.actions[r][i])];
      samples.predicted.push_back(predicted_seconds(schedule.actions[r][i], costs.ranks[r]));
      for (const Timeline& run : runs) {
        const ActionTime& time = run.actions[r][i];
        samples.seconds.push_back(time.end_s - time.start_s);
        samples.cpu_seconds.push_back(time.cpu_s);
      }
    }
  }
  return groups;
}

}  // namespace

RunComparison compare_runs(const schedules::Schedule& schedule, const RunCosts& costs,
                           const std::vector<Timeline>& runs) {
  RunComparison comparison;
  comparison.predicted_s = predict(schedule, costs).makespan_s;
  comparison.median_run = median_run(runs);
  const Timeline& middle = runs[comparison.median_run];
  comparison.executed_s = middle.makespan_s;
  comparison.fastest_s = middle.makespan_s;
  for (const Timeline& run : runs) comparison.fastest_s = std::min(comparison.fastest_s, run.makespan_s);
  const auto replayed = [&](const auto& seconds_of) {
    std::vector<std::vector<double>> seconds;
    for (const auto& actions : middle.actions) {
      seconds.emplace_back();
      for (const ActionTime& time : actions) seconds.back().push_back(seconds_of(time));
    }
    return predict(schedule, seconds, costs.message_s).makespan_s;
  };
  comparison.core_s = replayed([](const ActionTime& time) { return time.cpu_s; });
  comparison.elapsed_s = replayed([](const ActionTime& time) { return time.end_s - time.start_s; });
  for (auto& [group, samples] : samples_of(schedule, costs, runs)) {
    const auto& [stage, kind, backward_stage] = group;
    const auto count = static_cast<int>(samples.seconds.size() / runs.size());
    comparison.actions.push_back({kind, stage, backward_stage, count, median(std::move(samples.predicted)),
                                  median(std::move(samples.seconds)), median(std::move(samples.cpu_seconds))});
  }
  return comparison;
}

}  // namespace hourglass::kernels
