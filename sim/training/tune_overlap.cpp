// Under each split of the SMs every distinct order of a pair is timed on four MoE layers (as many as DeepSeek's trace
// has, so that what runs over into the next layer counts), which takes microseconds; a whole step is simulated only for
// the best order of each split. Ties go to the plan's own order. The split moves both sides: GEMMs lose SMs, dispatch
// and combine gain them until the wires limit (hardware/network_cost.cpp).
#include "sim/training/tune_overlap.h"

#include <algorithm>

#include "base/error.h"
#include "sim/training/blocks.h"
#include "sim/training/simulate.h"

namespace hourglass::sim {

namespace {

constexpr std::size_t timed_layers = 4;
constexpr std::int64_t splits[] = {8, 12, 16, 20, 24, 28, 32, 40};

double pair_seconds(const Inputs& inputs, const UnitPrices& prices) {
  const std::vector<Unit> layers(timed_layers, layer_unit(model::expert_kind(inputs.model)));
  return base::seconds(block_duration(schedules::Kind::overlapped, layers, layers, prices)) / timed_layers;
}

OverlapChoice best_order(const Inputs& inputs, const std::vector<OverlapOrder>& orders) {
  UnitPrices prices(inputs);
  OverlapChoice best{inputs.plan.overlap_order, inputs.plan.communication_sms, pair_seconds(inputs, prices), 0.0};
  for (const OverlapOrder& order : orders) {
    prices.set_overlap_order(order);
    const double seconds = pair_seconds(inputs, prices);
    if (seconds < best.pair_s) best = {order, best.communication_sms, seconds, 0.0};
  }
  return best;
}

double step_seconds(Inputs inputs, const OverlapChoice& choice) {
  inputs.plan.overlap_order = choice.order;
  inputs.plan.communication_sms = choice.communication_sms;
  return simulate(inputs).step_time_s;
}

void check(const Inputs& inputs) {
  const schedules::Schedule schedule = plan_schedule(inputs.plan);
  bool pairs = false;
  for (const auto& rank : schedule.actions) {
    for (const schedules::Action& action : rank) pairs |= action.kind == schedules::Kind::overlapped;
  }
  if (!pairs) {
    throw base::Error("schedule " + schedule.name + " has no overlapped pairs to tune", inputs.plan.name,
                      "use dualpipe, dualpipev or interleaved-overlap");
  }
  if (model::experts_of(inputs.model) == nullptr || inputs.plan.parallel.expert == 1) {
    throw base::Error("there is no all-to-all to overlap", inputs.plan.name, "set expert_parallel above 1");
  }
}

}  // namespace

OverlapTuning tune_overlap(const Inputs& inputs) {
  check(inputs);
  const std::vector<OverlapOrder> orders = all_overlap_orders();
  OverlapTuning tuning;
  tuning.orders = orders.size();
  tuning.given = {inputs.plan.overlap_order, inputs.plan.communication_sms, pair_seconds(inputs, UnitPrices(inputs)),
                  0.0};
  tuning.given.step_s = step_seconds(inputs, tuning.given);
  tuning.best = tuning.given;
  std::vector<std::int64_t> tried(std::begin(splits), std::end(splits));
  if (std::find(tried.begin(), tried.end(), inputs.plan.communication_sms) == tried.end())
    tried.push_back(inputs.plan.communication_sms);
  std::sort(tried.begin(), tried.end());
  for (const std::int64_t sms : tried) {
    if (sms <= 0 || sms >= inputs.cluster.sms) continue;
    Inputs changed = inputs;
    changed.plan.communication_sms = sms;
    OverlapChoice choice = best_order(changed, orders);
    choice.step_s = step_seconds(changed, choice);
    if (choice.step_s < tuning.best.step_s) tuning.best = choice;
    tuning.by_split.push_back(std::move(choice));
  }
  tuning.splits = tuning.by_split.size();
  return tuning;
}

}  // namespace hourglass::sim
