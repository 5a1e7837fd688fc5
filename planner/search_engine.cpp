#include "planner/search_engine.h"

#include <algorithm>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "schedules/validate.h"

namespace hourglass::planner {

namespace {

constexpr std::size_t most_cached_bytes = std::size_t{1} << 30;

}  // namespace

std::shared_ptr<const sim::StepProgram> ProgramCache::get(const ScheduleChoice& schedule, std::int64_t ranks,
                                                          std::int64_t micro_batches) {
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard lock(mutex_);
    // Programs in use live on with their users.
    if (bytes_ > most_cached_bytes) {
      entries_.clear();
      bytes_ = 0;
    }
    std::shared_ptr<Entry>& known = entries_[{schedule.name, schedule.chunks, ranks, micro_batches}];
    if (!known) known = std::make_shared<Entry>();
    entry = known;
  }
  std::call_once(entry->once, [&] {
    try {
      const schedules::Schedule order = schedules::generate(
          schedule.name, {static_cast<int>(ranks), static_cast<int>(micro_batches), schedule.chunks});
      entry->program = std::make_shared<sim::StepProgram>(order);
      const std::lock_guard lock(mutex_);
      bytes_ += entry->program->bytes();
    } catch (const base::Error&) {
      entry->program = nullptr;  // a rule of the schedule; Search::explain tells it
    }
  });
  return entry->program;
}

sim::ScheduleTraits traits_of(const ScheduleChoice& choice) {
  const schedules::CatalogueEntry& entry = schedules::catalogue_entry(choice.name);
  sim::ScheduleTraits traits;
  traits.stages_per_rank = choice.chunks > 0 ? choice.chunks : entry.default_chunks;
  traits.copies = entry.parameter_copies;
  traits.stages_per_rank /= traits.copies;
  // A small instance shows which kinds of action there are.
  const schedules::Schedule schedule = schedules::generate(choice.name, {4, 16, choice.chunks});
  for (const auto& rank : schedule.actions) {
    for (const schedules::Action& action : rank) {
      traits.pairs = traits.pairs || action.kind == schedules::Kind::overlapped;
      traits.fused = traits.fused || action.kind == schedules::Kind::backward;
    }
  }
  return traits;
}

ClusterTables::ClusterTables(const sim::Inputs& inputs)
    : contents(inputs),
      parameters(sim::content_parameters(inputs, contents)),
      fast(sim::fast_step_covers(inputs, contents)) {
  all.dense = model::embedding_parameters(inputs.model) + model::head_parameters(inputs.model);
  for (const model::LayerKind kind : inputs.model.layers) {
    const model::ParameterCount layer = model::layer_parameters(inputs.model, kind);
    all.dense += layer.dense;
    all.expert += layer.expert;
  }
}

bool legal(sim::Plan& plan, const sim::Inputs& inputs) {
  model::Parallelism& p = plan.parallel;
  const std::int64_t model_gpus = p.tensor * p.context * p.pipeline;
  if (plan.gpus > inputs.cluster.gpus || plan.gpus % model_gpus != 0) return false;
  p.data = plan.gpus / model_gpus;
  if (plan.global_batch % (p.data * plan.micro_batch.sequences) != 0) return false;
  if (plan.micro_batch.sequence_length % (p.context * p.tensor) != 0) return false;
  if (inputs.model.attention.heads % p.tensor != 0) return false;
  if (p.tensor > inputs.cluster.gpus_per_node || p.expert_tensor > p.tensor) return false;
  if (plan.communication_sms >= inputs.cluster.sms) return false;
  const std::int64_t experts = inputs.model.moe.routed_experts;
  if (experts == 0) return p.expert == 1;
  return experts % p.expert == 0 && p.data * p.context * p.tensor % (p.expert * p.expert_tensor) == 0;
}

double least_memory(const sim::Inputs& inputs, const model::ParameterCount& all, int copies) {
  constexpr double parameter_and_gradient = 6.0, optimizer = 8.0;
  const model::Parallelism& p = inputs.plan.parallel;
  const model::ParameterCount local = model::local_parameters(all, p);
  const double once = (local.dense + local.expert) / static_cast<double>(p.pipeline);
  return once * copies * parameter_and_gradient + all.total() / static_cast<double>(inputs.plan.gpus) * optimizer;
}

}  // namespace hourglass::planner
