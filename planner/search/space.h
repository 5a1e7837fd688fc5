#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/training/plan.h"

// The space of a search: an axis for each thing that may vary, each plan a number in mixed radix.
namespace hourglass::planner {

// One point of the space: the plan's values replaced by these.
struct SearchChoice {
  std::size_t cluster = 0;  // of Space::clusters
  std::int64_t gpus = 1, global_batch = 1;
  std::int64_t tensor = 1, context = 1, micro_batch = 1, pipeline = 1, expert = 1, expert_tensor = 1;
  model::Precision precision = model::Precision::bf16;
  model::Recompute recompute;
  std::int64_t communication_sms = 0;
  std::string schedule;
  int chunks = 0;  // 0: the schedule's own number
};

struct ScheduleChoice {
  std::string name;
  int chunks = 0;
};

// What is varied. An empty axis: what space_of finds sensible for it.
struct SpaceOptions {
  std::vector<std::string> schedules;
  std::vector<std::int64_t> gpus, global_batches;
  std::vector<model::Precision> precisions;
  bool every_recompute = false;  // every subset instead of a ladder
  std::int64_t max_gpus = 0;     // with no `gpus`: all powers of two times the node up to this
};

struct Space {
  std::vector<sim::Inputs> clusters;  // the inputs on each cluster
  std::vector<std::int64_t> gpus, global_batches, tensors, contexts, micro_batches, pipelines, experts, expert_tensors;
  std::vector<model::Precision> precisions;
  std::vector<model::Recompute> recomputes;
  std::vector<std::int64_t> communication_sms;
  std::vector<ScheduleChoice> schedules;

  // A plan's number is ((group x pipelines + pipeline) x keys + key) x schedules + schedule.
  std::uint64_t groups() const;  // cluster, GPUs, global batch, tensor, context, micro-batch
  std::uint64_t keys() const;    // expert, expert tensor, precision, recomputation, SMs: with the group all that prices
                                 // of layers depend on
  std::uint64_t size() const;
  SearchChoice choice(std::uint64_t id) const;
  std::uint64_t id(std::uint64_t group, std::uint64_t pipeline, std::uint64_t key, std::uint64_t schedule) const;
};

// `inputs` gives what is not varied; `others`: the same inputs on other clusters.
Space space_of(const sim::Inputs& inputs, const std::vector<sim::Inputs>& others, const SpaceOptions& options);
// The part of a space that is simulated first, to know what the rest has to beat.
Space coarse(const Space& space);

// The plan with a choice in place of its own values; data parallelism is still to be completed.
sim::Plan apply(const sim::Plan& plan, const SearchChoice& choice);
// The same without names, for inner loops.
void apply_numbers(sim::Plan& plan, const SearchChoice& choice);

// The inputs on another of the cluster files, with its profile.
sim::Inputs on_cluster(const sim::Inputs& inputs, const std::string& cluster_file,
                       const std::vector<std::string>& overrides);

const std::string& precision_name(model::Precision precision);
bool same_recompute(const model::Recompute& a, const model::Recompute& b);

}  // namespace hourglass::planner
