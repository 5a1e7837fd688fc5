#include "kernels/math/numerics.h"

#include <fmt/format.h>

#include <set>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/predict.h"
#include "kernels/bench/bench.h"
#include "reports/numerics.h"

namespace hourglass::cli {

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

Options numerics_options() {
  Options options;
  options.numbers("k", "K...", "lengths of the sums; default: 1024 4096 16384");
  options.number<std::int64_t>("outputs", "N", "N x N results; the largest error grows a little with N", 64);
  options.number<int>("bits", "N", "significant bits of the accumulator; Hopper: about 14", 14);
  options.text("data", "DATA", "normal (mean 0) or uniform in [0, 1)", "normal");
  options.number<std::uint64_t>("seed", "N", "of the data", 1);
  options.text("cluster", "CLUSTER", "a name or a file", "h800");
  options.text("profile", "PROFILE", "a name or a file", "h800");
  add_result_format(options, {"svg"});
  return options;
}

std::vector<std::int64_t> lengths_of(const Values& values) {
  const std::vector<std::int64_t> ks =
      values.has("k") ? values.get<std::vector<std::int64_t>>("k") : std::vector<std::int64_t>{1024, 4096, 16384};
  for (const std::int64_t k : ks) {
    if (k < 1 || k > 1'000'000)
      throw base::UsageError(fmt::format("a sum of {} products", k), "--k", "use 1 to 1000000");
  }
  return ks;
}

}  // namespace

int numerics(const Invocation& invocation) {
  Values values;
  const Usage usage = {"hourglass numerics [--k K...] [--outputs N] [--data normal|uniform] [options]",
                       "What FP8 costs and gains: accumulation error, promotion, scales, formats, throughput by shape.",
                       {}};
  if (!parse(invocation, usage, numerics_options(), values)) return 0;
  const std::string format = format_of(values, result_formats({"svg"})), data = values.text("data");
  place_among({"normal", "uniform"}, data, "data", "--data");
  const std::int64_t outputs = values.get<std::int64_t>("outputs");
  if (outputs < 2 || outputs > 1024)
    throw base::UsageError(fmt::format("{} x {} results", outputs, outputs), "--outputs", "use 2 to 1024");
  const int bits = values.get<int>("bits");
  if (bits < 4 || bits > 40) throw base::UsageError(fmt::format("{} bits", bits), "--bits", "use 4 to 40");
  const std::vector<std::int64_t> ks = lengths_of(values);
  const std::uint64_t seed = values.get<std::uint64_t>("seed");

  const std::string cluster_file = base::resolve(base::Config::cluster, values.text("cluster")),
                    profile_file = base::resolve(base::Config::profile, values.text("profile"));
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
