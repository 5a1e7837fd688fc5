// Why not another plan? Two answers: what happens when one value of the best plan is changed and the rest kept, which is
// often a rule broken or memory exceeded; and the best plan that has the value, found by a search of that part of the
// space, which is what giving in to the question would cost.
#include <fmt/format.h>

#include "hardware/network/topology.h"
#include "planner/search/axes.h"
#include "planner/search/search.h"
#include "planner/search/search_engine.h"
#include "schedules/catalogue.h"

namespace hourglass::planner {

namespace {

std::string words_of(const std::vector<sim::Violation>& violations) {
  std::string out;
  for (const sim::Violation& each : violations) out += (out.empty() ? "" : "; also ") + each.words();
  return out;
}

}  // namespace

Explanation Search::explain(const SearchChoice& choice) const {
  Explanation out;
  out.choice = choice;
  sim::Inputs inputs = space_.clusters[choice.cluster];
  inputs.plan = apply(inputs.plan, choice);
  const double limit = memory_limit_bytes(inputs);
  std::vector<sim::Violation> violations = search_violations(inputs.plan, inputs);
  if (violations.empty()) {
    inputs.plan.parallel.data = sim::data_parallel(inputs.plan);
    violations = sim::schedule_violations(inputs.plan, inputs.model);
  }
  out.refused = words_of(violations);
  if (!violations.empty()) return out;
  const int copies = schedules::catalogue_entry(choice.schedule).parameter_copies;
  const double least = least_memory(inputs, ClusterTables(inputs).all, copies);
  if (least > limit) {
    out.refused = fmt::format("needs at least {:.1f} GiB a GPU before activations", least / base::gibi);
    out.peak_memory_bytes = least;
    return out;
  }
  try {
    const sim::FastStep step = sim::fast_step(inputs);
    out.step = step.step;
    out.peak_memory_bytes = step.largest_memory_bytes;
    if (out.peak_memory_bytes > limit)
      out.refused = fmt::format("peaks at {:.1f} GiB a GPU", out.peak_memory_bytes / base::gibi);
  } catch (const hardware::CannotCarry& error) {  // as in the search: only routing shows it
    out.refused = error.what();
  }
  return out;
}

WhyNot Search::answer(const std::string& question) const {
  WhyNot out;
  out.question = question;
  SearchOptions options = options_;
  options.why_not.clear();
  Search part(restricted(space_, question), options);
  std::vector<std::uint64_t> units(part.units());
  for (std::size_t i = 0; i < units.size(); ++i) units[i] = i;
  std::vector<SearchPoint> points;
  part.run(units, [&](UnitResult result) {
    out.plans += result.plans;
    out.illegal += result.illegal;
    out.too_large += result.too_large;
    for (const SearchPoint& point : result.points) {
      if (options_.max_days <= 0.0 || part.days(point) <= options_.max_days) points.push_back(point);
    }
  });
  if (points.empty()) return out;
  const SearchPoint best = part.cheapest(std::move(points), 1).front();
  Explanation found;
  found.choice = part.space().choice(best.id);
  // Clusters are numbered anew where the question leaves only some.
  for (std::size_t c = 0; c < space_.clusters.size(); ++c) {
    if (space_.clusters[c].cluster.name == part.space().clusters[found.choice.cluster].cluster.name)
      found.choice.cluster = c;
  }
  found.step = best.step;
  found.peak_memory_bytes = best.peak_memory_bytes;
  out.best = std::move(found);
  return out;
}

}  // namespace hourglass::planner
