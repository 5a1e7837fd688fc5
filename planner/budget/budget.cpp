// From a step to a budget.
//
// Stage. GPU-hours = steps x step time x GPUs. Every stage is planned anew: its sequence length, batch and context
// parallelism replace the plan's, and a full step is simulated.
//
// Batch ramp. While the batch b grows linearly with the tokens seen, from b0 to b1 over T tokens, the time is
//     integral of s(b(t)) dt = T / (b1 - b0) x integral over b of s(b),
// with s(b) the seconds a token takes at batch b. s is sampled at a few batches (a step of each is simulated) and
// integrated by the trapezoid rule. A batch too small for the plan's schedule runs under small_batch_schedule.
//
// These are net hours: nothing fails, nothing is stored, nobody waits. planner/budget/goodput.cpp turns them into hours on the
// calendar, planner/budget/uncertainty.cpp draws their range. Stages given in hours are taken as they are.
//
// Other runs of the plan file add to the programme: another plan is budgeted with its own failures; part of a stage,
// and hours given, fail as the plan's own run does. All are taken to vary as the plan's own run.
#include "planner/budget/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/counts.h"
#include "sim/training/fast/fast_step.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

constexpr int ramp_samples = 6;

// Seconds a token at one global batch.
struct Sample {
  std::int64_t batch = 0;
  double seconds_per_token = 0.0;
  bool small = false;  // ran under small_batch_schedule
};

class Simulator {
 public:
  Simulator(const sim::Inputs& inputs, const Progress& progress, std::size_t total)
      : inputs_(inputs), progress_(progress), total_(total) {}

  sim::Result step(const sim::TrainingStage& stage, std::int64_t batch, const hardware::Profile& profile, bool small) {
    if (progress_) progress_(done_, total_);
    ++done_;
    sim::Inputs inputs = inputs_;
    inputs.profile = profile;
    inputs.plan = sim::plan_for_stage(inputs_.plan, stage, batch);
    if (small) inputs.plan.schedule = inputs.plan.small_batch_schedule;
    sim::complete_parallelism(inputs.plan, inputs.model, inputs.cluster,
                              fmt::format("{} stage '{}'", inputs.plan.name, stage.name));
    return sim::simulate_plan(inputs);
  }

  // Seconds of a step whose layers are split already, without contention on the NICs.
  double plain_step(const sim::TrainingStage& stage, const hardware::Profile& profile,
                    const std::vector<std::int64_t>& layers) const {
    sim::Inputs inputs = inputs_;
    inputs.profile = profile;
    inputs.plan = sim::plan_for_stage(inputs_.plan, stage, stage.global_batch);
    inputs.plan.layers_per_stage = layers;
    inputs.plan.contention = false;
    sim::complete_parallelism(inputs.plan, inputs.model, inputs.cluster, inputs.plan.name);
    return base::seconds(sim::fast_step(inputs).step);
  }

  // Falls back to the small-batch schedule where the plan's own has too few micro-batches.
  Sample sample(const sim::TrainingStage& stage, std::int64_t batch) {
    const auto seconds = [](const sim::Result& result) { return result.step_time_s / result.tokens_per_step; };
    const bool small = !inputs_.plan.small_batch_schedule.empty() && too_small(stage, batch);
    return {batch, seconds(step(stage, batch, inputs_.profile, small)), small};
  }

 private:
  // Whether the plan's own schedule does not take so few micro-batches.
  bool too_small(const sim::TrainingStage& stage, std::int64_t batch) const {
    sim::Plan plan = sim::plan_for_stage(inputs_.plan, stage, batch);
    if (!sim::legal(plan, inputs_.model, inputs_.cluster)) return false;
    plan.parallel.data = sim::data_parallel(plan);
    return schedules::refusal(plan.schedule, sim::plan_shape(plan)).has_value();
  }

  const sim::Inputs& inputs_;
  const Progress& progress_;
  std::size_t done_ = 0, total_ = 0;
};

// Batches from the ramp's first to the stage's own, each runnable: an even number of micro-batches a pipeline.
std::vector<std::int64_t> ramp_batches(const sim::Inputs& inputs, const sim::TrainingStage& stage) {
  const model::Parallelism& p = inputs.plan.parallel;
  const std::int64_t replicas = inputs.plan.gpus / (p.tensor * stage.context_parallel * p.pipeline);
  const std::int64_t quantum = 2 * replicas * inputs.plan.micro_batch.sequences;
  if (stage.ramp->first_batch > stage.global_batch) {
    throw base::Error(fmt::format("the ramp starts at {} sequences, above global_batch {}", stage.ramp->first_batch,
                                  stage.global_batch),
                      fmt::format("{} stage '{}'", inputs.plan.name, stage.name), "start lower");
  }
  std::vector<std::int64_t> batches;
  for (int i = 0; i < ramp_samples; ++i) {
    const double share = static_cast<double>(i) / (ramp_samples - 1);
    const double exact = static_cast<double>(stage.ramp->first_batch) +
                         share * static_cast<double>(stage.global_batch - stage.ramp->first_batch);
    const std::int64_t batch =
        std::max(quantum, static_cast<std::int64_t>(std::llround(exact / static_cast<double>(quantum))) * quantum);
    if (batches.empty() || batch > batches.back()) batches.push_back(batch);
  }
  return batches;
}

RampBudget ramp_budget(const sim::Inputs& inputs, const sim::TrainingStage& stage, Simulator& simulator) {
  std::vector<Sample> samples;
  for (const std::int64_t batch : ramp_batches(inputs, stage)) samples.push_back(simulator.sample(stage, batch));
  double integral = 0.0, width = 0.0;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    const auto step = static_cast<double>(samples[i].batch - samples[i - 1].batch);
    integral += step * (samples[i].seconds_per_token + samples[i - 1].seconds_per_token) / 2.0;
    width += step;
  }
  const double seconds_per_token = width > 0.0 ? integral / width : samples.front().seconds_per_token;
  RampBudget ramp;
  ramp.tokens = stage.ramp->tokens;
  ramp.first_batch = stage.ramp->first_batch;
  ramp.gpu_hours = ramp.tokens * seconds_per_token * static_cast<double>(inputs.plan.gpus) / base::seconds_per_hour;
  for (const Sample& sample : samples) {
    if (!sample.small) continue;
    ramp.small_batch_schedule = inputs.plan.small_batch_schedule;
    ramp.small_batch_below = sample.batch + 1;
  }
  for (const Sample& sample : samples) {
    if (!sample.small && ramp.small_batch_below > 0) {
      ramp.small_batch_below = sample.batch;
      break;
    }
  }
  return ramp;
}

double mean_batch(const RampBudget& ramp, std::int64_t last) {
  // Steps are tokens over batch; with b linear in tokens the mean of 1/b is ln(b1/b0) / (b1 - b0).
  const auto b0 = static_cast<double>(ramp.first_batch), b1 = static_cast<double>(last);
  return b1 > b0 ? (b1 - b0) / std::log(b1 / b0) : b1;
}

StageBudget stage_budget(const sim::Inputs& inputs, const sim::TrainingStage& stage, Simulator& simulator) {
  StageBudget budget;
  budget.name = stage.name;
  const auto gpus = static_cast<double>(inputs.plan.gpus);
  if (stage.gpu_hours > 0.0 || (stage.tokens <= 0.0 && stage.steps <= 0.0)) {
    budget.gpu_hours = stage.gpu_hours;
  } else {
    budget.sequence_length = stage.sequence_length;
    budget.global_batch = stage.global_batch;
    budget.step = simulator.step(stage, stage.global_batch, inputs.profile, false);
    const double tokens_per_step = budget.step->tokens_per_step;
    budget.tokens = stage.tokens > 0.0 ? stage.tokens : stage.steps * tokens_per_step;
    double steady_tokens = budget.tokens;
    if (stage.ramp) {
      budget.ramp = ramp_budget(inputs, stage, simulator);
      steady_tokens -= budget.ramp->tokens;
      budget.gpu_hours += budget.ramp->gpu_hours;
      budget.steps += budget.ramp->tokens /
                      (mean_batch(*budget.ramp, stage.global_batch) * static_cast<double>(stage.sequence_length));
    }
    budget.steps += steady_tokens / tokens_per_step;
    budget.gpu_hours += steady_tokens / tokens_per_step * budget.step->step_time_s * gpus / base::seconds_per_hour;
  }
  budget.days = budget.gpu_hours / gpus * base::seconds_per_hour / base::seconds_per_day;
  budget.cost_usd = budget.gpu_hours * inputs.cluster.price_per_gpu_hour;
  return budget;
}

// Hours of all simulated stages under another profile, scaled by the ratio of steps without contention: ramps follow
// their stage. `plain`: such steps under the plan's own profile, filled at the first call.
double hours_under(const sim::Inputs& inputs, const Budget& budget, const hardware::Profile& profile,
                   const Simulator& simulator, std::vector<double>& plain) {
  const auto step = [&](std::size_t i, const hardware::Profile& under) {
    return simulator.plain_step(inputs.plan.stages[i], under, budget.stages[i].step->layers_per_stage);
  };
  if (plain.empty()) {
    for (std::size_t i = 0; i < budget.stages.size(); ++i)
      plain.push_back(budget.stages[i].step ? step(i, inputs.profile) : 0.0);
  }
  double hours = 0.0;
  for (std::size_t i = 0; i < budget.stages.size(); ++i) {
    if (budget.stages[i].step) hours += budget.stages[i].gpu_hours * (step(i, profile) / plain[i]);
  }
  return hours;
}

double simulated_hours(const Budget& budget) {
  double hours = 0.0;
  for (const StageBudget& stage : budget.stages) hours += stage.step ? stage.gpu_hours : 0.0;
  return hours;
}

// Of the longest simulated stage: checkpoints are written between its steps.
double typical_step(const Budget& budget) {
  double hours = 0.0, step = 0.0;
  for (const StageBudget& stage : budget.stages) {
    if (!stage.step || stage.gpu_hours <= hours) continue;
    hours = stage.gpu_hours;
    step = stage.step->step_time_s;
  }
  return step;
}

GoodputInputs goodput_inputs(const sim::Inputs& inputs, const Budget& budget) {
  const double mtp = inputs.plan.mtp ? model::mtp_parameters(inputs.model).total() : 0.0;
  return {inputs.plan.operations.reliability,
          inputs.plan.gpus,
          inputs.cluster.gpus_per_host,
          model::total_parameters(inputs.model) + mtp * static_cast<double>(inputs.model.mtp_modules),
          budget.gpu_hours / static_cast<double>(inputs.plan.gpus) * base::seconds_per_hour,
          typical_step(budget)};
}

void add_range(const sim::Inputs& inputs, Budget& budget, Simulator& simulator) {
  RangeInputs range;
  range.profile = &inputs.profile;
  range.simulated_hours = simulated_hours(budget);
  range.given_hours = budget.gpu_hours - range.simulated_hours;
  range.imbalance = inputs.plan.parallel.expert > 1 && !inputs.plan.network;
  range.uncertainty = inputs.plan.operations.uncertainty;
  range.goodput_inputs = goodput_inputs(inputs, budget);
  range.goodput = budget.goodput;
  std::vector<double> plain;
  const Range drawn = draw_range(
      range, [&](const hardware::Profile& profile) { return hours_under(inputs, budget, profile, simulator, plain); });
  budget.total_gpu_hours = drawn.net_gpu_hours;
  budget.gross_gpu_hours = drawn.gross_gpu_hours;
  budget.sensitivities = drawn.sensitivities;
}

RunBudget run_budget(const Budget& own, const sim::ExtraRun& run) {
  RunBudget out;
  out.name = run.name;
  out.count = run.count;
  const auto count = static_cast<double>(run.count);
  if (!run.plan_file.empty()) {
    const sim::Inputs inputs = sim::load_inputs(run.plan_file, {});
    if (!inputs.plan.operations.runs.empty())
      throw base::Error("a plan of a run has runs of its own", run.plan_file, "list them all in one plan");
    const Budget other = net_budget(inputs, nullptr);
    out.what = fmt::format("plan {} on {} GPUs", other.plan, other.gpus);
    out.gpu_hours = count * other.gpu_hours;
    out.gross_gpu_hours = count * other.goodput.gross_gpu_hours;
    return out;
  }
  out.what = "hours given";
  out.gpu_hours = count * run.gpu_hours;
  for (const StageBudget& stage : own.stages) {
    if (stage.name != run.stage) continue;
    double share = run.share;
    if (run.tokens > 0.0) {
      if (!stage.step) throw base::Error("tokens of a stage that has none", "run " + run.name, "give a share");
      share = run.tokens / stage.step->tokens_per_step * stage.step->step_time_s * static_cast<double>(own.gpus) /
              base::seconds_per_hour / stage.gpu_hours;
    }
    out.what = fmt::format("{:.3g} % of {} again", share * 100.0, stage.name);
    out.gpu_hours = count * share * stage.gpu_hours;
  }
  const double gross = own.gpu_hours > 0.0 ? own.goodput.gross_gpu_hours / own.gpu_hours : 1.0;
  out.gross_gpu_hours = out.gpu_hours * gross;
  return out;
}

void add_runs(const sim::Inputs& inputs, Budget& budget) {
  double gross = budget.goodput.gross_gpu_hours;
  for (const sim::ExtraRun& run : inputs.plan.operations.runs) {
    budget.runs.push_back(run_budget(budget, run));
    gross += budget.runs.back().gross_gpu_hours;
  }
  const double all = budget.goodput.gross_gpu_hours > 0.0 ? gross / budget.goodput.gross_gpu_hours : 1.0;
  const Quantiles& own = budget.gross_gpu_hours;
  budget.programme_gpu_hours = {own.p10 * all, own.p50 * all, own.p90 * all};
}

std::size_t count_steps(const sim::Inputs& inputs, bool range) {
  std::size_t simulated = 0, ramps = 0;
  for (const sim::TrainingStage& stage : inputs.plan.stages) {
    simulated += stage.tokens > 0.0 || stage.steps > 0.0 ? 1 : 0;
    ramps += stage.ramp ? 1 : 0;
  }
  const std::size_t moved = range ? 2 * (cost_errors(inputs.profile).size() + 1) : 0;
  return simulated * (1 + moved) + ramps * ramp_samples;
}

Budget stages_budget(const sim::Inputs& inputs, Simulator& simulator) {
  if (inputs.plan.stages.empty()) {
    throw base::Error(
        "the plan has no training stages, so there is nothing to budget", inputs.plan.name,
        "add \"stages\": [{\"name\": \"pre-training\", \"tokens\": ...}], or use 'simulate' for a single step");
  }
  Budget budget;
  budget.plan = inputs.plan.name;
  budget.model = inputs.model.name;
  budget.cluster = inputs.cluster.name;
  budget.profile = inputs.profile.name;
  budget.gpus = inputs.plan.gpus;
  budget.price_per_gpu_hour = inputs.cluster.price_per_gpu_hour;
  for (const sim::TrainingStage& stage : inputs.plan.stages) {
    budget.stages.push_back(stage_budget(inputs, stage, simulator));
    budget.gpu_hours += budget.stages.back().gpu_hours;
    budget.days += budget.stages.back().days;
    budget.cost_usd += budget.stages.back().cost_usd;
  }
  const sim::Operations& operations = inputs.plan.operations;
  budget.goodput = goodput(goodput_inputs(inputs, budget));
  budget.prices.push_back({"USD", inputs.cluster.price_per_gpu_hour});
  for (const auto& [currency, price] : operations.prices) budget.prices.push_back({currency, price});
  budget.power_per_gpu = sim::power_per_gpu(operations.energy, inputs.cluster);
  budget.pue = operations.energy.pue;
  budget.assumptions = sim::assumptions(operations, inputs.cluster);
  return budget;
}

}  // namespace

Budget net_budget(const sim::Inputs& inputs, const Progress& progress) {
  Simulator simulator(inputs, progress, count_steps(inputs, false));
  return stages_budget(inputs, simulator);
}

Budget make_budget(const sim::Inputs& inputs, const Progress& progress) {
  Simulator simulator(inputs, progress, count_steps(inputs, true));
  Budget budget = stages_budget(inputs, simulator);
  add_range(inputs, budget, simulator);
  add_runs(inputs, budget);
  return budget;
}

}  // namespace hourglass::planner
