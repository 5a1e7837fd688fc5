// Exhaustive search over a space of plans (planner/search/space.h). A plan is left out
//   illegal    where its numbers do not divide, or its schedule or its layers cannot have its shape;
//   too large  where what the fullest rank holds at least exceeds the memory, first by parameters, gradients and
//              optimizer averaged over the pipeline, then by sim/training/fast/step_bounds.h, or where the exact peak does: it
//              follows from the order of actions, so that a split of the layers need not be simulated to know it;
//   bounded    where a plan that is already known is faster than this one can be, needs no more memory, no more GPUs
//              and no more money. Two bounds: sim/training/fast/step_bounds.h; and, once layers are split, the busiest rank with its
//              part of the tail.
// The rest is simulated (sim/training/fast/fast_step.h). "Already known" is a fixed set: the front of a coarse part of the space,
// simulated first by every process. So what becomes of a plan depends on the search alone, not on what else ran where
// and when, and any number of threads, machines and restarts gives the same result.
//
// Work is done in units: sixteen price keys of one group (space.h) under every pipeline and schedule. The keys' prices
// and durations stay in the cache and are nobody else's; compiled schedules are shared.
//
// The sweep leaves contention on the NIC out. Where the plan asks for it, the cheapest few are simulated again with it,
// and the best of these is the answer: plans that are closer to each other than contention moves them may change
// places.
//
// A plan that is both illegal for its schedule and pruned before the schedule was asked counts as pruned.
#include "planner/search/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "planner/search/axes.h"
#include "planner/search/search_engine.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

constexpr std::size_t finalists = 8;

Search::Search(Space space, const SearchOptions& options) : space_(std::move(space)), options_(options) {
  for (sim::Inputs& inputs : space_.clusters) {
    priced_ = priced_ && inputs.cluster.price_per_gpu_hour > 0.0;
    inputs.plan.layers_per_stage.clear();
    contention_ = std::exchange(inputs.plan.contention, false);
  }
  engine_ = std::make_unique<SearchEngine>(space_, options_.memory_headroom);
}

Search::~Search() = default;

std::uint64_t Search::units() const { return space_.groups() * ((space_.keys() + keys_per_unit - 1) / keys_per_unit); }

std::string Search::digest() const {
  base::Json all = {{"axes", base::Json::array()}, {"inputs", base::Json::array()}};
  for (const std::string& axis : axis_names()) {
    base::Json values = base::Json::array();
    for (const std::string& value : axis_values(space_, axis)) values.push_back(value);
    all["axes"].push_back({{axis, values}});
  }
  for (const sim::Inputs& inputs : space_.clusters) {
    for (const base::Provenance::Input& file : inputs.provenance.inputs) all["inputs"].push_back(file.hash);
    // Overrides change what the files say.
    const hardware::Cluster& c = inputs.cluster;
    all["inputs"].push_back({c.gpus, c.sms, c.bf16_flops, c.fp8_flops, c.memory_bytes, c.memory_bandwidth,
                             c.nvlink_domain, c.gpus_per_host, c.nvlink_bandwidth, c.nic_bandwidth,
                             c.price_per_gpu_hour});
    all["inputs"].push_back(hardware::profile_json(inputs.profile));
    const sim::Plan& plan = inputs.plan;
    all["inputs"].push_back({plan.micro_batch.sequence_length, plan.mtp, plan.overlap_weight_gradients,
                             training_tokens(), plan.network.has_value()});
  }
  all["options"] = {options_.memory_headroom, options_.bound};
  all["program"] = base::provenance_json({})["git_commit"];
  return fmt::format("{:016x}", base::fnv1a(all.dump()));
}

void Search::run(const std::vector<std::uint64_t>& units, const std::function<void(UnitResult)>& done) {
  find_seeds();
  std::string failure;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < units.size(); ++i) {
    try {
      UnitResult result = run_unit(*engine_, seeds_, priced_, units[i]);
#pragma omp critical(search_done)
      if (failure.empty()) done(std::move(result));
    } catch (const std::exception& error) {
#pragma omp critical(search_done)
      failure = error.what();
    }
  }
  if (!failure.empty()) throw base::Error(failure, "search");
}

void Search::find_seeds() {
  if (!seeds_.empty() || !options_.bound) return;
  SearchOptions options = options_;
  options.bound = false;
  Search first(coarse(space_), options);
  std::vector<std::uint64_t> units(first.units());
  for (std::size_t i = 0; i < units.size(); ++i) units[i] = i;
  std::vector<UnitResult> results(units.size());
  first.run(units, [&](UnitResult result) {
    const std::uint64_t unit = result.unit;
    results[unit] = std::move(result);
  });
  std::vector<SearchPoint> points;
  for (const UnitResult& result : results) points.insert(points.end(), result.points.begin(), result.points.end());
  for (const SearchPoint& point : first.front_of(std::move(points))) seeds_.push_back(first.measures(point));
}

Measures Search::measures(const SearchPoint& point) const {
  const SearchChoice choice = space_.choice(point.id);
  const sim::Inputs& inputs = space_.clusters[choice.cluster];
  Measures m;
  m.seconds_per_token = base::seconds(point.step) / (static_cast<double>(choice.global_batch) *
                                                     static_cast<double>(inputs.plan.micro_batch.sequence_length));
  m.peak_memory_bytes = point.peak_memory_bytes;
  m.gpus = static_cast<double>(choice.gpus);
  m.cost_per_token = m.seconds_per_token * m.gpus * cost_rate(inputs.cluster, priced_);
  return m;
}

double Search::memory_limit_bytes(const sim::Inputs& inputs) const { return engine_->memory_limit_bytes(inputs); }

std::vector<SearchPoint> Search::front_of(std::vector<SearchPoint> points) const {
  std::vector<std::pair<Measures, SearchPoint>> order;
  for (const SearchPoint& point : points) order.emplace_back(measures(point), point);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    const auto key = [](const auto& e) {
      return std::tuple(e.first.seconds_per_token, e.first.peak_memory_bytes, e.first.gpus, e.first.cost_per_token,
                        e.second.id);
    };
    return key(a) < key(b);
  });
  std::vector<std::pair<Measures, SearchPoint>> front;
  for (const auto& each : order) {
    const bool beaten = std::any_of(front.begin(), front.end(), [&](const auto& other) {
      return other.first.peak_memory_bytes <= each.first.peak_memory_bytes && other.first.gpus <= each.first.gpus &&
             other.first.cost_per_token <= each.first.cost_per_token;
    });
    if (!beaten) front.push_back(each);
  }
  std::vector<SearchPoint> out;
  for (const auto& each : front) out.push_back(each.second);
  return out;
}

std::vector<SearchPoint> Search::cheapest(std::vector<SearchPoint> points, std::size_t count) const {
  std::vector<std::tuple<double, double, std::uint64_t, SearchPoint>> order;
  for (const SearchPoint& point : points) {
    const Measures m = measures(point);
    order.emplace_back(m.cost_per_token, m.peak_memory_bytes, point.id, point);
  }
  count = std::min(count, order.size());
  const auto before = [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a), std::get<2>(a)) <
           std::tie(std::get<0>(b), std::get<1>(b), std::get<2>(b));
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), before);
  points.clear();
  for (std::size_t i = 0; i < count; ++i) points.push_back(std::get<3>(order[i]));
  return points;
}

sim::Inputs Search::inputs_of(const SearchChoice& choice) const {
  sim::Inputs inputs = space_.clusters[choice.cluster];
  inputs.plan = apply(inputs.plan, choice);
  sim::complete_parallelism(inputs.plan, inputs.model, inputs.cluster, inputs.plan.name);
  return inputs;
}

std::vector<SearchResult::Finalist> Search::finals(const std::vector<SearchPoint>& points) const {
  std::vector<SearchResult::Finalist> all(points.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < points.size(); ++i) {
    all[i] = {points[i], base::seconds(points[i].step)};
    if (!contention_) continue;
    sim::Inputs inputs = inputs_of(space_.choice(points[i].id));
    inputs.plan.contention = true;
    all[i].step_time_s = sim::simulate_plan(inputs).step_time_s;
  }
  // Cheapest first, as the sweep's cost scales with the step.
  const auto cost = [&](const SearchResult::Finalist& f) {
    return measures(f.point).cost_per_token * f.step_time_s / base::seconds(f.point.step);
  };
  std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return cost(a) < cost(b); });
  return all;
}

double Search::training_tokens() const {
  const sim::Plan& plan = space_.clusters.front().plan;
  double tokens = 0.0;
  for (const sim::TrainingStage& stage : plan.stages)
    tokens += stage.tokens +
              stage.steps * static_cast<double>(stage.global_batch) * static_cast<double>(stage.sequence_length);
  return tokens;
}

double Search::days(const SearchPoint& point) const {
  return training_tokens() * measures(point).seconds_per_token / base::seconds_per_day;
}

SearchResult Search::conclude(std::vector<UnitResult> results) const {
  std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) { return a.unit < b.unit; });
  SearchResult out;
  std::vector<SearchPoint> points;
  for (const UnitResult& each : results) {
    out.plans += each.plans;
    out.illegal += each.illegal;
    out.too_large += each.too_large;
    out.bounded += each.bounded;
    out.simulated += each.simulated;
    for (const SearchPoint& point : each.points) {
      if (options_.max_days > 0.0 && days(point) > options_.max_days)
        ++out.too_slow;
      else
        points.push_back(point);
    }
  }
  out.training_tokens = training_tokens();
  out.front = front_of(points);
  if (out.front.empty()) {
    throw base::Error(fmt::format("none of {} plans can run: {} are illegal, {} need more memory, {} take too long",
                                  out.plans, out.illegal, out.too_large, out.too_slow),
                      space_.clusters.front().plan.name, "use more GPUs, less headroom or other schedules");
  }
  out.finalists = finals(cheapest(std::move(points), finalists));
  const SearchChoice best = space_.choice(out.finalists.front().point.id);
  out.layers_per_stage = sim::fast_step(inputs_of(best)).layers_per_stage;
  std::vector<Neighbour> others = neighbours_of(space_, best);
  out.neighbours.resize(others.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < others.size(); ++i) {
    try {
      out.neighbours[i] = explain(others[i].choice);
      out.neighbours[i].differs = others[i].differs;
    } catch (...) {  // carried to the thread that asked
#pragma omp critical(neighbour_failed)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (const std::string& question : options_.why_not) out.why_not.push_back(answer(question));
  return out;
}

SearchResult search(const sim::Inputs& inputs, const SearchOptions& options) {
  Search search(space_of(inputs, {}, options.space), options);
  std::vector<std::uint64_t> units(search.units());
  for (std::size_t i = 0; i < units.size(); ++i) units[i] = i;
  std::vector<UnitResult> results;
  search.run(units, [&](UnitResult result) { results.push_back(std::move(result)); });
  return search.conclude(std::move(results));
}

}  // namespace hourglass::planner
