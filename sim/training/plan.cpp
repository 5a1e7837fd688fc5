#include "sim/training/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::sim {

namespace {

using base::Error;
using base::Fields;

constexpr std::int64_t most_gpus = 1'000'000;
constexpr std::int64_t longest_sequence = std::int64_t{1} << 24;

// Paths in a plan are relative to the plan.
std::string beside(const std::string& file, const std::string& relative) {
  return (std::filesystem::path(file).parent_path() / relative).lexically_normal().string();
}

TrainingStage read_stage(Fields fields, const Plan& plan) {
  TrainingStage stage;
  stage.name = fields.text("name");
  stage.tokens = fields.number_or("tokens", 0.0, 1.0, 1e18);
  stage.steps = fields.number_or("steps", 0.0, 1.0, 1e12);
  stage.gpu_hours = fields.number_or("gpu_hours", 0.0, 0.0, 1e12);
  const int given = fields.has("tokens") + fields.has("steps") + fields.has("gpu_hours");
  if (given != 1)
    fields.fail("name", fmt::format("the stage gives {} of tokens, steps and gpu_hours", given), "give exactly one");
  stage.sequence_length = fields.integer_or("sequence_length", plan.micro_batch.sequence_length, 1, longest_sequence);
  stage.global_batch = fields.integer_or("global_batch", plan.global_batch, 1);
  stage.context_parallel = fields.integer_or("context_parallel", plan.parallel.context, 1, most_gpus);
  if (fields.has("batch_ramp")) {
    Fields ramp = fields.object("batch_ramp");
    stage.ramp = BatchRamp{ramp.integer("first_batch", 1), ramp.number("tokens", 1.0, 1e18)};
    ramp.finish();
    if (stage.tokens <= 0.0) fields.fail("batch_ramp", "needs a stage given in tokens", "give tokens instead of steps");
    if (stage.ramp->tokens > stage.tokens) fields.fail("batch_ramp", "is longer than the stage", "shorten it");
  }
  fields.finish();
  return stage;
}

std::vector<std::int64_t> read_layers_per_stage(Fields& fields) {
  if (!fields.has("layers_per_stage")) return {};
  if (fields.any("layers_per_stage").is_array()) return fields.integers("layers_per_stage", 0, 10000);
  fields.choice("layers_per_stage", {"balanced"});
  return {};
}

PlanNetwork read_network(Fields fields) {
  PlanNetwork network;
  if (fields.has("routing"))
    network.routing = hardware::route_policy(fields.choice("routing", hardware::route_policy_names()));
  if (fields.has("failed")) network.failed = fields.texts("failed");
  network.expert_skew = fields.number_or("expert_skew", 0.0, 0.0, 5.0);
  if (fields.has("expert_loads")) {
    network.expert_loads = fields.numbers("expert_loads", 0.0, 1e15);
    if (network.expert_skew > 0.0) fields.fail("expert_skew", "stands beside expert_loads", "give one of them");
  }
  network.seed = fields.integer_or("seed", 1, 0, 1'000'000'000);
  fields.finish();
  return network;
}

Plan read_plan(const base::Json& document, const std::string& file) {
  Fields fields(document, file);
  Plan plan;
  plan.name = fields.text("name");
  fields.text_or("notes", "");
  plan.model_file = beside(file, fields.text("model"));
  plan.cluster_file = beside(file, fields.text("cluster"));
  if (fields.has("profile")) plan.profile_file = beside(file, fields.text("profile"));
  plan.gpus = fields.integer("gpus", 1, most_gpus);
  plan.parallel.pipeline = fields.integer_or("pipeline_parallel", 1, 1, 512);
  plan.parallel.tensor = fields.integer_or("tensor_parallel", 1, 1, 1024);
  plan.parallel.context = fields.integer_or("context_parallel", 1, 1, most_gpus);
  plan.parallel.expert = fields.integer_or("expert_parallel", 1, 1, most_gpus);
  plan.parallel.expert_tensor = fields.integer_or("expert_tensor_parallel", 1, 1, 1024);
  plan.schedule = fields.text_or("schedule", "1f1b");
  plan.small_batch_schedule = fields.text_or("small_batch_schedule", "");
  plan.chunks = static_cast<int>(fields.integer_or("chunks", 0, 0, 64));
  plan.layers_per_stage = read_layers_per_stage(fields);
  plan.micro_batch.sequences = fields.integer_or("micro_batch", 1, 1, 1'000'000);
  plan.micro_batch.sequence_length = fields.integer("sequence_length", 1, longest_sequence);
  plan.global_batch = fields.integer("global_batch", 1);
  const std::string precision = fields.choice("precision", {"bf16", "fp8_block", "fp8_tensor"});
  plan.precision = precision == "bf16"        ? model::Precision::bf16
                   : precision == "fp8_block" ? model::Precision::fp8_block
                                              : model::Precision::fp8_tensor;
  if (fields.has("recompute")) plan.recompute = model::read_recompute(fields.texts("recompute"), file + " /recompute");
  plan.mtp = fields.flag_or("mtp", false);
  plan.communication_sms = fields.integer_or("communication_sms", 0, 0, 1000);
  plan.overlap_weight_gradients = fields.flag_or("overlap_weight_gradients", true);
  plan.contention = fields.flag_or("contention", true);
  plan.overlap_gradient_reduce = fields.flag_or("overlap_gradient_reduce", false);
  plan.overlap_parameter_gather = fields.flag_or("overlap_parameter_gather", false);
  if (fields.has("variation")) plan.variation = read_variation(fields.object("variation"), plan.gpus);
  if (fields.has("network")) plan.network = read_network(fields.object("network"));
  if (fields.has("stages")) {
    for (Fields& stage : fields.objects("stages")) plan.stages.push_back(read_stage(stage, plan));
  }
  std::vector<std::string> stages;
  for (const TrainingStage& stage : plan.stages) stages.push_back(stage.name);
  plan.operations = read_operations(fields, file, stages);
  fields.finish();
  return plan;
}

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
                             "name a key, for instance plan.cluster=../clusters/h800.json");
    const std::string prefix = assignment.substr(0, assignment.find_first_of(".="));
    if (std::find(documents.begin(), documents.end(), prefix) == documents.end()) {
      throw base::UsageError(fmt::format("there is no input '{}'", base::printable(prefix)),
                             "--set " + base::printable(assignment), base::suggestion(prefix, documents));
    }
  }
}

}  // namespace

Inputs load_inputs(const std::string& plan_path, const std::vector<std::string>& overrides, bool any_layout) {
  check_prefixes(overrides);
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
    inputs.plan.profile_file = beside(inputs.plan.cluster_file, "../profiles/" + inputs.cluster.profile + ".json");
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
