// Exhaustive search over the parallel layout. GPUs, global batch, sequence length and precision are the plan's. The
// space: tensor and expert parallelism in powers of two (tensor inside a node), context the plan's and one, pipeline
// ranks that divide the GPUs, one, two or four sequences a micro-batch, the schedules asked for with one to four chunks
// where they take a number, and full recomputation or the plan's. Layers are balanced anew, since a given split fits
// one number of stages.
//
// A point is left out, with the reason kept, when it breaks a rule of divisibility or of its schedule, or when its
// memory is certainly too small: parameters, gradients and optimizer averaged over the pipeline already exceed the
// limit, and the fullest rank cannot hold less than the average. This bound leaves the MTP module and all activations
// out, so it never drops a plan that fits. The rest is simulated, points in parallel, results written by index: the
// same for any number of threads.
//
// Limits: there is no bound on time, so every point that might fit is simulated; the split of layers and the SMs of
// communication are not searched.
#include "planner/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/units.h"
#include "model/counts.h"
#include "schedules/catalogue.h"
#include "sim/simulate.h"

namespace hourglass::planner {

namespace {

std::vector<std::int64_t> powers_of_two(std::int64_t most) {
  std::vector<std::int64_t> all;
  for (std::int64_t value = 1; value <= most; value *= 2) all.push_back(value);
  return all;
}

std::vector<int> chunks_of(const schedules::CatalogueEntry& entry) {
  return entry.takes_chunks ? std::vector<int>{2, 3, 4} : std::vector<int>{0};
}

std::vector<SearchChoice> space(const sim::Inputs& inputs, const std::vector<std::string>& names) {
  const std::int64_t deepest = std::min<std::int64_t>({inputs.model.layer_count() + 1, inputs.plan.gpus, 64});
  const std::int64_t experts = std::max<std::int64_t>(1, inputs.model.moe.routed_experts);
  std::vector<std::int64_t> contexts = {1};
  if (inputs.plan.parallel.context > 1) contexts.push_back(inputs.plan.parallel.context);
  std::vector<SearchChoice> all;
  for (const std::string& name : names)
    for (const int chunks : chunks_of(schedules::catalogue_entry(name)))
      for (const std::int64_t tensor : powers_of_two(inputs.cluster.gpus_per_node))
        for (const std::int64_t pipeline : powers_of_two(deepest))
          for (const std::int64_t context : contexts)
            for (const std::int64_t expert : powers_of_two(experts))
              for (const std::int64_t micro_batch : {1, 2, 4})
                for (const bool full : {false, true})
                  all.push_back({tensor, pipeline, context, expert, micro_batch, chunks, name, full});
  return all;
}

// Bytes that the fullest GPU holds at least.
double least_memory(const sim::Inputs& inputs) {
  constexpr double parameter_and_gradient = 6.0, optimizer = 8.0;
  const model::Parallelism& p = inputs.plan.parallel;
  double dense = model::embedding_parameters(inputs.model) + model::head_parameters(inputs.model), expert = 0.0;
  for (const model::LayerKind kind : inputs.model.layers) {
    const model::ParameterCount layer = model::layer_parameters(inputs.model, kind);
    dense += layer.dense;
    expert += layer.expert;
  }
  const model::ParameterCount local = model::local_parameters({dense, expert}, p);
  const int copies = schedules::catalogue_entry(inputs.plan.schedule).parameter_copies;
  const double once = (local.dense + local.expert) / static_cast<double>(p.pipeline);
  const double shards = (dense + expert) / static_cast<double>(inputs.plan.gpus);
  return once * copies * parameter_and_gradient + shards * optimizer;
}

SearchPoint evaluate(const sim::Inputs& base, const SearchChoice& choice, double limit) {
  SearchPoint point;
  point.choice = choice;
  sim::Inputs inputs = base;
  inputs.plan = apply(base.plan, choice);
  try {
    sim::complete_parallelism(inputs.plan, inputs.model, inputs.cluster, "");
    const double least = least_memory(inputs);
    if (least > limit) {
      point.refused = fmt::format("needs at least {:.1f} GiB a GPU before activations", least / base::gibi);
      point.peak_memory_bytes = least;
      return point;
    }
    const sim::Result result = sim::simulate(inputs);
    point.simulated = true;
    point.step_time_s = result.step_time_s;
    point.peak_memory_bytes = result.largest_memory_bytes();
    if (point.peak_memory_bytes > limit)
      point.refused = fmt::format("peaks at {:.1f} GiB a GPU", point.peak_memory_bytes / base::gibi);
  } catch (const base::Error& error) {
    point.refused = error.what();
  }
  return point;
}

int differences(const SearchChoice& a, const SearchChoice& b) {
  return (a.tensor != b.tensor) + (a.pipeline != b.pipeline) + (a.context != b.context) + (a.expert != b.expert) +
         (a.micro_batch != b.micro_batch) + (a.full_recompute != b.full_recompute) +
         (a.schedule != b.schedule || a.chunks != b.chunks);
}

void find_front(SearchResult& result) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < result.points.size(); ++i)
    if (result.points[i].refused.empty()) order.push_back(i);
  const auto key = [&](std::size_t i) {
    return std::tuple(result.points[i].step_time_s, result.points[i].peak_memory_bytes, i);
  };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  for (const std::size_t i : order) {
    if (result.front.empty() ||
        result.points[i].peak_memory_bytes < result.points[result.front.back()].peak_memory_bytes)
      result.front.push_back(i);
  }
}

}  // namespace

sim::Plan apply(const sim::Plan& plan, const SearchChoice& choice) {
  sim::Plan out = plan;
  out.parallel.tensor = choice.tensor;
  out.parallel.pipeline = choice.pipeline;
  out.parallel.context = choice.context;
  out.parallel.expert = choice.expert;
  out.micro_batch.sequences = choice.micro_batch;
  out.schedule = choice.schedule;
  out.chunks = choice.chunks;
  if (choice.full_recompute) {
    out.recompute = {};
    out.recompute.full = true;
  }
  out.layers_per_stage.clear();
  return out;
}

SearchResult search(const sim::Inputs& inputs, const SearchOptions& options) {
  const std::vector<SearchChoice> choices =
      space(inputs, options.schedules.empty() ? std::vector<std::string>{inputs.plan.schedule} : options.schedules);
  SearchResult result;
  result.memory_limit_bytes = inputs.cluster.memory_bytes * (1.0 - options.memory_headroom);
  result.points.resize(choices.size());
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < choices.size(); ++i)
    result.points[i] = evaluate(inputs, choices[i], result.memory_limit_bytes);
  for (const SearchPoint& point : result.points) {
    if (point.simulated)
      ++result.simulated;
    else
      ++(point.peak_memory_bytes > 0.0 ? result.too_large : result.illegal);
  }
  find_front(result);
  if (result.front.empty()) {
    throw base::Error(fmt::format("none of {} plans can run", choices.size()), inputs.plan.name,
                      "use more GPUs, less headroom or other schedules");
  }
  const SearchChoice& best = result.points[result.front.front()].choice;
  for (std::size_t i = 0; i < choices.size(); ++i)
    if (differences(choices[i], best) == 1) result.neighbours.push_back(i);
  return result;
}

}  // namespace hourglass::planner
