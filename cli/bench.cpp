#include "kernels/bench/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ctime>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "hardware/measure/predict.h"
#include "reports/bench.h"

namespace hourglass::cli {

namespace po = boost::program_options;

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

void predict(reports::BenchReport& report, const std::string& cluster_file, const std::string& profile_file) {
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

po::options_description bench_options() {
  po::options_description options("options");
  options.add_options()("backend", po::value<std::string>()->default_value("cpu")->value_name("NAME"),
                        "cpu, cuda or nccl");
  options.add_options()("suite", po::value<std::string>()->default_value("quick")->value_name("SUITE"),
                        "quick, deepseek-v3, or a .json file of cases");
  options.add_options()("layer", po::value<std::int64_t>()->value_name("TOKENS"),
                        "instead of a suite: a whole layer's F, B and W, dense and MoE (cpu)");
  options.add_options()("output,o", po::value<std::string>()->value_name("FILE"), "write the samples, for calibrate");
  options.add_options()("cluster-out", po::value<std::string>()->value_name("FILE"),
                        "measure what the device can do at most and write it as a cluster file (cpu)");
  options.add_options()("cluster", po::value<std::string>()->value_name("FILE"),
                        "with --profile: print what they predict beside what is measured");
  options.add_options()("profile", po::value<std::string>()->value_name("FILE"), "with --cluster");
  options.add_options()("threads", po::value<int>()->default_value(0)->value_name("N"), "of the CPU; 0: all cores");
  options.add_options()("seconds", po::value<double>()->default_value(2.0)->value_name("S"), "at most, for each case");
  options.add_options()("noise", po::value<double>()->default_value(0.01)->value_name("X"),
                        "stop when the mean's coefficient of variation is X");
  options.add_options()("seed", po::value<std::uint64_t>()->default_value(1)->value_name("N"), "of the data");
  options.add_options()("date", po::value<std::string>()->value_name("DATE"),
                        "to write into the samples; default: today");
  add_result_format(options);
  return options;
}

kernels::StoppingRule rule_of(const po::variables_map& values) {
  kernels::StoppingRule rule;
  rule.most_seconds = values["seconds"].as<double>();
  rule.noise = values["noise"].as<double>();
  if (!(rule.most_seconds > 0.0 && rule.most_seconds <= 3600.0))
    throw base::UsageError(fmt::format("{} seconds for a case", rule.most_seconds), "--seconds", "use 0.001 to 3600");
  if (!(rule.noise > 0.0 && rule.noise <= 1.0))
    throw base::UsageError(fmt::format("a noise of {}", rule.noise), "--noise", "use a fraction such as 0.01");
  return rule;
}

}  // namespace

int bench(const Invocation& invocation) {
  po::variables_map values;
  const Usage usage = {"hourglass bench [--backend cpu|cuda|nccl] [--suite quick|deepseek-v3|FILE] [-o SAMPLES.json]",
                       "Measures this machine's kernels, each checked first, into samples for calibrate.",
                       {}};
  if (!parse(invocation, usage, bench_options(), values)) return 0;
  const std::string format = format_of(values, result_formats()), name = values["backend"].as<std::string>();
  const kernels::StoppingRule rule = rule_of(values);
  if (values.count("cluster") != values.count("profile"))
    throw base::UsageError("--cluster and --profile go together", "hourglass bench", "name both or neither");
  const std::unique_ptr<kernels::Backend> backend = kernels::make_backend(name, {values["threads"].as<int>()});
  const bool layer = values.count("layer") > 0;
  if (layer && values.count("output") > 0)
    throw base::UsageError("a layer is no sample", "--layer", "leave out --output");
  const std::vector<kernels::BenchCase> cases =
      layer ? std::vector<kernels::BenchCase>{} : cases_of(values["suite"].as<std::string>(), name);

  base::Provenance provenance;
  provenance.argv = invocation.argv;
  provenance.seed = values["seed"].as<std::uint64_t>();
  reports::BenchReport report;
  report.backend = name;
  report.device = backend->device();
  report.date = values.count("date") > 0 ? values["date"].as<std::string>() : today();
  if (values.count("cluster-out") > 0) report.ceilings = backend->ceilings();
  if (layer)
    report.layers = measure_layers(*backend, values["layer"].as<std::int64_t>(), rule, provenance.seed);
  else
    report.measurements = measure_all(*backend, cases, rule, provenance.seed);
  if (!backend->reports()) return 0;
  if (values.count("profile") > 0)
    predict(report, values["cluster"].as<std::string>(), values["profile"].as<std::string>());
  if (values.count("output") > 0)
    write_file(values["output"].as<std::string>(),
               hardware::samples_json(samples_of(report, provenance)).dump(1) + "\n");
  if (values.count("cluster-out") > 0)
    write_file(values["cluster-out"].as<std::string>(), reports::cluster_json(report).dump(2) + "\n");
  write_result(format, {[&] { return reports::bench_text(report); },
                        [&] { return reports::bench_json(report, provenance); },
                        {layer ? "layers" : "cases"}});
  return report.faults() > 0 ? 1 : 0;
}

}  // namespace hourglass::cli
