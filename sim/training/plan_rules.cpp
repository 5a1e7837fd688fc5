// What must hold between the numbers of a plan. Rules of the layout come first and in order, since a search asks them of
// millions of plans: `check_layout` calls `stop` for each that is broken, with words that are written only if somebody
// reads them. Rules that need the data parallelism are asked only if there is one.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "sim/training/plan.h"

namespace hourglass::sim {

namespace {

// `stop(rule, words, fix)` says whether the first broken rule is enough.
template <class Stop>
void check_layout(const Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster, Stop&& stop) {
  const model::Parallelism& p = plan.parallel;
  const std::int64_t model_gpus = p.tensor * p.context * p.pipeline;
  const std::int64_t sequence = plan.micro_batch.sequence_length, sequences = plan.micro_batch.sequences;
  const auto too_many = [&] {
    return fmt::format("{} GPUs asked, cluster {} has {}", plan.gpus, cluster.name, cluster.gpus);
  };
  if (plan.gpus > cluster.gpus && stop("cluster", too_many, "use fewer, or --set cluster.gpus=N")) return;
  const bool divides = plan.gpus % model_gpus == 0;
  const auto no_multiple = [&] {
    return fmt::format("{} GPUs are not a multiple of tensor x context x pipeline = {} x {} x {}", plan.gpus, p.tensor,
                       p.context, p.pipeline);
  };
  if (!divides && stop("gpus", no_multiple, "change gpus or the parallel sizes")) return;
  const std::int64_t data = divides ? plan.gpus / model_gpus : 1;
  const auto uneven_batch = [&] {
    return fmt::format("global_batch {} is not a multiple of data_parallel x micro_batch = {} x {}", plan.global_batch,
                       data, sequences);
  };
  if (divides && plan.global_batch % (data * sequences) != 0 && stop("batch", uneven_batch, "change global_batch"))
    return;
  const auto uneven_sequence = [&] {
    return fmt::format("sequence_length {} is not a multiple of context x tensor parallel = {} x {}", sequence,
                       p.context, p.tensor);
  };
  if (sequence % (p.context * p.tensor) != 0 && stop("sequence", uneven_sequence, "change sequence_length")) return;
  for (const model::LayerSpec& kind : model.kinds) {
    const std::int64_t heads = model::heads_of(kind.mixer);
    const auto uneven_heads = [&] {
      return fmt::format("{} attention heads are not a multiple of tensor_parallel = {}", heads, p.tensor);
    };
    if (heads % p.tensor == 0) continue;
    if (stop("heads", uneven_heads, "change tensor_parallel")) return;
    break;
  }
  const auto no_sm = [&] {
    return fmt::format("communication_sms {} leaves no SM of {} to compute", plan.communication_sms, cluster.sms);
  };
  if (plan.communication_sms >= cluster.sms && stop("sms", no_sm, "use fewer")) return;
  const auto no_fp8 = [&] { return fmt::format("no FP8 GEMM on the GPU of cluster {}", cluster.name); };
  if (!hardware::has_math(cluster, hardware::math_of(plan.precision)) &&
      stop("precision", no_fp8, "set plan.precision to bf16, or choose an H100 or H800"))
    return;
  if (model::experts_of(model) == nullptr) {
    const auto dense = [&] { return fmt::format("expert_parallel {} on a dense model", p.expert); };
    if (p.expert != 1) stop("dense", dense, "set it to 1");
    return;
  }
  for (const model::LayerSpec& kind : model.kinds) {
    const model::MixtureOfExperts* experts = model::experts_of(kind);
    if (experts == nullptr) continue;
    const auto uneven_experts = [&] {
      return fmt::format("{} experts are not a multiple of expert_parallel = {}", experts->routed_experts, p.expert);
    };
    if (experts->routed_experts % p.expert == 0) continue;
    if (stop("experts", uneven_experts, "change expert_parallel")) return;
    break;
  }
  const std::int64_t stage_gpus = data * p.context * p.tensor;
  const auto uneven_groups = [&] {
    return fmt::format(
        "expert_parallel x expert_tensor_parallel = {} x {} does not divide the {} GPUs of a pipeline "
        "stage",
        p.expert, p.expert_tensor, stage_gpus);
  };
  if (divides && stage_gpus % (p.expert * p.expert_tensor) != 0)
    stop("expert groups", uneven_groups, "change expert_parallel");
}

}  // namespace

std::string Violation::words() const { return base::Error(what, where, fix).what(); }

void refuse(const std::vector<Violation>& violations) {
  if (violations.empty()) return;
  const Violation& first = violations.front();
  throw base::Error(first.what, first.where, first.fix);
}

std::int64_t data_parallel(const Plan& plan) {
  return plan.gpus / (plan.parallel.tensor * plan.parallel.context * plan.parallel.pipeline);
}

std::vector<Violation> layout_violations(const Plan& plan, const model::ModelSpec& model,
                                         const hardware::Cluster& cluster, const std::string& where) {
  std::vector<Violation> all;
  check_layout(plan, model, cluster, [&](const char* rule, const auto& words, const char* fix) {
    all.push_back({rule, where, words(), fix});
    return false;
  });
  return all;
}

bool legal(const Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster) {
  bool holds = true;
  check_layout(plan, model, cluster, [&](const char*, const auto&, const char*) {
    holds = false;
    return true;
  });
  return holds;
}

std::vector<Violation> model_violations(const Plan& plan, const model::ModelSpec& model, const std::string& where) {
  std::vector<Violation> all;
  const model::MixtureOfExperts* moe = model::experts_of(model);
  const std::int64_t experts = moe != nullptr ? moe->routed_experts : 0;
  if (plan.network && experts == 0) {
    all.push_back({"network", where + " /network", "network changes the all-to-all of experts, and this model has none",
                   "leave it out"});
  }
  const std::size_t loads = plan.variation ? plan.variation->expert_loads.size() : 0;
  if (loads > 0 && static_cast<std::int64_t>(loads) != experts) {
    all.push_back({"loads", where + " /variation/expert_loads",
                   fmt::format("gives {} loads, the model has {} routed experts", loads, experts),
                   "give one load an expert"});
  }
  if (plan.mtp && model.mtp_modules == 0) {
    all.push_back({"mtp", where, "mtp is true, but the model has no multi-token prediction module", "set it to false"});
  }
  return all;
}

std::vector<Violation> violations(const Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster,
                                  const std::string& where) {
  std::vector<Violation> all = layout_violations(plan, model, cluster, where);
  for (Violation& each : model_violations(plan, model, where)) all.push_back(std::move(each));
  return all;
}

std::vector<Violation> stage_violations(const Plan& plan, const model::ModelSpec& model, std::size_t stages) {
  const std::size_t layers = model.layers.size();
  if (layers + 1 < stages) {
    return {{"stages", plan.name, fmt::format("{} layers cannot fill {} pipeline stages", layers, stages),
             "use fewer pipeline ranks or chunks"}};
  }
  const std::vector<std::int64_t>& split = plan.layers_per_stage;
  if (split.empty()) return {};
  const auto refused = [&](std::string what) {
    return std::vector<Violation>{
        {"split", plan.name + " /layers_per_stage", std::move(what), "or write \"balanced\""}};
  };
  if (split.size() != stages) return refused(fmt::format("lists {} stages, the schedule has {}", split.size(), stages));
  const std::int64_t total = std::accumulate(split.begin(), split.end(), std::int64_t{0});
  if (total == model.layer_count()) return {};
  return refused(fmt::format("adds up to {} layers, the model has {}", total, model.layer_count()));
}

schedules::Shape plan_shape(const Plan& plan) {
  return {static_cast<int>(plan.parallel.pipeline), static_cast<int>(plan.micro_batches()), plan.chunks};
}

std::vector<Violation> schedule_violations(const Plan& plan, const model::ModelSpec& model) {
  const schedules::Shape shape = plan_shape(plan);
  if (const auto refused = schedules::refusal(plan.schedule, shape))
    return {{"schedule", "", refused->what, refused->fix}};
  return stage_violations(plan, model, static_cast<std::size_t>(schedules::stage_count(plan.schedule, shape)));
}

void complete_parallelism(Plan& plan, const model::ModelSpec& model, const hardware::Cluster& cluster,
                          const std::string& where) {
  if (!legal(plan, model, cluster)) refuse(layout_violations(plan, model, cluster, where));
  plan.parallel.data = data_parallel(plan);
}

}  // namespace hourglass::sim
