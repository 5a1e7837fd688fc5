// Splitting layers over stages. Units differ: the first stage also embeds, the last one holds the output head (a GEMM
// of hidden x vocabulary, in BF16) and the multi-token prediction module. The slowest rank paces a pipeline, and a rank
// may hold several stages (DualPipe: r and p-1-r); where phases run stage by stage (looped), the slowest stage does.
//
// Load of a rank: the duration of its blocks for one micro-batch of each of its stages. Where the schedule overlaps,
// the forward of its first stage runs with the backward of its last and so on, so stages of unequal length expose
// communication and count as longer; else F, B and W (or F and BW) run alone, where all-to-all is exposed and layers
// weigh more beside the head.
//
// Method: layers cut in even numbers, then single layers moved between stages while that lowers an objective: the most
// loaded rank, the most loaded stage, or both together. Each gives a candidate; simulate() keeps the one with the
// shortest step. Local optima, not a proof; layers_per_stage overrides them.
#include "sim/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>
#include <iterator>
#include <map>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace hourglass::sim {

namespace {

std::vector<UnitKind> closing(const Inputs& inputs) {
  std::vector<UnitKind> units = {UnitKind::head};
  if (!inputs.plan.mtp) return units;
  for (std::int64_t i = 0; i < inputs.model.mtp_modules; ++i) {
    units.insert(units.end(), {UnitKind::embedding, UnitKind::mtp_projection, layer_unit(inputs.model.layers.back()),
                               UnitKind::head});
  }
  return units;
}

// What a stage holds, as far as its duration goes.
struct StageContent {
  std::int64_t dense = 0, moe = 0;
  bool first = false, last = false;
  auto operator<=>(const StageContent&) const = default;
};

enum class Objective { rank, stage, both };

// The load of a rank in seconds, each combination of contents timed once.
class RankLoads {
 public:
  RankLoads(const Inputs& inputs, const schedules::Schedule& schedule, const UnitPrices& prices)
      : closing_(closing(inputs)), prices_(prices), stages_of_rank_(static_cast<std::size_t>(schedule.ranks)) {
    for (const auto& rank : schedule.actions) {
      for (const schedules::Action& action : rank) uses_[static_cast<std::size_t>(action.kind)] = true;
    }
    for (const std::vector<int>& direction : schedule.placement) {
      for (std::size_t s = 0; s < direction.size(); ++s)
        stages_of_rank_[static_cast<std::size_t>(direction[s])].push_back(s);
    }
  }

  // Smaller is better balanced.
  std::pair<double, double> imbalance(const std::vector<StageContent>& stages, Objective objective) {
    double largest_stage = 0.0, stage_squares = 0.0, largest_rank = 0.0, rank_squares = 0.0;
    for (const StageContent& stage : stages) {
      const double load = of(stage, stage);
      largest_stage = std::max(largest_stage, load);
      stage_squares += load * load;
    }
    for (const std::vector<std::size_t>& own : stages_of_rank_) {
      double load = 0.0;
      for (std::size_t i = 0; i < own.size(); ++i) load += of(stages[own[i]], stages[own[own.size() - 1 - i]]);
      largest_rank = std::max(largest_rank, load);
      rank_squares += load * load;
    }
    switch (objective) {
      case Objective::rank:
        return {largest_rank, rank_squares};
      case Objective::stage:
        return {largest_stage, stage_squares};
      case Objective::both:
        break;
    }
    return {largest_rank + largest_stage * static_cast<double>(stages_of_rank_.front().size()), rank_squares};
  }

 private:
  using Kind = schedules::Kind;
  bool uses(Kind kind) const { return uses_[static_cast<std::size_t>(kind)]; }

  std::vector<UnitKind> units(const StageContent& content) const {
    std::vector<UnitKind> all;
    if (content.first) all.push_back(UnitKind::embedding);
    std::fill_n(std::back_inserter(all), content.dense, UnitKind::dense_layer);
    std::fill_n(std::back_inserter(all), content.moe, UnitKind::moe_layer);
    if (content.last) std::copy(closing_.begin(), closing_.end(), std::back_inserter(all));
    return all;
  }

  double of(const StageContent& forward, const StageContent& backward) {
    const auto found = known_.find({forward, backward});
    if (found != known_.end()) return found->second;
    const auto seconds = [&](Kind kind, const StageContent& content) {
      return base::seconds(duration(build_block(kind, units(content), units(backward), prices_)));
    };
    double load = 0.0;
    if (uses(Kind::overlapped)) {
      load = seconds(Kind::overlapped, forward);
    } else {
      load = seconds(Kind::forward, forward);
      load += uses(Kind::backward) ? seconds(Kind::backward, backward)
                                   : seconds(Kind::backward_input, backward) + seconds(Kind::backward_weight, backward);
    }
    return known_.emplace(std::pair{forward, backward}, load).first->second;
  }

  std::vector<UnitKind> closing_;
  const UnitPrices& prices_;
  std::vector<std::vector<std::size_t>> stages_of_rank_;
  std::array<bool, 5> uses_{};
  std::map<std::pair<StageContent, StageContent>, double> known_;
};

std::vector<StageContent> contents(const std::vector<model::LayerKind>& layers,
                                   const std::vector<std::int64_t>& counts) {
  std::vector<StageContent> all(counts.size());
  std::size_t next = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    for (std::int64_t i = 0; i < counts[s]; ++i)
      ++(layers[next++] == model::LayerKind::moe ? all[s].moe : all[s].dense);
  }
  all.front().first = all.back().last = true;
  return all;
}

// Every stage but the last, which has the head, keeps at least one layer.
std::vector<std::int64_t> balance(const std::vector<model::LayerKind>& layers, std::size_t stages, Objective objective,
                                  RankLoads& loads) {
  std::vector<std::int64_t> counts(stages);
  for (std::size_t s = 0; s < stages; ++s) {
    counts[s] = static_cast<std::int64_t>((s + 1) * layers.size() / stages - s * layers.size() / stages);
  }
  // One layer fewer than stages: the last goes without.
  if (layers.size() < stages) {
    counts.assign(stages, 1);
    counts.back() = 0;
  }
  auto best = loads.imbalance(contents(layers, counts), objective);
  for (bool improved = true; improved;) {
    improved = false;
    for (std::size_t from = 0; from < stages; ++from) {
      for (std::size_t to = 0; to < stages; ++to) {
        if (from == to || counts[from] <= (from + 1 == stages ? 0 : 1)) continue;
        --counts[from];
        ++counts[to];
        const auto candidate = loads.imbalance(contents(layers, counts), objective);
        if (candidate < best) {
          best = candidate;
          improved = true;
          continue;
        }
        ++counts[from];
        --counts[to];
      }
    }
  }
  return counts;
}

void check_layers_per_stage(const Inputs& inputs, std::size_t stages) {
  const std::vector<std::int64_t>& counts = inputs.plan.layers_per_stage;
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const std::string where = inputs.plan.name + " /layers_per_stage";
  if (counts.size() != stages) {
    throw base::Error(fmt::format("lists {} stages, the schedule has {}", counts.size(), stages), where,
                      "or write \"balanced\"");
  }
  if (total != inputs.model.layer_count()) {
    throw base::Error(fmt::format("adds up to {} layers, the model has {}", total, inputs.model.layer_count()), where,
                      "or write \"balanced\"");
  }
}

}  // namespace

model::ParameterCount stage_parameters(const Inputs& inputs, const StageLayout& layout, std::size_t stage) {
  model::ParameterCount total;
  bool has_head = false;
  const std::vector<UnitKind>& units = layout.stages[stage];
  for (std::size_t i = 0; i < units.size(); ++i) {
    model::ParameterCount unit;
    switch (units[i]) {
      case UnitKind::dense_layer:
        unit = model::layer_parameters(inputs.model, model::LayerKind::dense);
        break;
      case UnitKind::moe_layer:
        unit = model::layer_parameters(inputs.model, model::LayerKind::moe);
        break;
      // After a head comes the MTP module: with one copy it must hold the embedding it shares, unless it is on this
      // stage.
      case UnitKind::embedding:
        unit.dense = i == 0 || stage > 0 ? model::embedding_parameters(inputs.model) : 0.0;
        break;
      case UnitKind::mtp_projection:
        unit.dense = model::mtp_parameters(inputs.model).total() -
                     model::layer_parameters(inputs.model, inputs.model.layers.back()).total();
        break;
      case UnitKind::head:
        unit.dense = std::exchange(has_head, true) ? 0.0 : model::head_parameters(inputs.model);
        break;
    }
    total.dense += unit.dense;
    total.expert += unit.expert;
  }
  return total;
}

namespace {

StageLayout layout_of(const Inputs& inputs, std::vector<std::int64_t> counts) {
  StageLayout layout;
  const std::vector<UnitKind> last = closing(inputs);
  std::size_t next = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    std::vector<UnitKind> units;
    if (s == 0) units.push_back(UnitKind::embedding);
    for (std::int64_t i = 0; i < counts[s]; ++i) units.push_back(layer_unit(inputs.model.layers[next++]));
    if (s + 1 == counts.size()) std::copy(last.begin(), last.end(), std::back_inserter(units));
    layout.stages.push_back(std::move(units));
  }
  layout.layers = std::move(counts);
  return layout;
}

}  // namespace

std::vector<StageLayout> candidate_layouts(const Inputs& inputs, const schedules::Schedule& schedule,
                                           const UnitPrices& prices) {
  const std::vector<model::LayerKind>& layers = inputs.model.layers;
  const auto stages = static_cast<std::size_t>(schedule.stages);
  if (layers.size() + 1 < stages) {
    throw base::Error(fmt::format("{} layers cannot fill {} pipeline stages", layers.size(), stages), inputs.plan.name,
                      "use fewer pipeline ranks or chunks");
  }
  if (!inputs.plan.layers_per_stage.empty()) {
    check_layers_per_stage(inputs, stages);
    return {layout_of(inputs, inputs.plan.layers_per_stage)};
  }
  RankLoads loads(inputs, schedule, prices);
  std::vector<StageLayout> candidates;
  for (const Objective objective : {Objective::rank, Objective::stage, Objective::both}) {
    StageLayout layout = layout_of(inputs, balance(layers, stages, objective, loads));
    const bool known = std::any_of(candidates.begin(), candidates.end(),
                                   [&](const StageLayout& other) { return other.layers == layout.layers; });
    if (!known) candidates.push_back(std::move(layout));
  }
  return candidates;
}

}  // namespace hourglass::sim
