#include "kernels/bench/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ctime>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "hardware/measure/predict.h"
#include "kernels/bench/bench_backends.h"
#include "reports/bench.h"

namespace hourglass::cli {

namespace {

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

// Ctrl-C and a job's end are asked for between runs, so that no file is left half written.
class Interruptible {
 public:
  Interruptible() : old_interrupt_(std::signal(SIGINT, stop)), old_terminate_(std::signal(SIGTERM, stop)) {}
  ~Interruptible() {
    std::signal(SIGINT, old_interrupt_);
    std::signal(SIGTERM, old_terminate_);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  void (*old_interrupt_)(int);
  void (*old_terminate_)(int);
};

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

void progress(std::size_t done, std::size_t all, const std::string& what) {
  if (isatty(2) == 0) return;
  fmt::print(stderr, "\r\033[K{}", what.empty() ? "" : fmt::format("{} of {}: {}", done + 1, all, what));
  std::fflush(stderr);
}

std::vector<kernels::Measurement> measure_all(kernels::Backend& backend, const std::vector<kernels::BenchCase>& cases,
                                              const kernels::StoppingRule& rule, std::uint64_t seed) {
  const Interruptible interruptible;
  std::vector<kernels::Measurement> all;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    progress(i, cases.size(), kernels::describe(cases[i]));
    all.push_back(kernels::measure(backend, cases[i], rule, seed + i, [] { return stopped != 0; }));
    if (stopped == 0) continue;
    progress(i, cases.size(), "");
    throw base::Error(fmt::format("interrupted in case {} of {}", i + 1, cases.size()), "bench", "nothing was written");
  }
  progress(0, 0, "");
  return all;
}

std::vector<kernels::BenchCase> cases_of(const std::string& suite, const std::string& backend) {
  if (!suite.ends_with(".json")) return kernels::named_suite(suite, backend);
  return kernels::read_suite(base::load_json(suite).value, suite);
}

hardware::SampleSet samples_of(const reports::BenchReport& report, const base::Provenance& provenance) {
  hardware::SampleSet set;
  set.device = report.device.name;
  set.device_facts = report.device.facts;
  set.source = fmt::format("hourglass bench on {}, {}", report.device.name, report.date);
  set.provenance = base::provenance_json(provenance);
  set.provenance["date"] = report.date;
  for (const kernels::Measurement& m : report.measurements) {
    if (m.fault.empty()) set.samples.push_back(m.sample);
  }
  return set;
}

void predict(reports::BenchReport& report, const std::string& named_cluster, const std::string& named_profile) {
  const std::string cluster_file = base::resolve(base::Config::cluster, named_cluster),
                    profile_file = base::resolve(base::Config::profile, named_profile);
  const hardware::Cluster cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
  const hardware::Profile profile = hardware::read_profile(base::load_json(profile_file).value, profile_file);
  for (const kernels::Measurement& m : report.measurements)
    report.predicted.push_back(m.fault.empty() ? hardware::predict_seconds(cluster, profile, m.sample) : 0.0);
  for (const kernels::LayerPass& pass : report.layers) {
    double sum = 0.0;
    for (const kernels::BenchCase& each : pass.operators)
      sum += hardware::predict_seconds(cluster, profile, kernels::sample_of(each));
    report.layers_predicted.push_back(sum);
  }
}

std::vector<kernels::LayerPass> measure_layers(kernels::Backend& backend, std::int64_t tokens,
                                               const kernels::StoppingRule& rule, std::uint64_t seed) {
  if (backend.name() != "cpu") throw base::Error("whole layers run on the CPU only", "--layer", "use --backend cpu");
  if (tokens < 16 || tokens > 16384)
    throw base::UsageError(fmt::format("a layer of {} tokens", tokens), "--layer", "use 16 to 16384");
  const Interruptible interruptible;
  std::vector<kernels::LayerPass> all;
  for (const bool experts : {false, true}) {
    const kernels::LayerShape shape{tokens, experts};
    progress(experts ? 1 : 0, 2, kernels::describe(shape));
    for (kernels::LayerPass& pass : kernels::measure_layer(backend, shape, rule, seed, [] { return stopped != 0; }))
      all.push_back(std::move(pass));
    if (stopped != 0) throw base::Error("interrupted in a layer", "bench", "nothing was written");
  }
  progress(0, 0, "");
  return all;
}

Options bench_options() {
  Options options;
  options.text("backend", "NAME", "cpu, cuda or nccl", "cpu");
  options.text("suite", "SUITE", "quick, deepseek-v3, or a .json file of cases", "quick");
  options.number<std::int64_t>("layer", "TOKENS",
                               "instead of a suite: a whole layer's F, B and W, dense and MoE (cpu)");
  options.text("output,o", "FILE", "write the samples, for calibrate");
  options.text("cluster-out", "FILE", "measure what the device can do at most and write it as a cluster file (cpu)");
  options.text("cluster", "CLUSTER", "with --profile: print what they predict beside what is measured");
  options.text("profile", "PROFILE", "with --cluster");
  options.number<int>("threads", "N", "of the CPU; 0: all cores", 0);
  options.number<double>("seconds", "S", "at most, for each case", 2.0);
  options.number<double>("noise", "X", "stop when the mean's coefficient of variation is X", 0.01);
  options.number<std::uint64_t>("seed", "N", "of the data", 1);
  options.text("date", "DATE", "to write into the samples; default: today");
  add_result_format(options);
  return options;
}

kernels::StoppingRule rule_of(const Values& values) {
  kernels::StoppingRule rule;
  rule.most_seconds = values.get<double>("seconds");
  rule.noise = values.get<double>("noise");
  if (!(rule.most_seconds > 0.0 && rule.most_seconds <= 3600.0))
    throw base::UsageError(fmt::format("{} seconds for a case", rule.most_seconds), "--seconds", "use 0.001 to 3600");
  if (!(rule.noise > 0.0 && rule.noise <= 1.0))
    throw base::UsageError(fmt::format("a noise of {}", rule.noise), "--noise", "use a fraction such as 0.01");
  return rule;
}

}  // namespace

int bench(const Invocation& invocation) {
  Values values;
  const Usage usage = {"hourglass bench [--backend cpu|cuda|nccl] [--suite quick|deepseek-v3|FILE] [-o SAMPLES.json]",
                       "Measures this machine's kernels, each checked first, into samples for calibrate.",
                       {}};
  if (!parse(invocation, usage, bench_options(), values)) return 0;
  const std::string format = format_of(values, result_formats()), name = values.text("backend");
  const kernels::StoppingRule rule = rule_of(values);
  if (values.has("cluster") != values.has("profile"))
    throw base::UsageError("--cluster and --profile go together", "hourglass bench", "name both or neither");
  const std::unique_ptr<kernels::Backend> backend = kernels::make_backend(name, {values.get<int>("threads")});
  const bool layer = values.has("layer");
  if (layer && values.has("output")) throw base::UsageError("a layer is no sample", "--layer", "leave out --output");
  const std::vector<kernels::BenchCase> cases =
      layer ? std::vector<kernels::BenchCase>{} : cases_of(values.text("suite"), name);

  base::Provenance provenance;
  provenance.argv = invocation.argv;
  provenance.seed = values.get<std::uint64_t>("seed");
  reports::BenchReport report;
  report.backend = name;
  report.device = backend->device();
  report.date = values.has("date") ? values.text("date") : today();
  if (values.has("cluster-out")) report.ceilings = backend->ceilings();
  if (layer)
    report.layers = measure_layers(*backend, values.get<std::int64_t>("layer"), rule, provenance.seed);
  else
    report.measurements = measure_all(*backend, cases, rule, provenance.seed);
  if (!backend->reports()) return 0;
  if (values.has("profile")) predict(report, values.text("cluster"), values.text("profile"));
  if (values.has("output"))
    write_file(values.text("output"), hardware::samples_json(samples_of(report, provenance)).dump(1) + "\n");
  if (values.has("cluster-out")) write_file(values.text("cluster-out"), reports::cluster_json(report).dump(2) + "\n");
  write_result(format, {[&] { return reports::bench_text(report); },
                        [&] { return reports::bench_json(report, provenance); },
                        {layer ? "layers" : "cases"}});
  return report.faults() > 0 ? 1 : 0;
}

}  // namespace hourglass::cli
