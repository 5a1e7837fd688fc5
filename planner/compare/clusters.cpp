// Each cluster is read as `--set plan.cluster=...` would, with --set of the user applied to every one of them: the
// plan, its layout and its batch are the same, hardware and profile differ. A cluster that cannot run the plan (no FP8,
// too few GPUs) is listed with the reason.
#include "planner/compare/clusters.h"

#include <algorithm>
#include <filesystem>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

namespace fs = std::filesystem;

// As the plan would say it: a path of the command line relative to the plan, a name as it is.
std::string named_by_plan(const std::string& plan_path, const std::string& cluster) {
  if (!base::is_path(cluster) || fs::path(cluster).is_absolute()) return cluster;
  if (base::built_in(plan_path)) return fs::absolute(cluster).string();
  const fs::path folder = fs::path(plan_path).parent_path();
  return fs::relative(cluster, folder.empty() ? "." : folder).string();
}

void add_inputs(base::Provenance& all, const base::Provenance& some) {
  for (const base::Provenance::Input& input : some.inputs) {
    const bool known = std::any_of(all.inputs.begin(), all.inputs.end(),
                                   [&](const base::Provenance::Input& each) { return each.path == input.path; });
    if (!known) all.inputs.push_back(input);
  }
}

ComparedCluster compared(const std::string& name, const std::string& plan_path, const std::string& cluster,
                         std::vector<std::string> overrides, base::Provenance& provenance) {
  ComparedCluster out;
  out.name = name;
  overrides.push_back("plan.cluster=" + base::Json(cluster).dump());
  overrides.push_back("plan.profile=null");
  try {
    const sim::Inputs inputs = sim::load_inputs(plan_path, overrides);
    add_inputs(provenance, inputs.provenance);
    out.gpu = inputs.cluster.gpu;
    out.profile = inputs.profile.name;
    out.step = sim::simulate_plan(inputs);
    out.has_run = !inputs.plan.stages.empty();
    if (out.has_run) out.budget = net_budget(inputs, nullptr);
  } catch (const base::UsageError&) {
    throw;
  } catch (const base::Error& error) {
    out.refused = error.what();
  }
  return out;
}

}  // namespace

ClusterComparison compare_clusters(const std::string& plan, const std::vector<std::string>& clusters,
                                   const std::vector<std::string>& overrides) {
  ClusterComparison out;
  const std::string plan_path = base::resolve(base::Config::plan, plan);
  if (base::is_pipe(plan_path))
    throw base::Error("is read for every cluster, and a pipe only once", plan_path, "save the plan to a file");
  for (const std::string& name : clusters) {
    const std::string cluster = named_by_plan(plan_path, name);
    base::load_json(base::resolve(base::Config::cluster, cluster, plan_path));  // or there is no such cluster
    out.clusters.push_back(compared(name, plan_path, cluster, overrides, out.provenance));
  }
  const auto ran = std::find_if(out.clusters.begin(), out.clusters.end(),
                                [](const ComparedCluster& each) { return each.refused.empty(); });
  if (ran == out.clusters.end()) {
    throw base::Error("the plan runs on none of the clusters: " + out.clusters.front().refused, "--clusters",
                      "change the plan or the clusters");
  }
  out.plan = fs::path(plan_path).stem().string();
  out.gpus = ran->step.gpus;
  return out;
}

}  // namespace hourglass::planner
