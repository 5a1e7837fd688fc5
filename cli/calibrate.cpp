#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/fit.h"
#include "reports/calibration.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int calibrate(const Invocation& invocation) {
  po::options_description options("options");
  options.add_options()("cluster", po::value<std::string>()->value_name("FILE"),
                        "the cluster measured on (its peaks are the scale)");
  options.add_options()("base", po::value<std::string>()->value_name("FILE"),
                        "the profile to start from; classes without samples keep it");
  options.add_options()("output,o", po::value<std::string>()->value_name("FILE"), "write the fitted profile");
  options.add_options()("plot", po::value<std::string>()->value_name("FILE"), "draw the residuals as SVG");
  options.add_options()("smallest-rows", po::value<std::int64_t>()->default_value(64)->value_name("M"),
                        "leave out GEMMs with fewer rows");
  options.add_options()("samples", po::value<std::vector<std::string>>()->composing()->value_name("FILE"),
                        "measurements; may be repeated, or named bare");
  add_format(options, "text (default), json: every sample with its error, csv, jsonl or markdown");
  po::variables_map values;
  const Usage usage = {
      "hourglass calibrate --cluster CLUSTER.json --base PROFILE.json SAMPLES.json... [-o PROFILE.json]",
      "Fits a profile to measured kernels and shows its error on samples it did not see.",
      {"samples*"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string cluster_file = required(values, "cluster", "--cluster"),
                    base_file = required(values, "base", "--base");
  if (values.count("samples") == 0)
    throw base::UsageError("there are no samples", "hourglass calibrate", "name at least one SAMPLES.json");
  const hardware::Cluster cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
  const hardware::Profile profile = hardware::read_profile(base::load_json(base_file).value, base_file);
  std::vector<hardware::SampleSet> sets;
  for (const std::string& path : values["samples"].as<std::vector<std::string>>()) {
    sets.push_back(hardware::load_any_samples(path));
    // A CSV names no device.
    if (!sets.back().device.empty() && sets.back().device != cluster.gpu) {
      throw base::Error(
          fmt::format("was measured on {}, the cluster has {}", base::printable(sets.back().device), cluster.gpu), path,
          "name the cluster it was measured on");
    }
  }
  const hardware::Fit fit = hardware::fit_profile(cluster, profile, sets, values["smallest-rows"].as<std::int64_t>());
  if (fit.classes.empty())
    throw base::Error(
        "no sample can be fitted: " + (fit.skipped.empty() ? std::string("none given") : fit.skipped.front()),
        "calibrate");
  if (values.count("output") > 0)
    write_file(values["output"].as<std::string>(), hardware::profile_json(fit.profile).dump(2) + "\n");
  if (values.count("plot") > 0) write_file(values["plot"].as<std::string>(), reports::residual_svg(fit));
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  write_result(format, {[&] { return reports::calibration_text(fit); },
                        [&] { return reports::calibration_json(fit, provenance); },
                        {"classes"}});
  return 0;
}

}  // namespace hourglass::cli
