// simulate() spends its time on things that most plans of a search share: it prices every layer, splits the stages,
// validates the schedule, writes a task graph and frees it again. Here each of these is kept by what it depends on:
//   prices and block durations   by StepCosts (a search has hundreds to thousands of these)
//   the order of execution       by StepProgram (schedule, ranks, micro-batches, chunks)
//   parameters of a stage        by its content
// What is left for a plan is the balance of its layers, the tail, and the sweep over the program. Nothing is
// approximated: tests compare step time and memory with simulate() on random plans.
//
// Limits: simulate() keeps what lets something outside a block reach into it or differs between GPUs (contention on the
// NIC, plan.network, plan.variation), and gradients and parameters that move beside the pipeline.
#include "sim/training/fast/fast_step.h"

#include <algorithm>

#include "base/error.h"
#include "sim/training/lower.h"
#include "sim/training/memory.h"
#include "sim/training/simulate.h"
#include "sim/training/stages.h"
#include "sim/training/tail.h"

namespace hourglass::sim {

namespace {

using schedules::Kind;

StepCosts::UnitWork work_of(Unit unit, const UnitPrices& prices) {
  Block f = build_block(Kind::forward, {unit}, {}, prices), b = build_block(Kind::backward_input, {unit}, {}, prices),
        w = build_block(Kind::backward_weight, {unit}, {}, prices);
  for (Block* each : {&f, &b, &w}) each->host = 0;  // hides behind other units of the block
  StepCosts::UnitWork work;
  work.forward = duration(f), work.backward = duration(b);
  work.backward_computation = b.compute + w.compute;
  work.split = work.forward + work.backward + w.compute;
  work.computation = f.compute + work.backward_computation;
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input}) {
    std::array<base::Time, 2> alone_and_beside{};
    for (std::size_t overlapped = 0; overlapped < 2; ++overlapped) {
      for (const PricedPart& part : prices.of(unit, pass, overlapped == 1)) {
        for (const PricedRun& run : part) alone_and_beside[overlapped] += run.communication ? run.work : 0;
      }
    }
    work.communication += std::min(alone_and_beside[0], alone_and_beside[1]);
  }
  return work;
}

StepCosts::LeastWork least_work_of(const Inputs& inputs, const UnitPrices& prices) {
  StepCosts::LeastWork least;
  for (int kind = 0; kind < inputs.model.kind_count(); ++kind)
    least.layers.push_back(work_of(layer_unit(kind), prices));
  least.first = work_of({Unit::embedding}, prices);
  for (const Unit unit : closing_units(inputs)) {
    const StepCosts::UnitWork each = work_of(unit, prices);
    for (const auto part :
         {&StepCosts::UnitWork::forward, &StepCosts::UnitWork::backward, &StepCosts::UnitWork::backward_computation,
          &StepCosts::UnitWork::split, &StepCosts::UnitWork::computation, &StepCosts::UnitWork::communication})
      least.last.*part += each.*part;
  }
  return least;
}

// Buffers of a plan without a pipeline; with one, messages come on top.
double buffers_without_pipeline(const Inputs& inputs) {
  Inputs alone = inputs;
  alone.plan.parallel.pipeline = 1;
  return buffer_bytes(alone);
}

}  // namespace

bool fast_step_covers(const Inputs& inputs) {
  const Plan& plan = inputs.plan;
  return !plan.network && !plan.variation && !plan.contention && plan.sharding().moves_at_step_end();
}

StepCosts::StepCosts(const Inputs& inputs, const ContentTable& contents)
    : contents_(&contents),
      prices_(inputs),
      times_(contents, prices_),
      unit_activations_(unit_count(inputs.model)),
      activations_(contents.size(), {-1.0, 0.0}),
      buffers_alone_(buffers_without_pipeline(inputs)),
      boundary_bytes_(model::boundary_bytes(layer_context(inputs))),
      least_(least_work_of(inputs, prices_)) {
  for (const Unit unit : units_of(inputs)) unit_activations_[unit.number()] = unit_activations(inputs, unit);
}

const model::ActivationBytes& StepCosts::activations(ContentTable::Id content) {
  model::ActivationBytes& known = activations_[static_cast<std::size_t>(content)];
  if (known.total >= 0.0) return known;
  known = {};
  for (const Unit unit : contents_->units(content)) {
    known.total += unit_activations_[unit.number()].total;
    known.kept_for_weight += unit_activations_[unit.number()].kept_for_weight;
  }
  return known;
}

const std::vector<std::vector<std::int64_t>>& StepCosts::splits(const BalanceProblem& problem) {
  const auto [known, added] = splits_.try_emplace(problem.identity);
  if (added) known->second = balanced_splits(*contents_, problem, times_);
  return known->second;
}

std::vector<model::ParameterCount> content_parameters(const Inputs& inputs, const ContentTable& contents) {
  std::vector<model::ParameterCount> all;
  for (ContentTable::Id id = 0; id < static_cast<ContentTable::Id>(contents.size()); ++id) {
    // stage_parameters asks whether the stage is the first.
    const bool first = contents.is_first(id);
    StageLayout layout;
    if (!first) layout.stages.emplace_back();
    layout.stages.push_back(contents.units(id));
    all.push_back(stage_parameters(inputs, layout, first ? 0 : 1));
  }
  return all;
}

base::Time StepCandidate::step(const base::Time* ends) const {
  base::Time reduced = 0;
  for (std::size_t r = 0; r < reduce_scatter.size(); ++r) reduced = std::max(reduced, ends[r] + reduce_scatter[r]);
  return reduced + closing;
}

const StepPreparer::Tail& StepPreparer::tail(const Inputs& inputs, const model::ParameterCount& local, int copies) {
  for (const Tail& known : tails_) {
    if (known.dense == local.dense && known.expert == local.expert) return known;
  }
  const TailTimes times = tail_times(inputs, inputs.plan.sharding(), local, copies);
  tails_.push_back({local.dense, local.expert, times.reduce_scatter, times.optimizer + times.all_gather});
  return tails_.back();
}

void StepPreparer::prepare(const Inputs& inputs, const StepProgram& program, StepCosts& costs,
                           std::vector<StepCandidate>& out) {
  tails_.clear();
  if (!inputs.plan.layers_per_stage.empty()) {
    out.resize(1);
    out.front().layers = inputs.plan.layers_per_stage;
  } else {
    const std::vector<std::vector<std::int64_t>>& splits = costs.splits(program.balance());
    out.resize(splits.size());
    for (std::size_t i = 0; i < splits.size(); ++i) out[i].layers = splits[i];
  }
  for (StepCandidate& candidate : out) add(inputs, program, costs, candidate);
}

void StepPreparer::add(const Inputs& inputs, const StepProgram& program, StepCosts& costs, StepCandidate& candidate) {
  const std::vector<ContentTable::Id> ids = contents_.of(candidate.layers);
  const auto id_of = [&](int stage) { return ids[static_cast<std::size_t>(stage)]; };
  candidate.durations.clear();
  for (const StepProgram::Block& block : program.blocks()) {
    candidate.durations.push_back(costs.times().of(
        block.kind, id_of(block.stage), id_of(block.backward_stage >= 0 ? block.backward_stage : block.stage)));
  }
  activations_.clear();
  for (const ContentTable::Id id : ids) activations_.push_back(costs.activations(id));
  const model::Parallelism& parallel = inputs.plan.parallel;
  const double buffers = costs.buffers(parallel.pipeline);
  candidate.message = message_time(inputs);
  candidate.closing = candidate.bound = 0;
  candidate.largest_memory_bytes = 0.0;
  candidate.reduce_scatter.clear();
  for (std::size_t r = 0; r < program.uses().size(); ++r) {
    model::ParameterCount local;
    for (const std::size_t stage : program.balance().stages_of_rank[r]) {
      const model::ParameterCount part =
          model::local_parameters(parameters_[static_cast<std::size_t>(ids[stage])], parallel);
      local.dense += part.dense;
      local.expert += part.expert;
    }
    const Tail& closing = tail(inputs, local, program.copies());
    candidate.reduce_scatter.push_back(closing.reduce_scatter);
    candidate.closing = std::max(candidate.closing, closing.closing);
    base::Time busy = closing.reduce_scatter;
    for (const StepProgram::Use& use : program.uses()[r]) busy += candidate.durations[use.block] * use.times;
    candidate.bound = std::max(candidate.bound, busy);
    Memory memory = static_memory(inputs.plan, local, program.copies(), buffers);
    memory.activations = program.peak_activations(r, activations_);
    candidate.largest_memory_bytes = std::max(candidate.largest_memory_bytes, memory.total());
  }
  candidate.bound += candidate.closing;
}

FastStep fast_step(const Inputs& inputs) {
  FastStep out;
  if (!fast_step_covers(inputs)) {
    const Result result = simulate(inputs);
    return {base::time_from_seconds(result.step_time_s), result.largest_memory_bytes(), result.layers_per_stage};
  }
  const schedules::Schedule schedule = plan_schedule(inputs.plan);
  check_stage_count(inputs, static_cast<std::size_t>(schedule.stages));
  const StepProgram program(schedule);
  const ContentTable contents(inputs);
  StepCosts costs(inputs, contents);
  const std::vector<model::ParameterCount> parameters = content_parameters(inputs, contents);
  StepPreparer preparer(contents, parameters);
  std::vector<StepCandidate> candidates;
  preparer.prepare(inputs, program, costs, candidates);
  std::vector<base::Time> ends(program.uses().size());
  for (StepCandidate& candidate : candidates) {
    program.sweep_one(candidate.durations.data(), candidate.message, ends.data());
    const base::Time step = candidate.step(ends.data());
    if (!out.layers_per_stage.empty() && step >= out.step) continue;
    out = {step, candidate.largest_memory_bytes, std::move(candidate.layers)};
  }
  return out;
}

}  // namespace hourglass::sim
