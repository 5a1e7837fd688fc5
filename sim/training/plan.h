#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"
#include "hardware/cluster.h"
#include "hardware/network/routes.h"
#include "hardware/platform.h"
#include "hardware/profile.h"
#include "model/layers.h"
#include "model/spec.h"
#include "schedules/catalogue.h"
#include "sim/training/overlap_order.h"
#include "sim/training/plan_operations.h"
#include "sim/training/sharding.h"
#include "sim/training/variation.h"

namespace hourglass::base {
struct DescribedKey;
}

// The four inputs of a simulation: model x plan x cluster x profile, each a small file.
namespace hourglass::sim {

// Batch size grows linearly from `first_batch` sequences to the stage's global batch over the first `tokens` tokens.
struct BatchRamp {
  std::int64_t first_batch = 0;
  double tokens = 0.0;
};

// One stage of a training run: so many tokens or steps at one sequence length and batch, or hours simply given.
struct TrainingStage {
  std::string name;
  double tokens = 0.0;  // 0: see steps
  double steps = 0.0;   // 0: see gpu_hours
  double gpu_hours = 0.0;
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 0;  // sequences
  std::int64_t context_parallel = 1;
  std::optional<BatchRamp> ramp;
};

// How the all-to-all meets the wires. Without it, groups are balanced and do not disturb each other.
struct PlanNetwork {
  hardware::RoutePolicy routing = hardware::RoutePolicy::destination_modulo;
  std::vector<std::string> failed;   // "plane3", "node7.nic2", ... (hardware/network/topology.h)
  double expert_skew = 0.0;          // sigma of log-normal expert loads
  std::vector<double> expert_loads;  // measured ones instead, relative, one an expert
  std::int64_t seed = 1;
};

struct Plan {
  std::string name;
  std::string model_file, cluster_file, profile_file;  // resolved paths; profile_file "" until the cluster names it
  std::int64_t gpus = 0;
  model::Parallelism parallel;
  std::string schedule = "1f1b";
  std::string small_batch_schedule;            // used where a step has too few micro-batches for `schedule`; "" refuses
  int chunks = 0;                              // virtual stages a rank, 0: the schedule's default
  std::vector<std::int64_t> layers_per_stage;  // empty: balanced by cost
  model::MicroBatch micro_batch;
  std::int64_t global_batch = 0;  // sequences a step
  model::Precision precision = model::Precision::bf16;
  model::Recompute recompute;
  bool mtp = false;
  std::int64_t communication_sms = 0;
  OverlapOrder overlap_order = deepseek_overlap_order();  // of a layer's forward and another's backward in a pair
  bool overlap_weight_gradients = true;  // a full backward that runs alone computes W while its all-to-all is under way
  bool contention = true;                // messages of the pipeline and all-to-alls slow each other on a NIC they share
  Sharding states = zero_1();            // no key names another yet
  bool overlap_gradient_reduce = false;  // a stage's gradients are reduced as soon as its last W is done
  bool overlap_parameter_gather = false;  // parameters are gathered stage by stage while the next step fills
  std::optional<PlanNetwork> network;
  std::optional<Variation> variation;
  std::vector<TrainingStage> stages;
  Operations operations;  // failures, energy, prices, further runs

  // Micro-batches each pipeline runs in a step.
  std::int64_t micro_batches() const { return global_batch / (parallel.data * micro_batch.sequences); }
  // `states`, with what moves once a step where the overlap_ keys put it.
  Sharding sharding() const;
};

struct Inputs {
  Plan plan;
  model::ModelSpec model;
  hardware::Cluster cluster;
  hardware::Profile profile;
  base::Provenance provenance;
  std::vector<std::string> overrides;  // that changed the files

  // What prices, wires and groups read of all this.
  hardware::Platform platform() const {
    return {cluster, profile, {plan.parallel, plan.gpus}, plan.precision, plan.communication_sms};
  }
};

// The plan of a document (plan_keys.cpp has every key); `file` is named in errors, and what it names is relative to it.
Plan read_plan(const base::Json& document, const std::string& file);
// The document that is read as the plan. Files are named as the plan has them: relative to where the program runs.
base::Json plan_json(const Plan& plan);
std::vector<base::DescribedKey> plan_keys();

// Reads a plan, a shipped name or a path (base/configs.h), and the files it names. `overrides` are --set assignments: plan.*, cluster.*, profile.*. Checks what the
// four say together (divisibility, GPU counts) and throws base::Error naming file and path.
// With `any_layout` the plan's own parallelism need not fit its GPUs and is not completed: for a search, which varies it.
Inputs load_inputs(const std::string& plan, const std::vector<std::string>& overrides, bool any_layout = false);

// The plan with a training stage's batch, sequence length and context parallelism in place of its own.
Plan plan_for_stage(const Plan& plan, const TrainingStage& stage, std::int64_t global_batch);

// A rule that a plan breaks (plan_rules.cpp).
struct Violation {
  std::string rule;           // its name: "batch", "experts", "schedule", ...
  std::string where;          // what errors name; may be empty
  std::string what, fix;      // in words
  std::string words() const;  // "where: what; fix"
};

// Every rule that model, plan and cluster break together, the layout's first; none: they go together. `where` is named.
// Data parallelism need not be set.
std::vector<Violation> violations(const Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster,
                                  const std::string& where = "");
// Those of the layout alone: GPUs, batch, sequence, heads and experts divide.
std::vector<Violation> layout_violations(const Plan& plan, const model::ModelSpec& model,
                                         const hardware::Cluster& cluster, const std::string& where = "");
// Whether there is none of these, without the words.
bool legal(const Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster);
// Those of what the model must have: experts for a network, a load for each, a module for MTP.
std::vector<Violation> model_violations(const Plan& plan, const model::ModelSpec& model, const std::string& where = "");
// Those of its schedule, of a plan whose parallelism is complete: what the schedule takes, layers for its stages.
std::vector<Violation> schedule_violations(const Plan& plan, const model::ModelSpec& model);
// The latter alone, for as many stages.
std::vector<Violation> stage_violations(const Plan& plan, const model::ModelSpec& model, std::size_t stages);
// Throws the first as base::Error, if there is one.
void refuse(const std::vector<Violation>& violations);

// GPUs over tensor x context x pipeline parallelism.
std::int64_t data_parallel(const Plan& plan);
// Of the plan's schedule.
schedules::Shape plan_shape(const Plan& plan);

// Sets data parallelism from the rest; throws the first violation of the layout. `where` is named in errors.
void complete_parallelism(Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster,
                          const std::string& where);

}  // namespace hourglass::sim
