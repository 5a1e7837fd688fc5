// Every key of a plan, described once (base/describe.h): reader, writer, JSON schema, reference and help are made of
// this, and so are the assumptions that a budget prints: the keys whose default has a source.
//
// Defaults are published figures where there are any, and say that they are assumed where there are none.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/configs.h"
#include "base/describe.h"
#include "base/error.h"
#include "sim/training/plan.h"

namespace hourglass::sim {

namespace {

using base::choice;
using base::Fields;
using base::Json;
using base::range;

constexpr double most_gpus = 1e6;
constexpr double longest_sequence = 1 << 24;
constexpr double longest_wait = 1e6;  // of anything, in its own unit
constexpr double unbounded = std::numeric_limits<double>::infinity();
constexpr base::Unit in_tokens{"tokens"}, in_sequences{"sequences"}, in_gpu_hours{"GPU-hours"};

constexpr const char* llama = "The Llama 3 Herd of Models, arXiv 2407.21783";

std::vector<std::int64_t> read_layers_per_stage(Fields& fields, const std::string& key) {
  if (fields.any(key).is_array()) return fields.integers(key, 0, 10000);
  fields.choice(key, {"balanced"});
  return {};
}

std::map<std::string, double> read_prices(Fields& plan, const std::string& key) {
  std::map<std::string, double> prices;
  Fields fields = plan.object(key);
  for (const std::string& currency : fields.keys()) {
    if (currency.size() != 3 ||
        !std::all_of(currency.begin(), currency.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      fields.fail(base::printable(currency), "is no currency", "write three capitals, for instance EUR");
    if (currency == "USD") fields.fail(currency, "is the cluster's", "set cluster.price_USD_per_gpu_hour");
    prices[currency] = fields.number(currency, 0.0, 1e9);
  }
  fields.finish();
  return prices;
}

auto split_key() {
  return base::special<std::vector<std::int64_t>>(
      "\"balanced\" or list of whole numbers",
      Json{{"anyOf",
            {{{"enum", {"balanced", nullptr}}},
             {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", 10000}}}}}}},
      read_layers_per_stage,
      [](const std::vector<std::int64_t>& split) { return split.empty() ? Json("balanced") : Json(split); });
}

auto recompute_key() {
  const std::vector<std::string> names = model::recompute_names({true, true, true, true, true, true});
  return base::special<model::Recompute>(
      "list of texts: none, or some of " + base::listed(names),
      Json{{"anyOf",
            {{{"type", "null"}},
             {{"const", Json::array({"none"})}},
             {{"type", "array"}, {"items", {{"enum", names}}}}}}},
      [](Fields& fields, const std::string& key) {
        return model::read_recompute(fields.texts(key), fields.file() + " /" + key);
      },
      [](const model::Recompute& recompute) { return Json(model::recompute_names(recompute)); });
}

auto prices_key() {
  const Json name = {{"pattern", "^[A-Z]{3}$"}, {"not", {{"const", "USD"}}}};
  const Json price = {{"type", "number"}, {"minimum", 0}, {"maximum", 1e9}};
  return base::special<std::map<std::string, double>>(
      "a number for each currency", Json{{"type", "object"}, {"propertyNames", name}, {"additionalProperties", price}},
      read_prices, [](const std::map<std::string, double>& prices) { return Json(prices); });
}

bool is_simulated(const TrainingStage& stage) { return stage.tokens > 0.0 || stage.steps > 0.0; }

// What a stage has that does not say so itself.
TrainingStage stage_like(const Plan& plan) {
  TrainingStage stage;
  stage.sequence_length = plan.micro_batch.sequence_length;
  stage.global_batch = plan.global_batch;
  stage.context_parallel = plan.parallel.context;
  return stage;
}

}  // namespace

template <class V>
void describe(V& v, BatchRamp& ramp) {
  v.required("first_batch", ramp.first_batch, range(1, unbounded, in_sequences), "the batch of the first step");
  v.required("tokens", ramp.tokens, range(1, 1e18, in_tokens),
             "over how many tokens it grows, linearly, to the stage's own");
}

template <class V>
void describe(V& v, TrainingStage& stage) {
  const bool simulated = is_simulated(stage);
  v.required("name", stage.name, "what it is called in results");
  v.optional("tokens", stage.tokens, range(1, 1e18, in_tokens).otherwise("see steps"),
             "how much it trains; a stage has one of tokens, steps and gpu_hours");
  v.optional("steps", stage.steps, range(1, 1e12).otherwise("see gpu_hours"), "how many steps it trains");
  v.optional("gpu_hours", stage.gpu_hours, range(0, 1e12, in_gpu_hours).otherwise("none").when(!simulated),
             "what it takes, given instead of simulated");
  v.optional("sequence_length", stage.sequence_length,
             range(1, longest_sequence, in_tokens).otherwise("the plan's").when(simulated), "tokens of a sequence");
  v.optional("global_batch", stage.global_batch,
             range(1, unbounded, in_sequences).otherwise("the plan's").when(simulated), "sequences a step");
  v.optional("context_parallel", stage.context_parallel, range(1, most_gpus).otherwise("the plan's").when(simulated),
             "GPUs that share a sequence");
  v.optional("batch_ramp", stage.ramp, "the batch grows at the beginning of the stage");
}

void check(const TrainingStage& stage, const Fields& fields) {
  const int given = fields.states("tokens") + fields.states("steps") + fields.states("gpu_hours");
  if (given != 1)
    fields.fail("name", fmt::format("the stage gives {} of tokens, steps and gpu_hours", given), "give exactly one");
  if (!stage.ramp) return;
  if (stage.tokens <= 0.0) fields.fail("batch_ramp", "needs a stage given in tokens", "give tokens instead of steps");
  if (stage.ramp->tokens > stage.tokens) fields.fail("batch_ramp", "is longer than the stage", "shorten it");
}

template <class V>
void describe(V& v, PlanNetwork& network) {
  v.optional("routing", network.routing, choice(hardware::route_policy_names()),
             "how a switch picks one of several equal outputs");
  v.optional("failed", network.failed, "parts of the network that are broken, for instance plane3 or node7.nic2");
  v.optional("expert_skew", network.expert_skew, range(0, 5), "sigma of log-normal loads of the experts");
  v.optional("expert_loads", network.expert_loads, range(0, 1e15), "measured loads instead, relative, one an expert");
  v.optional("seed", network.seed, range(0, 1e9), "of the draw");
}

void check(const PlanNetwork& network, const Fields& fields) {
  if (!network.expert_loads.empty() && network.expert_skew > 0.0)
    fields.fail("expert_skew", "stands beside expert_loads", "give one of them");
}

template <class V>
void describe(V& v, SlowPart& part) {
  v.required("gpu", part.gpu, range(0, most_gpus - 1), "its number: pipeline rank by pipeline rank");
  v.required("factor", part.factor, range(1, 1e3), "by how much longer it takes");
}

template <class V>
void describe(V& v, FlappingNic& nic) {
  v.required("gpu", nic.gpu, range(0, most_gpus - 1), "the number of its GPU: pipeline rank by pipeline rank");
  v.optional("first_s", nic.first_s, range(0, 1e5, base::unit::s), "when it is down for the first time in a step");
  v.required("every_s", nic.every_s, range(1e-3, 1e5, base::unit::s), "from one time to the next");
  v.required("down_s", nic.down_s, range(1e-6, 1e5, base::unit::s), "how long it is down");
}

void check(const FlappingNic& nic, const Fields& fields) {
  if (nic.down_s >= nic.every_s) fields.fail("down_s", "the NIC would never be up", "make it less than every_s");
}

template <class V>
void describe(V& v, Variation& variation) {
  v.optional("slow_gpus", variation.slow_gpus, "GPUs whose kernels take longer");
  v.optional("slow_nics", variation.slow_nics, "GPUs whose messages take longer");
  v.optional("flapping_nics", variation.flapping_nics, "NICs that have no bandwidth from time to time");
  v.optional("expert_loads", variation.expert_loads, range(1e-12, 1e15),
             "measured loads, one a routed expert in any unit; every layer deals them to its experts in its own order");
  v.optional("expert_skew", variation.expert_skew, range(0, 5),
             "sigma of log-normal loads of the experts, drawn for each layer");
  v.optional("expert_persistence", variation.expert_persistence, range(0, 1),
             "correlation of a layer's log loads from one micro-batch to another; 1 keeps them for the step");
  v.optional("seed", variation.seed, range(0, 1e9), "of the draws");
}

template <class V>
void describe(V& v, Reliability& r) {
  v.optional("failures_per_gpu_day", r.failures_per_gpu_day,
             range(0, 1).from(std::string(llama) + ", table 5: 419 unexpected interruptions in 54 days on 16,384 GPUs"),
             "unexpected interruptions of the whole job, for each of its GPUs and a day");
  v.optional("planned_per_day", r.planned_per_day, range(0, 1000).from("assumed: none"),
             "interruptions of the job with a checkpoint just before");
  v.optional("detection_min", r.detection_s,
             range(0, longest_wait, base::unit::min)
                 .from("MegaScale, arXiv 2402.15627, section 6.3: detection and diagnostics in less than 10 minutes"),
             "from a failure until its node is known");
  v.optional("restart_min", r.restart_s, range(0, longest_wait, base::unit::min).from("assumed"),
             "from there until the first step; loading the checkpoint comes on top");
  v.optional("storage_GBps_per_gpu", r.storage_bandwidth_per_gpu,
             range(1e-6, 1e4, base::unit::GBps)
                 .from(std::string(llama) + ", section 3.3.1: 2 TB/s sustained, for 16,384 GPUs"),
             "bandwidth of writing and reading checkpoints");
  v.optional("bytes_per_parameter", r.bytes_per_parameter,
             range(0, 64).from("BF16 weights, FP32 master weights and BF16 moments (arXiv 2412.19437, section 3.3.3)"),
             "bytes of a checkpoint for each parameter of the model");
  v.optional("blocking_share", r.blocking_share, range(0, 1).from("assumed: training waits for the whole write"),
             "of a checkpoint's writing that training waits for; 0.1 for a copy to host memory and a write behind it");
  v.optional("checkpoint_interval_min", r.checkpoint_interval_s,
             range(1e-3, longest_wait, base::unit::min).otherwise("Daly's optimum"), "work between checkpoints");
  v.optional("node_share", r.node_share,
             range(0, 1).from(std::string(llama) + ", section 3.3.4: 78 % confirmed or suspected hardware issues"),
             "of the interruptions that take a node out of service");
  v.optional("repair_h", r.repair_s, range(0, longest_wait, base::unit::h).from("assumed: a day"),
             "until such a node is back");
  v.optional("spare_nodes", r.spare_nodes, range(0, 100000).otherwise("the number that costs fewest GPU-hours"),
             "nodes that wait for others to break");
}

template <class V>
void describe(V& v, Energy& energy) {
  v.optional("W_per_gpu", energy.power_per_gpu,
             range(1, 1e5, base::unit::W).otherwise("the cluster's power_W_per_gpu").from("the cluster's source"),
             "power of a GPU with its share of the host");
  v.optional("pue", energy.pue,
             range(1, 10).from("assumed: between 1.1 of the largest operators and the 1.56 average of Uptime "
                               "Institute's survey of 2024"),
             "power of the whole site over that of its computers");
}

template <class V>
void describe(V& v, Imbalance& imbalance) {
  v.optional("p10", imbalance.p10, range(1, 100), "the quantile that a tenth stays below");
  v.optional("p50", imbalance.p50,
             range(1, 100).from("Loss-Free Balancing, arXiv 2408.15664, table 2: the fullest expert 4 % above the "
                                "mean over a validation set"),
             "the median");
  v.optional("p90", imbalance.p90, range(1, 100).from("assumed"), "the quantile that a tenth exceeds");
}

void check(const Imbalance& imbalance, const Fields& fields) {
  if (imbalance.p10 > imbalance.p50 || imbalance.p50 > imbalance.p90)
    fields.fail("p50", "the quantiles fall", "give p10 <= p50 <= p90");
}

template <class V>
void describe(V& v, Uncertainty& u) {
  v.optional("expert_imbalance", u.imbalance, "load of the fullest GPU of an expert-parallel group over the mean");
  v.optional("failure_factor", u.failure_factor,
             range(1, 1000).from("assumed: rates of published runs lie within a factor of about four (docs/budget.md)"),
             "90th percentile of the failure rate over its median");
  v.optional("samples", u.samples, range(100, 1e7), "draws of the range");
  v.optional("seed", u.seed, range(0, unbounded), "of the draws");
}

template <class V>
void describe(V& v, ExtraRun& run) {
  const bool given = run.plan_file.empty() && run.stage.empty();
  v.required("name", run.name, "what it is called in results");
  v.optional("count", run.count, range(1, 1e6), "how often it is run");
  v.optional("plan", run.plan_file,
             "a plan: a shipped name or a path, relative to this one; a run has one of plan, stage and gpu_hours");
  v.optional("stage", run.stage, "a stage of this plan, part of which is run again: tokens or share of it");
  v.optional("tokens", run.tokens, range(1, 1e18, in_tokens).otherwise("see share"),
             "so much of the stage, at its full batch");
  v.optional("share", run.share, range(1e-9, 1e3).otherwise("see tokens"), "this share of the stage's GPU-hours");
  v.optional("gpu_hours", run.gpu_hours, range(0, 1e12, in_gpu_hours).otherwise("none").when(given),
             "hours simply given");
}

void check(const ExtraRun& run, const Fields& fields) {
  const int given = fields.states("plan") + fields.states("stage") + fields.states("gpu_hours");
  if (given != 1) fields.fail("name", "the run names none or several of plan, stage and gpu_hours", "give exactly one");
  if (!run.stage.empty() && fields.states("tokens") == fields.states("share"))
    fields.fail("stage", "needs tokens or share, one of them", "give for instance \"share\": 0.05");
  for (const char* part : {"tokens", "share"}) {
    if (run.stage.empty() && fields.states(part)) fields.fail(part, "is part of no stage", "name the stage");
  }
}

template <class V>
void describe(V& v, Operations& operations) {
  v.optional("reliability", operations.reliability, "failures, checkpoints and repair");
  v.optional("energy", operations.energy, "power");
  v.optional("uncertainty", operations.uncertainty, "what the range of a budget is drawn from");
  v.optional("prices_per_gpu_hour", operations.prices, prices_key(),
             "further currencies beside the cluster's dollars, for instance {\"EUR\": 1.85}");
  v.optional("runs", operations.runs, "what is trained beside the stages: ablations, restarts, other plans");
}

template <class V>
void describe(V& v, Plan& plan) {
  model::Parallelism& p = plan.parallel;
  v.required("name", plan.name, "what it is called in results");
  v.ignored("notes", "for the reader");
  v.required("model", plan.model_file,
             "the model: a shipped name, or the path of its config.json, relative to the plan");
  v.required("cluster", plan.cluster_file,
             "the cluster: a shipped name, or the path of its file, relative to the plan");
  v.optional("profile", plan.profile_file, base::Plain{}.otherwise("the one that the cluster names"),
             "the profile that prices kernels and messages: a shipped name or a path");
  v.required("gpus", plan.gpus, range(1, most_gpus), "GPUs that train");
  v.optional("tensor_parallel", p.tensor, range(1, 1024).when(true),
             "GPUs that split every matrix, with sequence parallelism where more than 1");
  v.optional("pipeline_parallel", p.pipeline, range(1, 512).when(true), "pipeline ranks");
  v.optional("context_parallel", p.context, range(1, most_gpus).when(true), "GPUs that share a sequence");
  v.optional("expert_parallel", p.expert, range(1, most_gpus).when(true),
             "GPUs that the routed experts are spread over");
  v.optional("expert_tensor_parallel", p.expert_tensor, range(1, 1024).when(true), "GPUs that split every expert");
  v.optional("schedule", plan.schedule, base::Plain{}.when(true),
             "the pipeline schedule, one of `hourglass schedule --list`");
  v.optional("small_batch_schedule", plan.small_batch_schedule, base::Plain{}.otherwise("none: such a step is refused"),
             "the schedule of steps that have too few micro-batches for `schedule`");
  v.optional("chunks", plan.chunks, range(0, 64).otherwise("the schedule's own"),
             "stages that a pipeline rank holds, for schedules that let them be chosen; 0: as if left out");
  v.optional("layers_per_stage", plan.layers_per_stage, split_key().when(true),
             "how many layers each pipeline stage holds; balanced: by their cost");
  v.optional("micro_batch", plan.micro_batch.sequences, range(1, 1e6, in_sequences).when(true),
             "sequences a micro-batch");
  v.required("sequence_length", plan.micro_batch.sequence_length, range(1, longest_sequence, in_tokens),
             "tokens of a sequence");
  v.required("global_batch", plan.global_batch, range(1, unbounded, in_sequences), "sequences a step");
  v.required("precision", plan.precision, choice(model::precision_names()),
             "of the GEMMs: BF16, or FP8 with a scale for each block or tensor");
  v.optional("recompute", plan.recompute, recompute_key().otherwise("none"),
             "what is computed again in the backward pass instead of kept (Megatron-Core's names)");
  v.optional("mtp", plan.mtp, base::Plain{}.when(true), "whether the multi-token prediction module is trained");
  v.optional("communication_sms", plan.communication_sms, range(0, 1000).when(true),
             "SMs that the all-to-all kernels take while they overlap with computation");
  v.optional("overlap_weight_gradients", plan.overlap_weight_gradients, base::Plain{}.when(true),
             "whether a full backward that runs alone computes W while its all-to-all is under way");
  v.optional("contention", plan.contention,
             "whether messages of the pipeline and all-to-alls slow each other on a NIC that they share");
  v.optional("overlap_gradient_reduce", plan.overlap_gradient_reduce,
             "whether a stage's gradients are reduced as soon as its last W is done");
  v.optional("overlap_parameter_gather", plan.overlap_parameter_gather,
             "whether parameters are gathered stage by stage while the next step fills");
  v.optional(
      "network", plan.network,
      "the wires that the all-to-all of experts meets; without it groups are balanced and do not disturb each other");
  v.optional("variation", plan.variation,
             "what makes the GPUs of a pipeline rank differ: they are simulated one by one");
  v.optional("stages", plan.stages, base::items(stage_like(plan)), "the stages of the training run, in order");
  describe(v, plan.operations);
}

void check(const Plan& plan, const Fields& fields) {
  const auto in_range = [&](const std::string& key, std::size_t i, std::int64_t gpu) {
    if (gpu < plan.gpus) return;
    fields.fail(fmt::format("variation/{}/{}/gpu", key, i), fmt::format("{} is out of range", gpu),
                fmt::format("give a whole number from 0 to {}", plan.gpus - 1));
  };
  const Variation variation = plan.variation.value_or(Variation{});
  for (std::size_t i = 0; i < variation.slow_gpus.size(); ++i) in_range("slow_gpus", i, variation.slow_gpus[i].gpu);
  for (std::size_t i = 0; i < variation.slow_nics.size(); ++i) in_range("slow_nics", i, variation.slow_nics[i].gpu);
  for (std::size_t i = 0; i < variation.flapping_nics.size(); ++i)
    in_range("flapping_nics", i, variation.flapping_nics[i].gpu);
  std::vector<std::string> stages;
  for (const TrainingStage& stage : plan.stages) stages.push_back(stage.name);
  for (std::size_t i = 0; i < plan.operations.runs.size(); ++i) {
    const std::string& stage = plan.operations.runs[i].stage;
    if (stage.empty() || std::find(stages.begin(), stages.end(), stage) != stages.end()) continue;
    fields.fail(fmt::format("runs/{}/stage", i), fmt::format("'{}' is not a choice", base::printable(stage)),
                base::suggestion(stage, stages));
  }
}

Plan read_plan(const Json& document, const std::string& file) {
  Fields fields(document, file);
  Plan plan;
  std::vector<std::string> given;
  base::read_described(fields, plan, &given);
  for (const std::string& key : given) {
    if (key.find('.') != std::string::npos) plan.operations.given.push_back(key);
  }
  const auto resolve = [&](base::Config kind, std::string& named) {
    if (!named.empty()) named = base::resolve(kind, named, file);
  };
  resolve(base::Config::model, plan.model_file);
  resolve(base::Config::cluster, plan.cluster_file);
  resolve(base::Config::profile, plan.profile_file);
  for (ExtraRun& run : plan.operations.runs) resolve(base::Config::plan, run.plan_file);
  return plan;
}

Json plan_json(const Plan& plan) {
  Plan named = plan;
  named.model_file = base::name_or_path(base::Config::model, plan.model_file);
  named.cluster_file = base::name_or_path(base::Config::cluster, plan.cluster_file);
  if (!plan.profile_file.empty()) named.profile_file = base::name_or_path(base::Config::profile, plan.profile_file);
  return base::json_of(named);
}

std::vector<base::DescribedKey> plan_keys() { return base::keys_of<Plan>(); }

Reliability read_reliability(Fields& fields) {
  Reliability reliability;
  if (!fields.has("reliability")) return reliability;
  Fields block = fields.object("reliability");
  base::read_described(block, reliability);
  return reliability;
}

namespace {

void add_assumptions(const std::vector<base::DescribedKey>& keys, const std::string& prefix,
                     std::vector<Assumption>& out) {
  for (const base::DescribedKey& each : keys) {
    if (!each.key.source.empty())
      out.push_back({prefix + each.key.name, each.otherwise.get<double>(), each.key.source});
    add_assumptions(each.inside, prefix + each.key.name + ".", out);
  }
}

}  // namespace

std::vector<Assumption> assumptions(const Operations& operations, const hardware::Cluster& cluster) {
  Operations used = operations;
  used.energy.power_per_gpu = power_per_gpu(operations.energy, cluster);
  std::vector<Assumption> all;
  add_assumptions(base::keys_of(used), "", all);
  const auto power = cluster.sources.find("power_W_per_gpu");
  for (Assumption& each : all) {
    if (each.key == "energy.W_per_gpu")
      each.source = power != cluster.sources.end() ? power->second : "the cluster states none";
    const auto stated = std::find(operations.given.begin(), operations.given.end(), each.key);
    if (stated != operations.given.end()) each.source = "the plan";
  }
  return all;
}

}  // namespace hourglass::sim
