#include "planner/validation/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "planner/search/search_sanity.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/pictures.h"
#include "reports/search.h"
#include "reports/validation.h"

namespace hourglass::cli {

namespace {

hardware::Cluster load_cluster(const std::string& file) {
  return hardware::read_cluster(base::load_json(file).value, file);
}

// The shipped cluster of the GPU that the profile is of.
hardware::Cluster cluster_of(const hardware::Profile& profile, const std::string& configs) {
  for (const std::string& name : base::config_names(base::Config::cluster, configs)) {
    hardware::Cluster cluster = load_cluster(fmt::format("{}/clusters/{}.json", configs, name));
    if (cluster.gpu == profile.gpu) return cluster;
  }
  throw base::UsageError("no shipped cluster has a " + profile.gpu, "--profile", "name the cluster with --cluster");
}

planner::Validation of_samples(const Values& values, const std::string& configs) {
  const std::string profile_file = base::resolve(base::Config::profile, required(values, "profile", "--profile"));
  const hardware::Profile profile = hardware::read_profile(base::load_json(profile_file).value, profile_file);
  const hardware::Cluster cluster = values.has("cluster")
                                        ? load_cluster(base::resolve(base::Config::cluster, values.text("cluster")))
                                        : cluster_of(profile, configs);
  std::vector<hardware::SampleSet> sets;
  for (const std::string& path : values.texts("samples")) sets.push_back(hardware::load_any_samples(path));
  return planner::validate_samples(cluster, profile, sets);
}

}  // namespace

// Exit code 3 if a stored bound is exceeded.
int validate(const Invocation& invocation) {
  Options options;
  options.text("configs", "FOLDER", "where published/ and measurements/ are");
  options.words("samples", "FILE",
                "instead: your own measurements, our format or a CSV of known columns; may be repeated");
  options.text("cluster", "CLUSTER",
               "with --samples: the cluster measured on; default: the shipped one with the profile's GPU");
  options.text("profile", "PROFILE", "with --samples: the profile to check, a name or a file");
  options.text("runs", "FILE", "instead: measured training runs");
  options.flag("layouts", "instead: search the GPUs of every published run, and say where its layout stands");
  add_result_format(options, {"svg"});
  add_html(options);
  Values values;
  const Usage usage = {"hourglass validate [--layouts | --runs FILE | --samples FILE... --profile PROFILE] [options]",
                       "Recomputes what was published and measured, and prints reported, predicted and error.",
                       {}};
  if (!parse(invocation, usage, options, values)) return 0;
  const bool layouts = values.has("layouts");
  const std::string format = format_of(values, layouts ? result_formats() : result_formats({"svg"}));
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  const std::string configs = values.has("configs") ? values.text("configs") : base::shipped_folder();
  if (layouts) {
    const std::string runs = values.has("runs") ? values.text("runs") : configs + "/published/runs.json";
    const std::vector<planner::SanityRow> rows = planner::search_sanity(runs, configs);
    write_result(
        format,
        {[&] { return reports::sanity_text(rows); }, [&] { return reports::sanity_json(rows, provenance); }, {"rows"}});
    return 0;
  }
  const planner::Validation validation = values.has("runs")      ? planner::validate_runs(values.text("runs"), configs)
                                         : values.has("samples") ? of_samples(values, configs)
                                                                 : planner::validate_published(configs);
  write_html(values, [&] { return reports::validation_html(validation, provenance); });
  write_result(format, {[&] { return reports::validation_text(validation); },
                        [&] { return reports::validation_json(validation, provenance); },
                        {format == "markdown" ? "classes" : "rows"},
                        {{"svg", [&] { return reports::validation_svg(validation); }}}});
  return validation.exceeded() ? 3 : 0;
}

}  // namespace hourglass::cli
