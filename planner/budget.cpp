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
// Range. Each class of the profile states its relative error, one standard deviation of its total. Every class is
// slowed by one deviation, the run simulated again, and the changes added in quadrature: classes are taken as
// independent, the errors inside a class as fully correlated (the cautious side). The total is taken as log-normal, so
// p10 and p90 are p50 exp(-+1.2816 sigma). The split of layers stays as planned. The range speaks of the costs only:
// not of failures, restarts, stragglers, evaluation or data loading, nor of a step that the published description
// leaves open.
#include "planner/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "sim/simulate.h"

namespace hourglass::planner {

namespace {

constexpr double ninety_percent = 1.2815515655446004;  // standard normal quantile
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

  // `layers`: the split over stages, empty to balance.
  sim::Result step(const sim::TrainingStage& stage, std::int64_t batch, const hardware::Profile& profile, bool small,
                   const std::vector<std::int64_t>& layers = {}) {
    if (progress_) progress_(done_, total_);
    ++done_;
    sim::Inputs inputs = inputs_;
    inputs.profile = profile;
    inputs.plan = sim::plan_for_stage(inputs_.plan, stage, batch);
    if (small) inputs.plan.schedule = inputs.plan.small_batch_schedule;
    if (!layers.empty()) inputs.plan.layers_per_stage = layers;
    sim::complete_parallelism(inputs.plan, inputs.model, inputs.cluster,
                              fmt::format("{} stage '{}'", inputs.plan.name, stage.name));
    return sim::simulate(inputs);
  }

  // Falls back to the small-batch schedule where the plan's own has too few micro-batches.
  Sample sample(const sim::TrainingStage& stage, std::int64_t batch) {
    const auto seconds = [](const sim::Result& result) { return result.step_time_s / result.tokens_per_step; };
    if (inputs_.plan.small_batch_schedule.empty())
      return {batch, seconds(step(stage, batch, inputs_.profile, false)), false};
    try {
      return {batch, seconds(step(stage, batch, inputs_.profile, false)), false};
    } catch (const base::Error&) {
      --done_;
      return {batch, seconds(step(stage, batch, inputs_.profile, true)), true};
    }
  }

 private:
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

// Hours of all simulated stages under another profile, scaled by the ratio of full steps: ramps follow their stage.
double hours_under(const sim::Inputs& inputs, const Budget& budget, const hardware::Profile& profile,
                   Simulator& simulator) {
  double hours = 0.0;
  for (std::size_t i = 0; i < budget.stages.size(); ++i) {
    const StageBudget& stage = budget.stages[i];
    if (!stage.step) {
      hours += stage.gpu_hours;
      continue;
    }
    const sim::Result slow =
        simulator.step(inputs.plan.stages[i], stage.global_batch, profile, false, stage.step->layers_per_stage);
    hours += stage.gpu_hours * slow.step_time_s / stage.step->step_time_s;
  }
  return hours;
}

void add_range(const sim::Inputs& inputs, Budget& budget, Simulator& simulator) {
  double variance = 0.0;
  for (const hardware::ClassOrigin& each : hardware::origins(inputs.profile)) {
    const double error = each.provenance.relative_error;
    if (error <= 0.0) continue;
    const double hours =
        hours_under(inputs, budget, hardware::slowed(inputs.profile, each.name, 1.0 + error), simulator);
    const double change = hours - budget.total_gpu_hours.p50;
    budget.sensitivities.push_back({each.name, error, change});
    variance += change * change / (budget.total_gpu_hours.p50 * budget.total_gpu_hours.p50);
  }
  std::stable_sort(budget.sensitivities.begin(), budget.sensitivities.end(),
                   [](const Sensitivity& a, const Sensitivity& b) { return a.gpu_hours > b.gpu_hours; });
  const double spread = std::exp(ninety_percent * std::sqrt(variance));
  budget.total_gpu_hours.p10 = budget.total_gpu_hours.p50 / spread;
  budget.total_gpu_hours.p90 = budget.total_gpu_hours.p50 * spread;
}

std::size_t count_steps(const sim::Inputs& inputs) {
  std::size_t simulated = 0, ramps = 0;
  for (const sim::TrainingStage& stage : inputs.plan.stages) {
    simulated += stage.tokens > 0.0 || stage.steps > 0.0 ? 1 : 0;
    ramps += stage.ramp ? 1 : 0;
  }
  return simulated * (1 + hardware::origins(inputs.profile).size()) + ramps * ramp_samples;
}

}  // namespace

Budget make_budget(const sim::Inputs& inputs, const Progress& progress) {
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
  Simulator simulator(inputs, progress, count_steps(inputs));
  for (const sim::TrainingStage& stage : inputs.plan.stages) {
    budget.stages.push_back(stage_budget(inputs, stage, simulator));
    budget.total_gpu_hours.p50 += budget.stages.back().gpu_hours;
    budget.days += budget.stages.back().days;
    budget.cost_usd += budget.stages.back().cost_usd;
  }
  add_range(inputs, budget, simulator);
  return budget;
}

}  // namespace hourglass::planner
