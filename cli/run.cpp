#include "reports/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "kernels/run/executor.h"
#include "kernels/run/predict.h"
#include "reports/chrome_trace.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/formats.h"
#include "schedules/letters.h"
#include "schedules/validate.h"

namespace hourglass::cli {

namespace {

using Scalar = float;

struct RunOptions {
  int ranks = 0, micro_batches = 0, chunks = 0, sequence_length = 128, runs = 5;
  std::uint64_t seed = 1;
};

enum class Times : std::uint8_t { none, measured, compared };

// A path, even if nothing is there, so that the error is about the file.
bool names_a_file(const std::string& name) { return name.find_first_of("./") != std::string::npos; }

schedules::Schedule schedule_of(const std::string& name, const Values& values, const RunOptions& options) {
  if (!names_a_file(name)) {
    for (const char* option : {"ranks", "micro-batches"}) {
      if (!values.has(option))
        throw base::UsageError("is missing", std::string("--") + option, "see hourglass run --help");
    }
    return schedules::generate(name, {options.ranks, options.micro_batches, options.chunks});
  }
  for (const char* option : {"ranks", "micro-batches", "chunks"}) {
    if (values.has(option)) throw base::UsageError("is what the file says", std::string("--") + option, "leave it out");
  }
  return schedules::read_schedule(name);
}

// "2,1,1,1", one number a stage; without it two layers a stage, one on the last, which has the head and the MTP module.
std::vector<kernels::Index> layers_of(const Values& values, int stages) {
  std::vector<kernels::Index> layers(static_cast<std::size_t>(stages), 2);
  if (stages > 1) layers.back() = 1;
  if (!values.has("layers")) return layers;
  layers.clear();
  for (const std::string& part : split(values.text("layers"), ',')) {
    kernels::Index number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error != std::errc() || end != part.data() + part.size() || number < 0 || number > 64)
      throw base::UsageError(fmt::format("'{}' is not a number from 0 to 64", base::printable(part)), "--layers",
                             "write one a stage, e.g. 2,1,1,0");
    layers.push_back(number);
  }
  if (layers.size() != static_cast<std::size_t>(stages))
    throw base::UsageError(fmt::format("{} numbers for {} stages", layers.size(), stages), "--layers",
                           "give every stage its number of layers");
  return layers;
}

kernels::ModelShape model_of(const Values& values, const RunOptions& options, int stages) {
  kernels::ModelShape shape;
  shape.layers_per_stage = layers_of(values, stages);
  shape.length = options.sequence_length;
  const std::string attention = values.text("attention");
  place_among({"mla", "gqa"}, attention, "attention", "--attention");
  if (attention == "gqa") shape.attention = kernels::AttentionChoice::gqa;
  shape.mtp = !values.has("no-mtp");
  return shape;
}

// More would not run wrong, but for hours or out of memory.
void check(const schedules::Schedule& schedule, const kernels::ModelShape& shape, const RunOptions& options) {
  const auto at_most = [](double value, double most, const std::string& what) {
    if (value > most)
      throw base::Error(fmt::format("{} {} are more than {}", value, what, most), "hourglass run",
                        "this runs for real, on this machine: choose fewer");
  };
  at_most(schedule.ranks, 64, "ranks");
  at_most(static_cast<double>(shape.layers()), 256, "layers");
  at_most(static_cast<double>(schedule.stages) * schedule.micro_batches, 65536, "blocks of stages x micro-batches");
  if (options.sequence_length < 1 || options.sequence_length > 4096)
    throw base::UsageError(fmt::format("{} tokens are not between 1 and 4096", options.sequence_length),
                           "--sequence-length", "choose another length");
  if (options.runs < 1 || options.runs > 1000)
    throw base::UsageError(fmt::format("{} is not between 1 and 1000", options.runs), "--runs", "choose another");
}

double parameters_of(kernels::PipelineModel<Scalar>& model) {
  double sum = 0.0;
  for (auto& stage : model.weights) {
    for (const auto& named : stage.list()) sum += static_cast<double>(named.tensor->size());
  }
  const bool two_embeddings = model.stages.size() > 1 && model.shape.mtp;
  return sum - (two_embeddings ? static_cast<double>(model.shape.vocabulary * model.shape.hidden) : 0.0);
}

// Everything that happened, as a simulated step has it.
// F, B and W of an action in the order in which they ran, whose times are the pieces'.
sim::StepRecord::RecordedBlock block_of(schedules::Kind kind) {
  using base::Pass;
  using schedules::Kind;
  sim::StepRecord::RecordedBlock block;
  const auto ran = [&](Pass pass) { block.block.segments.emplace_back().pass = pass; };
  if (kind == Kind::forward || kind == Kind::overlapped) ran(Pass::forward);
  if (kind != Kind::forward && kind != Kind::backward_weight) ran(Pass::backward_input);
  if (kind != Kind::forward && kind != Kind::backward_input) ran(Pass::backward_weight);
  return block;
}

sim::StepRecord record_of(const schedules::Schedule& schedule, const kernels::Timeline& timeline) {
  sim::StepRecord record;
  record.executed = true;
  record.schedule = schedule;
  for (std::size_t kind = 0; kind < 5; ++kind) record.blocks.push_back(block_of(static_cast<schedules::Kind>(kind)));
  const auto span = [&](int rank, sim::Lane lane, std::int32_t action, std::int32_t segment, double from, double to) {
    record.spans.push_back({rank, lane, action, segment, base::time_from_seconds(from), base::time_from_seconds(to)});
  };
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    std::vector<std::size_t>& blocks = record.block_of.emplace_back();
    for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
      const kernels::ActionTime& time = timeline.actions[r][i];
      const auto place = static_cast<std::int32_t>(i);
      blocks.push_back(static_cast<std::size_t>(schedule.actions[r][i].kind));
      span(rank, sim::Lane::schedule, place, -1, time.start_s, time.end_s);
      if (time.start_s - time.free_s > base::micro)
        span(rank, sim::Lane::point_to_point, place, -1, time.free_s, time.start_s);
    }
    auto piece = timeline.pieces[r].begin();
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      for (std::size_t s = 0; s < record.blocks[blocks[i]].block.segments.size(); ++s, ++piece) {
        span(rank, sim::Lane::compute, static_cast<std::int32_t>(i), static_cast<std::int32_t>(s), piece->start_s,
             piece->end_s);
      }
    }
  }
  return record;
}

void fill_ranks(const schedules::Schedule& schedule, const kernels::Timeline& timeline, reports::RunReport& report) {
  const schedules::Evaluation evaluation = schedules::evaluate(schedule, {});
  for (std::size_t r = 0; r < timeline.actions.size(); ++r) {
    reports::ExecutedRank rank;
    for (const auto& placement : schedule.placement) {
      for (std::size_t s = 0; s < placement.size(); ++s) {
        if (placement[s] == static_cast<int>(r)) rank.stages.push_back(static_cast<int>(s));
      }
    }
    for (const kernels::ActionTime& time : timeline.actions[r]) rank.busy_s += time.end_s - time.start_s;
    rank.peak_activations = timeline.peak_saved[r] * static_cast<double>(schedule.ranks) / schedule.stages;
    rank.predicted_peak_activations = evaluation.ranks[r].peak_activations;
    report.ranks.push_back(std::move(rank));
  }
}

// A calibrating pass before every run, so that a machine that gets slower meanwhile gets slower for both.
std::vector<kernels::Timeline> compare_with_prediction(const kernels::PipelineModel<Scalar>& model,
                                                       const schedules::Schedule& schedule,
                                                       kernels::Executor<Scalar>& executor, const RunOptions& options,
                                                       reports::RunReport& report) {
  reports::ExecutedComparison out;
  std::vector<int> cores = kernels::usable_cores();
  if (cores.size() > static_cast<std::size_t>(schedule.ranks)) cores.resize(static_cast<std::size_t>(schedule.ranks));
  out.calibration_threads = static_cast<int>(cores.size());
  out.runs = options.runs;
  constexpr int calibration_micro_batches = 6;
  const auto batch = kernels::random_batch(model.shape, calibration_micro_batches, options.seed + 2);
  kernels::CostMeter<Scalar> meter(model, batch, cores);
  std::vector<kernels::Timeline> runs;
  for (int i = 0; i < options.runs; ++i) {
    meter.measure();
    runs.push_back(executor.run(cores).timeline);
  }
  const double message_bytes = static_cast<double>(report.tokens * model.shape.hidden) * sizeof(Scalar);
  kernels::RunCosts costs{{}, kernels::measure_message(message_bytes)};
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank)
    costs.ranks.push_back(meter.costs(rank % cores.size()));
  const kernels::RunComparison comparison = kernels::compare_runs(schedule, costs, runs);
  out.predicted_s = comparison.predicted_s, out.executed_s = comparison.executed_s;
  out.fastest_s = comparison.fastest_s, out.message_s = costs.message_s;
  out.core_s = comparison.core_s, out.elapsed_s = comparison.elapsed_s;
  for (const kernels::ActionComparison& a : comparison.actions) {
    out.actions.push_back({std::string(schedules::letter(a.kind)), a.stage, a.backward_stage, a.count, a.predicted_s,
                           a.executed_s, a.cpu_s});
  }
  report.comparison = std::move(out);
  return {runs[comparison.median_run]};
}

reports::RunReport execute(const schedules::Schedule& schedule, const kernels::ModelShape& shape,
                           const RunOptions& options, Times times, kernels::Timeline& timeline) {
  auto model = kernels::PipelineModel<Scalar>::make(shape, options.seed);
  const auto batch = kernels::random_batch(shape, schedule.micro_batches, options.seed + 1);
  kernels::Executor<Scalar> executor(model, schedule, batch);
  kernels::ExecutedStep<Scalar> step = executor.run();
  auto sequential = kernels::run_sequentially(model, batch);
  const int additions = kernels::gradient_terms(shape, schedule.micro_batches);
  const kernels::GradientDifference difference = compare_gradients(sequential, step.gradients, additions);
  reports::RunReport report;
  report.schedule = schedule.name;
  report.attention = shape.attention == kernels::AttentionChoice::mla ? "MLA" : "GQA";
  report.micro_batches = schedule.micro_batches, report.stages = schedule.stages;
  report.directions = schedule.directions;
  report.cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  report.tokens = shape.tokens();
  report.parameters = parameters_of(model);
  report.mtp = shape.mtp;
  report.layers_per_stage.assign(shape.layers_per_stage.begin(), shape.layers_per_stage.end());
  report.loss = step.loss, report.sequential_loss = sequential.loss;
  report.tensors = difference.tensors, report.identical_tensors = difference.identical;
  report.additions = additions;
  report.largest_difference = difference.largest, report.largest_of_tolerance = difference.largest_of_tolerance;
  report.worst_tensor = difference.worst;
  timeline = std::move(step.timeline);
  if (times == Times::measured) timeline = executor.run().timeline;  // the first step has made its memory
  if (times == Times::compared) timeline = compare_with_prediction(model, schedule, executor, options, report).front();
  report.makespan_s = timeline.makespan_s;
  fill_ranks(schedule, timeline, report);
  return report;
}

void write_trace(const std::string& path, const schedules::Schedule& schedule, const kernels::Timeline& timeline,
                 const base::Provenance& provenance) {
  sim::Inputs inputs;
  inputs.provenance = provenance;
  sim::Result result;
  result.schedule = schedule.name;
  result.step_time_s = timeline.makespan_s;
  write_file(path, reports::chrome_trace(inputs, result, record_of(schedule, timeline)));
}

void add_run_options(Options& options, RunOptions& chosen) {
  options.text("backend", "NAME", "cpu: a thread a pipeline rank, each kernel on one thread", "cpu");
  options.fill("ranks", "P", "pipeline ranks", chosen.ranks);
  options.fill("micro-batches", "M", "micro-batches a step", chosen.micro_batches);
  options.fill("chunks", "V", "stages a rank, for the schedules that take a number", chosen.chunks);
  options.text("layers", "LIST", "layers of each stage, e.g. 2,1,1,0 (default: 2, on the last 1)");
  options.text("attention", "NAME", "mla or gqa", "mla");
  options.flag("no-mtp", "leave out the multi-token prediction module");
  options.fill("sequence-length", "N", "tokens of a micro-batch (default 128)", chosen.sequence_length);
  options.fill("seed", "N", "of weights and tokens (default 1)", chosen.seed);
  options.flag(
      "compare",
      "also predict the run: F, B and W of every stage are measured in sequential passes (before every run, on as many "
      "cores at once as the ranks use, never in the runs themselves), and a message between two threads; the "
      "schedule's "
      "longest path over these costs is the prediction; printed by action and stage beside what was executed");
  options.fill("runs", "N",
               "with --compare: steps executed, of which the median counts "
               "(default 5)",
               chosen.runs);
  options.text(
      "trace", "FILE",
      "write what ran when (with --compare, in the median run), for ui.perfetto.dev: trace.json, or trace.json.gz");
  options.flag("unchecked", "run a schedule that is not valid; a deadlock is found when it happens");
}

}  // namespace

int run(const Invocation& invocation) {
  RunOptions chosen;
  Options options;
  add_run_options(options, chosen);
  add_result_format(options);
  Values values;
  const Usage usage = {
      "hourglass run SCHEDULE --ranks P --micro-batches M [options]\n       hourglass run FILE [options]",
      "Executes a pipeline schedule for real, on a small DeepSeek-style model on this machine, and checks loss and\n"
      "gradients against the sequential run. An F&B pair runs its forward, then its backward, on its rank's thread.\n"
      "SCHEDULE is a name (hourglass schedule --list), FILE a schedule as json or csv, ours or PyTorch's.",
      {"schedule"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string name = required(values, "schedule", "the SCHEDULE"), backend = values.text("backend");
  if (backend != "cpu")
    throw base::UsageError(fmt::format("unknown backend '{}'", base::printable(backend)), "--backend",
                           "schedules run on cpu");
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  provenance.seed = chosen.seed;
  const schedules::Schedule schedule = schedule_of(name, values, chosen);
  if (names_a_file(name)) {
    std::ostringstream text;
    text << std::ifstream(name, std::ios::binary).rdbuf();
    provenance.inputs.push_back({name, base::fnv1a(text.str())});
  }
  if (!values.has("unchecked")) schedules::validate(schedule);
  const kernels::ModelShape shape = model_of(values, chosen, schedule.stages);
  check(schedule, shape, chosen);
  const bool timed = values.has("trace") || format != "text";
  const Times times = values.has("compare") ? Times::compared : timed ? Times::measured : Times::none;
  kernels::keep_freed_memory();
  kernels::Timeline timeline;
  const reports::RunReport report = execute(schedule, shape, chosen, times, timeline);
  if (values.has("trace")) write_trace(values.text("trace"), schedule, timeline, provenance);
  write_result(format, {[&] { return reports::run_text(report); },
                        [&] { return reports::run_json(report, provenance); },
                        {"", "ranks", "comparison.actions"}});
  return report.loss == report.sequential_loss && report.largest_of_tolerance <= 1.0 ? 0 : 1;
}

}  // namespace hourglass::cli
