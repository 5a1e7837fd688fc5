// People tune what they publish, so a published layout should fit into memory here and be near the front of a search over
// its own GPUs, batch and precision. It need not be the fastest: published layouts are chosen under rules that are not
// modelled (what a container supports, one layout for all scales), and a search may find splits that nobody tried. What
// would be a fault of ours is a published plan that does not fit, or one far behind the best.
#include "planner/search/search_sanity.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "planner/search/axes.h"
#include "planner/validation/validate.h"
#include "sim/training/fast/fast_step.h"

namespace hourglass::planner {

namespace {

SanityRow judge(const PublishedRun& run) {
  SanityRow row{run.id, run.model, "", run.inputs.plan.gpus, "", 0.0, 0.0, "", 0, 0};
  sim::Inputs inputs = run.inputs;
  inputs.plan.contention = false;
  const model::Parallelism& p = inputs.plan.parallel;
  row.layout = fmt::format("tp={} pp={} v={} cp={} ep={} mbs={}", p.tensor, p.pipeline, std::max(1, inputs.plan.chunks),
                           p.context, p.expert, inputs.plan.micro_batch.sequences);
  SearchOptions options;
  options.space.schedules = {"1f1b", "interleaved-1f1b"};
  options.bound = false;
  Search search(space_of(inputs, {}, options.space), options);
  const sim::FastStep published = sim::fast_step(inputs);
  row.step_s = base::seconds(published.step);
  const double limit = search.memory_limit_bytes(inputs);
  if (published.largest_memory_bytes > limit)
    row.refused = fmt::format("peaks at {:.1f} GiB", published.largest_memory_bytes / base::gibi);
  std::vector<std::uint64_t> units(search.units());
  for (std::size_t i = 0; i < units.size(); ++i) units[i] = i;
  SearchPoint best;
  search.run(units, [&](UnitResult result) {
    row.simulated += result.simulated;
    for (const SearchPoint& point : result.points) {
      row.faster += point.step < published.step ? 1 : 0;
      if (best.step == 0 || point.step < best.step || (point.step == best.step && point.id < best.id)) best = point;
    }
  });
  if (best.step == 0) return row;
  row.best_s = base::seconds(best.step);
  const SearchChoice choice = search.space().choice(best.id);
  row.best = fmt::format("tp={} pp={} v={} cp={} ep={} mbs={} recompute={}", choice.tensor, choice.pipeline,
                         std::max(1, choice.chunks), choice.context, choice.expert, choice.micro_batch,
                         axis_value(search.space(), choice, "recompute"));
  return row;
}

}  // namespace

std::vector<SanityRow> search_sanity(const std::string& file, const std::string& configs) {
  std::vector<SanityRow> rows;
  for (const PublishedRun& run : published_runs(file, configs)) {
    // Several containers publish the same plan.
    SanityRow row;
    try {
      row = judge(run);
    } catch (const base::Error& error) {
      row = {run.id, run.model, "", run.inputs.plan.gpus, error.what(), 0.0, 0.0, "", 0, 0};
    }
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const SanityRow& other) {
      return other.layout == row.layout && other.gpus == row.gpus && other.step_s == row.step_s;
    });
    if (!known) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace hourglass::planner
