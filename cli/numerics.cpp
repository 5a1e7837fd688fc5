#include "kernels/math/numerics.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/predict.h"
#include "kernels/bench/bench.h"
#include "reports/numerics.h"

namespace hourglass::cli {

namespace po = boost::program_options;

namespace {

const std::vector<int> promotions = {0, 512, 256, 128, 64, 32};

hardware::Sample linear(const char* op, const kernels::BenchCase& layer, std::int64_t rows, const char* dtype,
                        const char* recipe = "") {
  hardware::Sample s;
  s.op = op;
  s.dtype = dtype;
  s.recipe = recipe;
  s.shape = {{"m", static_cast<double>(rows)},
             {"n", static_cast<double>(layer.at("n"))},
             {"k", static_cast<double>(layer.at("k"))}};
  return s;
}

// The linear layers of DeepSeek-V3 at three batch sizes.
std::vector<reports::PrecisionRow> precision_study(const hardware::Cluster& cluster, const hardware::Profile& profile) {
  std::vector<reports::PrecisionRow> rows;
  std::set<std::string> seen;
  for (const kernels::BenchCase& layer : kernels::named_suite("deepseek-v3", "cuda")) {
    if (layer.kernel != "gemm" || layer.name == "router_gate" || !seen.insert(layer.name).second) continue;
    for (const std::int64_t m : {128, 1024, 8192}) {
      const auto seconds = [&](const char* op, const char* dtype, const char* recipe) {
        return hardware::predict_seconds(cluster, profile, linear(op, layer, m, dtype, recipe));
      };
      const double fp8 = seconds("gemm", "e4m3", "block");
      const bool tensor = profile.gemm_fp8_tensor.main_loop_efficiency > 0.0;
      rows.push_back({layer.name, m, layer.at("n"), layer.at("k"), seconds("gemm", "bf16", ""), fp8,
                      tensor ? seconds("gemm", "e4m3", "tensor") : 0.0,
                      seconds("quantized_linear", "e4m3", "block") - fp8});
    }
  }
  return rows;
}

std::string named_or_shipped(const po::variables_map& values, const std::string& option, const std::string& path) {
  return values.count(option) > 0 ? values[option].as<std::string>() : shipped(path);
}

po::options_description numerics_options() {
  po::options_description options("options");
  options.add_options()("k", po::value<std::vector<std::int64_t>>()->multitoken()->value_name("K..."),
                        "lengths of the sums; default: 1024 4096 16384");
  options.add_options()("outputs", po::value<std::int64_t>()->default_value(64)->value_name("N"),
                        "N x N results; the largest error grows a little with N");
  options.add_options()("bits", po::value<int>()->default_value(14)->value_name("N"),
                        "significant bits of the accumulator; Hopper: about 14");
  options.add_options()("data", po::value<std::string>()->default_value("normal")->value_name("DATA"),
                        "normal (mean 0) or uniform in [0, 1)");
  options.add_options()("seed", po::value<std::uint64_t>()->default_value(1)->value_name("N"), "of the data");
  options.add_options()("cluster", po::value<std::string>()->value_name("FILE"), "default: the shipped h800");
  options.add_options()("profile", po::value<std::string>()->value_name("FILE"), "default: the shipped h800");
  add_result_format(options, {"svg"});
  return options;
}

std::vector<std::int64_t> lengths_of(const po::variables_map& values) {
  const std::vector<std::int64_t> ks = values.count("k") > 0 ? values["k"].as<std::vector<std::int64_t>>()
                                                             : std::vector<std::int64_t>{1024, 4096, 16384};
  for (const std::int64_t k : ks) {
    if (k < 1 || k > 1'000'000)
      throw base::UsageError(fmt::format("a sum of {} products", k), "--k", "use 1 to 1000000");
  }
  return ks;
}

}  // namespace

int numerics(const Invocation& invocation) {
  po::variables_map values;
  const Usage usage = {"hourglass numerics [--k K...] [--outputs N] [--data normal|uniform] [options]",
                       "What FP8 costs and gains: accumulation error, promotion, scales, formats, throughput by shape.",
                       {}};
  if (!parse(invocation, usage, numerics_options(), values)) return 0;
  const std::string format = format_of(values, result_formats({"svg"})), data = values["data"].as<std::string>();
  place_among({"normal", "uniform"}, data, "data", "--data");
  const std::int64_t outputs = values["outputs"].as<std::int64_t>();
  if (outputs < 2 || outputs > 1024)
    throw base::UsageError(fmt::format("{} x {} results", outputs, outputs), "--outputs", "use 2 to 1024");
  const int bits = values["bits"].as<int>();
  if (bits < 4 || bits > 40) throw base::UsageError(fmt::format("{} bits", bits), "--bits", "use 4 to 40");
  const std::vector<std::int64_t> ks = lengths_of(values);
  const std::uint64_t seed = values["seed"].as<std::uint64_t>();

  const std::string cluster_file = named_or_shipped(values, "cluster", "configs/clusters/h800.json"),
                    profile_file = named_or_shipped(values, "profile", "configs/profiles/h800.json");
  const hardware::Cluster cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
  const hardware::Profile profile = hardware::read_profile(base::load_json(profile_file).value, profile_file);

  reports::NumericsReport report;
  report.outputs = outputs;
  report.data = data;
  report.significant_bits = bits;
  report.gpu = cluster.gpu;
  report.profile = profile.name;
  report.precision = precision_study(cluster, profile);
  report.accumulation = kernels::accumulation_study(
      outputs, ks, promotions, bits, data == "normal" ? kernels::Data::normal : kernels::Data::uniform, seed);
  report.scaling = kernels::scaling_study(outputs, 1024, {1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0}, seed);
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  provenance.profile = profile.name;
  provenance.seed = seed;
  write_result(format, {[&] { return reports::numerics_text(report); },
                        [&] { return reports::numerics_json(report, provenance); },
                        {"accumulation", "scaling", "precision"},
                        {{"svg", [&] { return reports::numerics_svg(report); }}}});
  return 0;
}

}  // namespace hourglass::cli
