// Both bounds count layers of the model's commonest kind, the others taken as nothing. A rank that may spend (or hold)
// so much has room for so many of them, and together the ranks must have room for all, in every copy of the pipeline.
// The least allowance with which they do is the bound: no split gives its fullest rank less.
//
// Time: a layer takes its F, B and W of one micro-batch; the last stage's rank also has the model's end (head and MTP
// modules). Where pairs overlap, computation and communication are a bound each. A second bound spreads all work
// evenly, layers of every kind and both ends included. The optimizer and the all-gather of evenly spread parameters
// follow.
//
// Memory, at the moment when a rank holds the most micro-batches: a layer on stage s holds its parameters, gradients,
// optimizer state, and activations of as many micro-batches as s has then. Each stage that must have a layer of that
// kind has one (where no others stand between them, those few before or behind may fill a stage each, and no more); the
// rest go where they hold least.
#include "sim/training/fast/step_bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/training/memory.h"
#include "sim/training/tail.h"

namespace hourglass::sim {

namespace {

// The least allowance with which ranks have room for `layers` of `each`, where `ends` of the ranks have spent some.
base::Time least_allowance(std::int64_t layers, base::Time each, std::size_t ranks,
                           const std::vector<base::Time>& ends) {
  if (each <= 0) return 0;
  const auto room = [&](base::Time allowance) {
    base::Time sum = allowance / each * static_cast<base::Time>(ranks - ends.size());
    for (const base::Time end : ends) sum += allowance > end ? (allowance - end) / each : 0;
    return sum;
  };
  base::Time least = layers / static_cast<base::Time>(ranks) * each;
  while (room(least) < layers) least += each;
  for (const base::Time end : ends) {  // or just enough for one more beside an end
    const base::Time fits = end + std::max<base::Time>(0, least - end) / each * each;
    if (fits < least && room(fits) >= layers) least = fits;
  }
  return least;
}

// Of the busiest rank, for one micro-batch in each copy of the pipeline.
template <class Part>
base::Time least_busy(const ContentTable& contents, const schedules::Traits& schedule, std::int64_t ranks,
                      const StepCosts::LeastWork& work, const Part& part) {
  const base::Time last = part(work.last), copies = schedule.copies;
  base::Time total = part(work.first) + last;
  for (std::size_t kind = 0; kind < work.layers.size(); ++kind)
    total += part(work.layers[kind]) * contents.counts()[kind];
  const std::vector<base::Time> ends(static_cast<std::size_t>(std::min(copies, ranks)), last);
  const auto counted = static_cast<std::size_t>(contents.commonest().kind);
  const base::Time whole = least_allowance(contents.counts()[counted] * copies, part(work.layers[counted]),
                                           static_cast<std::size_t>(ranks), ends);
  return std::max({total * copies / ranks, whole, last});
}

// The optimizer and the all-gather of a rank with an even part of the parameters.
base::Time least_tail(const Inputs& inputs, const model::ParameterCount& all, int copies) {
  const model::Parallelism& parallel = inputs.plan.parallel;
  const model::ParameterCount local = model::local_parameters(all, parallel);
  const double part = static_cast<double>(copies) / static_cast<double>(parallel.pipeline);
  base::Time least = 0;
  for (const model::ParameterCount& one :
       {model::ParameterCount{local.dense * part, 0.0}, {0.0, local.expert * part}}) {
    const TailTimes times = tail_times(inputs, inputs.plan.sharding(), one, copies);
    least = std::max(least, times.optimizer + times.all_gather);
  }
  return least;
}

}  // namespace

base::Time least_step(const Inputs& inputs, const ContentTable& contents,
                      const std::vector<model::ParameterCount>& parameters, const schedules::Traits& schedule,
                      const StepCosts& costs) {
  using Work = StepCosts::UnitWork;
  const auto split = [](const Work& w) { return w.split; };
  const auto chain = [](const Work& w) { return w.forward + w.backward; };
  const auto fused_computation = [](const Work& w) { return w.forward + w.backward_computation; };
  const auto computation = [](const Work& w) { return w.computation; };
  const auto communication = [](const Work& w) { return w.communication; };
  const auto busy = [&](const auto& part) {
    return least_busy(contents, schedule, inputs.plan.parallel.pipeline, costs.least_work(), part);
  };
  const base::Time of_one = schedule.pairs   ? std::max(busy(computation), busy(communication))
                            : schedule.fused ? std::max(busy(chain), busy(fused_computation))
                                             : busy(split);
  return of_one * (inputs.plan.micro_batches() / schedule.copies) +
         least_tail(inputs, parameters.back(), schedule.copies);
}

double least_memory_bytes(const Inputs& inputs, const ContentTable& contents,
                          const std::vector<model::ParameterCount>& parameters, const StepProgram& program,
                          StepCosts& costs) {
  const ContentTable::Commonest& counted = contents.commonest();
  const ContentTable::Id layer_id = contents.layer(counted.kind), last_id = contents.closing();
  const model::Parallelism& parallel = inputs.plan.parallel;
  const auto still = [&](ContentTable::Id id) {
    const model::ParameterCount local = model::local_parameters(parameters[static_cast<std::size_t>(id)], parallel);
    return static_memory(inputs.plan, local, program.copies(), 0.0).total();
  };
  const double layer = still(layer_id), last = still(last_id);
  const model::ActivationBytes& of_layer = costs.activations(layer_id);
  const model::ActivationBytes& of_last = costs.activations(last_id);
  const auto stages = static_cast<std::size_t>(program.stages());
  const auto must_have_one = [&](std::size_t stage) {
    return counted.together && stage >= static_cast<std::size_t>(counted.before) &&
           stage + static_cast<std::size_t>(counted.behind) + 1 < stages;
  };
  struct Room {
    double taken = 0.0, each = 0.0;
  };
  std::vector<Room> ranks;
  double largest = 0.0;
  std::int64_t placed = 0;
  for (std::size_t r = 0; r < program.uses().size(); ++r) {
    Room room{0.0, std::numeric_limits<double>::infinity()};
    for (const StepProgram::Held& held : program.fullest(r)) {
      const double one = layer + held.whole * of_layer.total + held.kept * of_layer.kept_for_weight;
      room.each = std::min(room.each, one);
      if (held.stage + 1 == stages)
        room.taken += last + held.whole * of_last.total + held.kept * of_last.kept_for_weight;
      else if (must_have_one(held.stage)) {
        room.taken += one;
        ++placed;
      }
    }
    largest = std::max(largest, room.taken);
    ranks.push_back(room);
  }
  // Grows until all have room.
  const auto rest =
      static_cast<double>(contents.counts()[static_cast<std::size_t>(counted.kind)] * program.copies() - placed);
  const auto fits = [&](double allowance) {
    double layers = 0.0;
    for (const Room& room : ranks) layers += std::floor(std::max(0.0, allowance - room.taken) / room.each);
    return layers >= rest;
  };
  double low = largest, high = largest;
  for (const Room& room : ranks) high = std::max(high, room.taken + std::max(rest, 0.0) * room.each);
  for (int i = 0; i < 24 && !fits(low); ++i) (fits(0.5 * (low + high)) ? high : low) = 0.5 * (low + high);
  return low + costs.buffers(parallel.pipeline);
}

}  // namespace hourglass::sim
