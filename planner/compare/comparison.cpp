// Every schedule of the list for the same shape and costs. A schedule that cannot run the shape, or holds more than the
// memory cap, is listed with the reason instead of being left out silently. On a plan each schedule's step is simulated
// with its own stages, so that memory and parameter copies are those of the plan; the abstract columns come from the
// plan's layers averaged over ranks.
#include "planner/compare/comparison.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/units.h"
#include "schedules/catalogue.h"
#include "schedules/lower_bound.h"
#include "schedules/validate.h"
#include "sim/training/abstract_costs.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

schedules::Shape shape_for(const std::string& name, schedules::Shape shape, int chunks) {
  if (schedules::catalogue_entry(name).takes_chunks) shape.chunks = chunks;
  return shape;
}

ComparedSchedule evaluate(const std::string& name, const schedules::Shape& shape, const schedules::Costs& costs) {
  ComparedSchedule out;
  out.name = name;
  out.schedule = schedules::generate(name, shape);
  schedules::validate(out.schedule);
  out.evaluation = schedules::evaluate(out.schedule, costs);
  out.closed_form = schedules::closed_form(out.schedule, costs);
  out.lower_bound = schedules::lower_bound(out.schedule, costs);
  return out;
}

void check_any(const Comparison& comparison) {
  if (!comparison.schedules.empty()) return;
  const RefusedSchedule& first = comparison.refused.front();
  throw base::Error("no schedule can run: " + first.reason, "compare", "change the shape or the memory cap");
}

}  // namespace

Comparison compare(const schedules::Shape& shape, const schedules::Costs& costs, const CompareOptions& options) {
  Comparison comparison;
  comparison.title = fmt::format("{} pipeline ranks, {} micro-batches", shape.ranks, shape.micro_batches);
  comparison.costs = costs;
  for (const std::string& name : options.names) {
    const schedules::Shape own = shape_for(name, shape, options.chunks);
    try {
      ComparedSchedule each = evaluate(name, own, costs);
      if (options.memory_cap > 0.0 && each.evaluation.peak_activations > options.memory_cap + 1e-9) {
        comparison.refused.push_back({name, fmt::format("holds {:.4g} micro-batches, the cap is {:.4g}",
                                                        each.evaluation.peak_activations, options.memory_cap)});
      } else {
        comparison.schedules.push_back(std::move(each));
      }
    } catch (const base::Error& error) {
      comparison.refused.push_back({name, error.what()});
    }
  }
  check_any(comparison);
  return comparison;
}

Comparison compare(const sim::Inputs& inputs, const CompareOptions& options) {
  Comparison comparison;
  comparison.title = fmt::format("{}: {} pipeline ranks, {} micro-batches", inputs.plan.name,
                                 inputs.plan.parallel.pipeline, inputs.plan.micro_batches());
  comparison.costs = sim::abstract_costs(inputs);
  comparison.unit = "ms";
  for (const std::string& name : options.names) {
    sim::Inputs own = inputs;
    own.plan.schedule = name;
    const schedules::Shape shape = shape_for(
        name, {static_cast<int>(inputs.plan.parallel.pipeline), static_cast<int>(inputs.plan.micro_batches()), 0},
        options.chunks > 0 ? options.chunks : inputs.plan.chunks);
    own.plan.chunks = shape.chunks;
    try {
      ComparedSchedule each = evaluate(name, shape, comparison.costs);
      // A given split of layers fits one number of stages; the others balance their own.
      if (static_cast<int>(own.plan.layers_per_stage.size()) != each.schedule.stages) own.plan.layers_per_stage.clear();
      each.step = sim::simulate_plan(own);
      const double peak = each.step->largest_memory_bytes() / base::gibi;
      if (options.memory_cap > 0.0 && peak > options.memory_cap) {
        comparison.refused.push_back(
            {name, fmt::format("peaks at {:.1f} GiB a GPU, the cap is {:.4g}", peak, options.memory_cap)});
      } else {
        comparison.schedules.push_back(std::move(each));
      }
    } catch (const base::Error& error) {
      comparison.refused.push_back({name, error.what()});
    }
  }
  check_any(comparison);
  return comparison;
}

}  // namespace hourglass::planner
