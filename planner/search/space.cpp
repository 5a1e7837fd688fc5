// What a search varies. Tensor parallelism stays inside an NVLink domain and is a power of two; context parallelism too, with at
// least 1024 tokens a GPU or as many as the plan's own; pipeline ranks divide the GPUs and leave every stage a layer;
// expert parallelism divides the experts, expert tensor parallelism is at most the tensor parallelism (expert_tensor >
// tensor would split experts finer than attention, which nobody does). One to eight sequences a micro-batch. Schedules:
// all of the catalogue, looped ones with two to ten chunks. Recomputation climbs a ladder from nothing to everything,
// or takes every subset. SMs of communication are varied where there is expert parallelism.
//
// Every plan of the product of the axes has a number; which of them are legal is decided one by one.
#include "planner/search/space.h"

#include <algorithm>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "schedules/catalogue.h"

namespace hourglass::planner {

namespace {

constexpr std::int64_t deepest_pipeline = 64, fewest_tokens = 1024, longest_context_group = 16;

std::vector<std::int64_t> powers_of_two(std::int64_t most) {
  std::vector<std::int64_t> all;
  for (std::int64_t value = 1; value <= most; value *= 2) all.push_back(value);
  return all;
}

std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

std::vector<std::int64_t> contexts_of(const sim::Inputs& inputs) {
  std::vector<std::int64_t> all = {1, inputs.plan.parallel.context};
  for (const std::int64_t context : powers_of_two(longest_context_group)) {
    if (inputs.plan.micro_batch.sequence_length / context >= fewest_tokens) all.push_back(context);
  }
  return sorted(std::move(all));
}

std::vector<std::int64_t> gpus_of(const sim::Inputs& inputs, const SpaceOptions& options) {
  if (!options.gpus.empty()) return sorted(options.gpus);
  if (options.max_gpus == 0) return std::vector<std::int64_t>(1, inputs.plan.gpus);
  std::vector<std::int64_t> all;
  for (std::int64_t gpus = inputs.cluster.gpus_per_host; gpus <= options.max_gpus; gpus *= 2) all.push_back(gpus);
  if (inputs.plan.gpus <= options.max_gpus) all.push_back(inputs.plan.gpus);
  return sorted(std::move(all));
}

std::vector<std::int64_t> divisors(std::int64_t number, std::int64_t most) {
  std::vector<std::int64_t> all;
  for (std::int64_t d = 1; d <= std::min(number, most); ++d) {
    if (number % d == 0) all.push_back(d);
  }
  return all;
}

void add_recompute(std::vector<model::Recompute>& all, const model::Recompute& recompute) {
  for (const model::Recompute& known : all) {
    if (same_recompute(known, recompute)) return;
  }
  all.push_back(recompute);
}

// From least to most recomputed, and the plan's own.
std::vector<model::Recompute> ladder(const sim::Inputs& inputs) {
  const bool latent = model::has_latents(inputs.model);
  std::vector<model::Recompute> all = {inputs.plan.recompute};
  model::Recompute r;
  add_recompute(all, r);
  r.norm = true;
  add_recompute(all, r);
  r.swiglu = true;
  add_recompute(all, r);
  r.mla_up_proj = latent;
  add_recompute(all, r);
  r.core_attn = true;
  add_recompute(all, r);
  model::Recompute core;
  core.core_attn = true;
  add_recompute(all, core);
  model::Recompute full;
  full.full = true;
  add_recompute(all, full);
  return all;
}

std::vector<model::Recompute> every_recompute(const sim::Inputs& inputs) {
  const bool latent = model::has_latents(inputs.model);
  const bool moe = model::experts_of(inputs.model) != nullptr;
  std::vector<model::Recompute> all = {inputs.plan.recompute};
  for (int bits = 0; bits < 32; ++bits) {
    model::Recompute r;
    r.norm = (bits & 1) != 0;
    r.swiglu = (bits & 2) != 0;
    r.core_attn = (bits & 4) != 0;
    r.mla_up_proj = (bits & 8) != 0;
    r.moe_act = (bits & 16) != 0;
    if ((r.mla_up_proj && !latent) || (r.moe_act && (!moe || r.swiglu))) continue;  // would change nothing
    add_recompute(all, r);
  }
  model::Recompute full;
  full.full = true;
  add_recompute(all, full);
  return all;
}

// The plan's own first.
std::vector<std::int64_t> sms_of(const sim::Inputs& inputs) {
  const std::int64_t own = inputs.plan.communication_sms;
  std::vector<std::int64_t> all(1, own);
  if (model::experts_of(inputs.model) == nullptr) return all;
  for (const std::int64_t sms : {8, 12, 16, 20, 24, 32}) {
    if (sms != own) all.push_back(sms);
  }
  return all;
}

std::vector<ScheduleChoice> schedules_of(const sim::Inputs& inputs, const SpaceOptions& options) {
  std::vector<ScheduleChoice> all;
  for (const std::string& name : options.schedules.empty() ? schedules::names() : options.schedules) {
    const schedules::CatalogueEntry& entry = schedules::catalogue_entry(name);
    if (!entry.takes_chunks) {
      all.push_back({name, 0});
      continue;
    }
    std::vector<std::int64_t> chunks = {2, 3, 4, 5, 6, 7, 8, 10};
    if (name == inputs.plan.schedule && inputs.plan.chunks > 1) chunks.push_back(inputs.plan.chunks);
    for (const std::int64_t each : sorted(std::move(chunks))) all.push_back({name, static_cast<int>(each)});
  }
  return all;
}

// Takes the next digit of a mixed-radix number.
template <class T>
const T& digit(const std::vector<T>& axis, std::uint64_t& number) {
  const T& value = axis[number % axis.size()];
  number /= axis.size();
  return value;
}

}  // namespace

bool same_recompute(const model::Recompute& a, const model::Recompute& b) {
  return model::recompute_names(a) == model::recompute_names(b);
}

const std::string& precision_name(model::Precision precision) {
  return model::precision_names()[static_cast<std::size_t>(precision)];
}

std::uint64_t Space::groups() const {
  return clusters.size() * gpus.size() * global_batches.size() * tensors.size() * contexts.size() *
         micro_batches.size();
}

std::uint64_t Space::keys() const {
  return experts.size() * expert_tensors.size() * precisions.size() * recomputes.size() * communication_sms.size();
}

std::uint64_t Space::size() const { return groups() * pipelines.size() * keys() * schedules.size(); }

std::uint64_t Space::id(std::uint64_t group, std::uint64_t pipeline, std::uint64_t key, std::uint64_t schedule) const {
  return ((group * pipelines.size() + pipeline) * keys() + key) * schedules.size() + schedule;
}

SearchChoice Space::choice(std::uint64_t id) const {
  SearchChoice c;
  const ScheduleChoice& schedule = digit(schedules, id);
  c.schedule = schedule.name;
  c.chunks = schedule.chunks;
  c.communication_sms = digit(communication_sms, id);
  c.recompute = digit(recomputes, id);
  c.precision = digit(precisions, id);
  c.expert_tensor = digit(expert_tensors, id);
  c.expert = digit(experts, id);
  c.pipeline = digit(pipelines, id);
  c.micro_batch = digit(micro_batches, id);
  c.context = digit(contexts, id);
  c.tensor = digit(tensors, id);
  c.global_batch = digit(global_batches, id);
  c.gpus = digit(gpus, id);
  c.cluster = id;
  return c;
}

Space space_of(const sim::Inputs& inputs, const std::vector<sim::Inputs>& others, const SpaceOptions& options) {
  Space space;
  space.clusters = {inputs};
  space.clusters.insert(space.clusters.end(), others.begin(), others.end());
  std::int64_t domain = 1;
  for (const sim::Inputs& each : space.clusters) domain = std::max(domain, each.cluster.nvlink_domain);
  const model::MixtureOfExperts* experts = model::experts_of(inputs.model);
  space.gpus = gpus_of(inputs, options);
  space.global_batches = options.global_batches.empty() ? std::vector<std::int64_t>(1, inputs.plan.global_batch)
                                                        : sorted(options.global_batches);
  space.tensors = powers_of_two(domain);
  space.contexts = contexts_of(inputs);
  space.micro_batches = sorted({1, 2, 4, 8, inputs.plan.micro_batch.sequences});
  std::vector<std::int64_t> pipelines;
  for (const std::int64_t gpus : space.gpus) {
    for (const std::int64_t d : divisors(gpus, std::min(inputs.model.layer_count() + 1, deepest_pipeline)))
      pipelines.push_back(d);
  }
  space.pipelines = sorted(std::move(pipelines));
  const std::vector<std::int64_t> one(1, 1);
  space.experts = experts != nullptr ? divisors(experts->routed_experts, experts->routed_experts) : one;
  space.expert_tensors = experts != nullptr ? space.tensors : one;
  space.precisions = options.precisions.empty() ? std::vector{inputs.plan.precision} : options.precisions;
  space.recomputes = options.every_recompute ? every_recompute(inputs) : ladder(inputs);
  space.communication_sms = sms_of(inputs);
  space.schedules = schedules_of(inputs, options);
  return space;
}

Space coarse(const Space& space) {
  Space out = space;
  for (std::vector<std::int64_t> Space::*axis :
       {&Space::contexts, &Space::micro_batches, &Space::expert_tensors, &Space::communication_sms})
    out.*axis = std::vector<std::int64_t>(1, (space.*axis).front());
  model::Recompute full;
  full.full = true;
  out.recomputes = {space.recomputes.front(), full};
  return out;
}

void apply_numbers(sim::Plan& plan, const SearchChoice& choice) {
  plan.gpus = choice.gpus;
  plan.global_batch = choice.global_batch;
  plan.parallel.tensor = choice.tensor;
  plan.parallel.pipeline = choice.pipeline;
  plan.parallel.context = choice.context;
  plan.parallel.expert = choice.expert;
  plan.parallel.expert_tensor = choice.expert_tensor;
  plan.micro_batch.sequences = choice.micro_batch;
  plan.precision = choice.precision;
  plan.recompute = choice.recompute;
  plan.communication_sms = choice.communication_sms;
}

sim::Plan apply(const sim::Plan& plan, const SearchChoice& choice) {
  sim::Plan out = plan;
  // Training stages that have the plan's own context parallelism or batch go with it.
  for (sim::TrainingStage& stage : out.stages) {
    if (stage.context_parallel == plan.parallel.context) stage.context_parallel = choice.context;
    if (stage.global_batch == plan.global_batch) stage.global_batch = choice.global_batch;
  }
  apply_numbers(out, choice);
  out.schedule = choice.schedule;
  out.chunks = choice.chunks;
  out.layers_per_stage.clear();
  return out;
}

sim::Inputs on_cluster(const sim::Inputs& inputs, const std::string& cluster_file,
                       const std::vector<std::string>& overrides) {
  sim::Inputs out = inputs;
  const base::JsonFile cluster = base::load_json(cluster_file);
  base::Json document = cluster.value;
  for (const std::string& assignment : overrides) {
    if (assignment.starts_with("cluster.")) base::apply_override(document, assignment.substr(8));
  }
  out.cluster = hardware::read_cluster(document, cluster_file);
  out.plan.cluster_file = cluster_file;
  out.plan.profile_file = base::resolve(base::Config::profile, out.cluster.profile, cluster_file);
  const base::JsonFile profile = base::load_json(out.plan.profile_file);
  out.profile = hardware::read_profile(profile.value, out.plan.profile_file);
  out.provenance.inputs.push_back({cluster_file, cluster.text_hash});
  out.provenance.inputs.push_back({out.plan.profile_file, profile.text_hash});
  return out;
}

}  // namespace hourglass::planner
