#include "sim/training/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"

namespace hourglass::sim {

namespace {

// Splits --set assignments by the document they name.
void apply_overrides(base::Json& document, const std::string& prefix, const std::vector<std::string>& overrides) {
  for (const std::string& assignment : overrides) {
    if (assignment.starts_with(prefix + ".")) base::apply_override(document, assignment.substr(prefix.size() + 1));
  }
}

void check_prefixes(const std::vector<std::string>& overrides) {
  const std::vector<std::string> documents = {"plan", "cluster", "profile"};
  for (const std::string& assignment : overrides) {
    if (assignment.find('=') == std::string::npos) {
      throw base::UsageError(fmt::format("'{}' has no value", base::printable(assignment)), "--set",
                             "write for instance --set plan.schedule=1f1b");
    }
    if (assignment.find('.') > assignment.find('='))
      throw base::UsageError("replaces a whole input", "--set " + base::printable(assignment),
                             "name a key, for instance plan.cluster=h800");
    const std::string prefix = assignment.substr(0, assignment.find_first_of(".="));
    if (std::find(documents.begin(), documents.end(), prefix) == documents.end()) {
      throw base::UsageError(fmt::format("there is no input '{}'", base::printable(prefix)),
                             "--set " + base::printable(assignment), base::suggestion(prefix, documents));
    }
  }
}

}  // namespace

Sharding Plan::sharding() const {
  Sharding sharding = states;
  const auto advance = [](Events& moves, Event to) {
    if (moves == Events{Event::step_end}) moves = {to};
  };
  if (overlap_gradient_reduce) advance(sharding.gradients.moves, Event::last_backward);
  if (overlap_parameter_gather) advance(sharding.parameters.moves, Event::first_forward);
  return sharding;
}

Inputs load_inputs(const std::string& plan_named, const std::vector<std::string>& overrides, bool any_layout) {
  check_prefixes(overrides);
  const std::string plan_path = base::resolve(base::Config::plan, plan_named);
  Inputs inputs;
  inputs.overrides = overrides;
  const auto load = [&](const std::string& path, const std::string& prefix) {
    base::JsonFile file = base::load_json(path);
    inputs.provenance.inputs.push_back({path, file.text_hash});
    if (prefix == "plan") add_operation_blocks(file.value);
    if (!prefix.empty()) apply_overrides(file.value, prefix, overrides);
    return file.value;
  };
  inputs.plan = read_plan(load(plan_path, "plan"), plan_path);
  inputs.model = model::read_model(inputs.plan.model_file);
  inputs.provenance.inputs.push_back({inputs.plan.model_file, base::load_json(inputs.plan.model_file).text_hash});
  inputs.cluster = hardware::read_cluster(load(inputs.plan.cluster_file, "cluster"), inputs.plan.cluster_file);
  if (inputs.plan.profile_file.empty()) {
    inputs.plan.profile_file = base::resolve(base::Config::profile, inputs.cluster.profile, inputs.plan.cluster_file);
  }
  inputs.profile = hardware::read_profile(load(inputs.plan.profile_file, "profile"), inputs.plan.profile_file);
  inputs.provenance.profile = inputs.profile.name;
  if (!any_layout) complete_parallelism(inputs.plan, inputs.model, inputs.cluster, plan_path);
  refuse(model_violations(inputs.plan, inputs.model, plan_path));
  return inputs;
}

Plan plan_for_stage(const Plan& plan, const TrainingStage& stage, std::int64_t global_batch) {
  Plan out = plan;
  out.micro_batch.sequence_length = stage.sequence_length;
  out.parallel.context = stage.context_parallel;
  out.global_batch = global_batch;
  out.stages.clear();
  return out;
}

}  // namespace hourglass::sim
