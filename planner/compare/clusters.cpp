// Each cluster is read as `--set plan.cluster=...` would, with --set of the user applied to every one of them: the
// plan, its layout and its batch are the same, hardware and profile differ. A cluster that cannot run the plan (no FP8,
// too few GPUs) is listed with the reason.
#include "planner/compare/clusters.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

namespace fs = std::filesystem;

// Relative to the plan, as a plan names its cluster.
std::string cluster_file(const std::string& plan_path, const std::string& name) {
  const fs::path folder = fs::path(plan_path).parent_path();
  if (name.ends_with(".json")) {
    const fs::path file(name);
    return file.is_absolute() ? name : fs::relative(file, folder.empty() ? "." : folder).string();
  }
  const base::JsonFile plan = base::load_json(plan_path);
  base::Fields fields(plan.value, plan_path);
  return (fs::path(fields.text("cluster")).parent_path() / (name + ".json")).string();
}

void add_inputs(base::Provenance& all, const base::Provenance& some) {
  for (const base::Provenance::Input& input : some.inputs) {
    const bool known = std::any_of(all.inputs.begin(), all.inputs.end(),
                                   [&](const base::Provenance::Input& each) { return each.path == input.path; });
    if (!known) all.inputs.push_back(input);
  }
}

ComparedCluster compared(const std::string& name, const std::string& plan_path, const std::string& file,
                         std::vector<std::string> overrides, base::Provenance& provenance) {
  ComparedCluster out;
  out.name = name;
  overrides.push_back("plan.cluster=" + base::Json(file).dump());
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

ClusterComparison compare_clusters(const std::string& plan_path, const std::vector<std::string>& clusters,
                                   const std::vector<std::string>& overrides) {
  ClusterComparison out;
  for (const std::string& name : clusters) {
    const std::string file = cluster_file(plan_path, name);
    const fs::path found = fs::path(plan_path).parent_path() / file;
    if (!fs::exists(found)) {
      throw base::Error("there is no cluster " + base::printable(name), found.lexically_normal().string(),
                        "name a file of that folder, or a path that ends in .json");
    }
    out.clusters.push_back(compared(name, plan_path, file, overrides, out.provenance));
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
