#include <fmt/format.h>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/fit.h"
#include "reports/calibration.h"

namespace hourglass::cli {

int calibrate(const Invocation& invocation) {
  Options options;
  options.text("cluster", "CLUSTER", "the cluster measured on, a name or a file (its peaks are the scale)");
  options.text("base", "PROFILE", "the profile to start from; classes without samples keep it");
  options.text("output,o", "FILE", "write the fitted profile");
  options.text("plot", "FILE", "draw the residuals as SVG");
  options.number<std::int64_t>("smallest-rows", "M", "leave out GEMMs with fewer rows", 64);
  options.texts("samples", "FILE", "measurements; may be repeated, or named bare");
  add_format(options, "text (default), json: every sample with its error, csv, jsonl or markdown");
  Values values;
  const Usage usage = {"hourglass calibrate --cluster CLUSTER --base PROFILE SAMPLES.json... [-o PROFILE.json]",
                       "Fits a profile to measured kernels and shows its error on samples it did not see.",
                       {"samples*"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string named_cluster = required(values, "cluster", "--cluster"),
                    named_base = required(values, "base", "--base");
  if (!values.has("samples"))
    throw base::UsageError("there are no samples", "hourglass calibrate", "name at least one SAMPLES.json");
  const std::string cluster_file = base::resolve(base::Config::cluster, named_cluster),
                    base_file = base::resolve(base::Config::profile, named_base);
  const hardware::Cluster cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
  const hardware::Profile profile = hardware::read_profile(base::load_json(base_file).value, base_file);
  std::vector<hardware::SampleSet> sets;
  for (const std::string& path : values.texts("samples")) {
    sets.push_back(hardware::load_any_samples(path));
    // A CSV names no device.
    if (!sets.back().device.empty() && sets.back().device != cluster.gpu) {
      throw base::Error(
          fmt::format("was measured on {}, the cluster has {}", base::printable(sets.back().device), cluster.gpu), path,
          "name the cluster it was measured on");
    }
  }
  const hardware::Fit fit = hardware::fit_profile(cluster, profile, sets, values.get<std::int64_t>("smallest-rows"));
  if (fit.classes.empty())
    throw base::Error(
        "no sample can be fitted: " + (fit.skipped.empty() ? std::string("none given") : fit.skipped.front()),
        "calibrate");
  if (values.has("output")) write_file(values.text("output"), hardware::profile_json(fit.profile).dump(2) + "\n");
  if (values.has("plot")) write_file(values.text("plot"), reports::residual_svg(fit));
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  write_result(format, {[&] { return reports::calibration_text(fit); },
                        [&] { return reports::calibration_json(fit, provenance); },
                        {"classes"}});
  return 0;
}

}  // namespace hourglass::cli
