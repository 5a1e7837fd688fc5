#include "planner/search/search_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "hardware/network/topology.h"
#include "schedules/catalogue.h"
#include "schedules/validate.h"
#include "sim/training/memory.h"
#include "sim/training/simulate.h"

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
    const schedules::Shape shape{static_cast<int>(ranks), static_cast<int>(micro_batches), schedule.chunks};
    if (schedules::refusal(schedule.name, shape)) return;  // Search::explain tells why
    entry->program = std::make_shared<sim::StepProgram>(schedules::generate(schedule.name, shape));
    const std::lock_guard lock(mutex_);
    bytes_ += entry->program->bytes();
  });
  return entry->program;
}

ClusterTables::ClusterTables(const sim::Inputs& inputs)
    : contents(inputs), parameters(sim::content_parameters(inputs, contents)), fast(sim::fast_step_covers(inputs)) {
  all.dense = model::embedding_parameters(inputs.model) + model::head_parameters(inputs.model);
  for (const int kind : inputs.model.layers) {
    const model::ParameterCount layer = model::layer_parameters(inputs.model, inputs.model.kind(kind));
    all.dense += layer.dense;
    all.expert += layer.expert;
  }
}

namespace {

// As check_layout of sim/training/plan_rules.cpp.
template <class Stop>
void check_own(const sim::Plan& plan, const hardware::Cluster& cluster, Stop&& stop) {
  const model::Parallelism& p = plan.parallel;
  const auto beyond_node = [&] {
    return fmt::format("tensor_parallel {} is more than the {} GPUs of a node", p.tensor, cluster.nvlink_domain);
  };
  if (p.tensor > cluster.nvlink_domain && stop("node", beyond_node)) return;
  const auto wider = [&] {
    return fmt::format("expert_tensor_parallel {} is more than tensor_parallel {}", p.expert_tensor, p.tensor);
  };
  if (p.expert_tensor > p.tensor) stop("expert tensor", wider);
}

}  // namespace

bool legal(sim::Plan& plan, const sim::Inputs& inputs) {
  bool holds = sim::legal(plan, inputs.model, inputs.cluster);
  check_own(plan, inputs.cluster, [&](const char*, const auto&) { return !(holds = false); });
  if (holds) plan.parallel.data = sim::data_parallel(plan);
  return holds;
}

std::vector<sim::Violation> search_violations(const sim::Plan& plan, const sim::Inputs& inputs) {
  std::vector<sim::Violation> all = sim::layout_violations(plan, inputs.model, inputs.cluster);
  check_own(plan, inputs.cluster, [&](const char* rule, const auto& words) {
    all.push_back({rule, "", words(), ""});
    return false;
  });
  return all;
}

double least_memory(const sim::Inputs& inputs, const model::ParameterCount& all, int copies) {
  const model::Parallelism& p = inputs.plan.parallel;
  const model::ParameterCount local = model::local_parameters(all, p);
  const double part = static_cast<double>(copies) / static_cast<double>(p.pipeline);
  return sim::static_memory(inputs.plan, {local.dense * part, local.expert * part}, copies, 0.0).total();
}

SearchEngine::SearchEngine(const Space& all, double headroom) : space(all), memory_headroom(headroom) {
  for (const sim::Inputs& inputs : space.clusters) clusters.emplace_back(inputs);
  for (const ScheduleChoice& schedule : space.schedules)
    traits.push_back(schedules::traits(schedule.name, schedule.chunks));
}

double SearchEngine::memory_limit_bytes(const sim::Inputs& inputs) const {
  return inputs.cluster.memory_bytes * (1.0 - memory_headroom);
}

double cost_rate(const hardware::Cluster& cluster, bool priced) {
  return priced ? cluster.price_per_gpu_hour / base::seconds_per_hour : 1.0;
}

namespace {

// A price key of a unit.
struct Key {
  std::uint64_t number = 0;
  SearchChoice choice;  // with the group's values; pipeline and schedule are to be filled in
  std::unique_ptr<sim::StepCosts> costs;
};

// One unit at work.
class Worker {
 public:
  Worker(SearchEngine& engine, const std::vector<Measures>& seeds, bool priced, std::uint64_t unit)
      : space_(engine.space), traits_(engine.traits), programs_(engine.programs), seeds_(seeds) {
    result_.unit = unit;
    const std::uint64_t blocks = (space_.keys() + keys_per_unit - 1) / keys_per_unit;
    group_ = unit / blocks;
    first_key_ = unit % blocks * keys_per_unit;
    last_key_ = std::min(space_.keys(), first_key_ + keys_per_unit);
    const std::size_t cluster = space_.choice(space_.id(group_, 0, 0, 0)).cluster;
    tables_ = &engine.clusters[cluster];
    inputs_ = space_.clusters[cluster];
    limit_ = engine.memory_limit_bytes(inputs_);
    rate_ = cost_rate(inputs_.cluster, priced);
  }

  UnitResult run() {
    result_.plans = (last_key_ - first_key_) * space_.pipelines.size() * space_.schedules.size();
    find_keys();
    for (std::size_t p = 0; p < space_.pipelines.size(); ++p) {
      const std::vector<Key*> alive = legal_keys(p);
      for (std::size_t s = 0; s < space_.schedules.size() && !alive.empty(); ++s) run_shape(p, s, alive);
    }
    std::sort(result_.points.begin(), result_.points.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    result_.illegal = result_.plans - result_.too_large - result_.bounded - result_.simulated;
    return std::move(result_);
  }

 private:
  struct Sweep {
    Key* key = nullptr;
    std::vector<sim::StepCandidate> candidates;
    base::Time best = 0;
    double memory = 0.0;
  };

  // Plans that differ only in what has no effect count once: SMs for communication beside which nothing runs.
  bool repeats_another(const SearchChoice& c) const {
    return c.expert == 1 && c.communication_sms != space_.communication_sms.front();
  }
  bool repeats_another(const SearchChoice& c, const schedules::Traits& traits) const {
    const bool overlaps = traits.pairs || (traits.fused && inputs_.plan.overlap_weight_gradients);
    return !overlaps && c.communication_sms != space_.communication_sms.front();
  }

  void find_keys() {
    for (std::uint64_t k = first_key_; k < last_key_; ++k) {
      Key key{k, space_.choice(space_.id(group_, 0, k, 0)), nullptr};
      if (!repeats_another(key.choice)) keys_.push_back(std::move(key));
    }
  }

  void set_plan(const Key& key, std::size_t p) {
    SearchChoice choice = key.choice;
    choice.pipeline = space_.pipelines[p];
    apply_numbers(inputs_.plan, choice);
  }

  std::vector<Key*> legal_keys(std::size_t p) {
    std::vector<Key*> alive;
    for (Key& key : keys_) {
      set_plan(key, p);
      if (legal(inputs_.plan, inputs_)) alive.push_back(&key);
    }
    return alive;
  }

  bool beaten(base::Time step, double memory) const {
    const double tokens =
        static_cast<double>(inputs_.plan.global_batch) * static_cast<double>(inputs_.plan.micro_batch.sequence_length);
    const double seconds = base::seconds(step) / tokens, gpus = static_cast<double>(inputs_.plan.gpus),
                 cost = seconds * gpus * rate_;
    for (const Measures& seed : seeds_) {
      if (seed.seconds_per_token >= seconds) return false;  // fastest first
      if (seed.peak_memory_bytes <= memory && seed.gpus <= gpus && seed.cost_per_token <= cost) return true;
    }
    return false;
  }

  bool keep(bool large, base::Time least_step, double least_memory) {
    if (!large && !beaten(least_step, least_memory)) return true;
    ++(large ? result_.too_large : result_.bounded);
    return false;
  }
  base::Time least_step(Key& key, const schedules::Traits& traits) {
    if (!key.costs) key.costs = std::make_unique<sim::StepCosts>(inputs_, tables_->contents);
    return sim::least_step(inputs_, tables_->contents, tables_->parameters, traits, *key.costs);
  }

  // Bounds first: those that need neither the schedule's order nor a split, then one that needs the order.
  void run_shape(std::size_t p, std::size_t s, const std::vector<Key*>& alive) {
    const std::int64_t ranks = space_.pipelines[p];
    if (ranks * traits_[s].stages_per_rank > inputs_.model.layer_count() + 1) return;
    sweeps_.resize(std::max(sweeps_.size(), alive.size()));
    std::size_t kept = 0;
    std::optional<std::shared_ptr<const sim::StepProgram>>
        program;  // of all keys; asked for by the first that needs it
    sim::StepPreparer preparer(tables_->contents, tables_->parameters);
    for (Key* key : alive) {
      if (repeats_another(key->choice, traits_[s])) continue;
      set_plan(*key, p);
      legal(inputs_.plan, inputs_);  // completes data parallelism
      const double memory = least_memory(inputs_, tables_->all, traits_[s].copies);
      const base::Time step = memory > limit_ ? 0 : least_step(*key, traits_[s]);
      if (!keep(memory > limit_, step, memory)) continue;
      if (!program) program = programs_.get(space_.schedules[s], ranks, inputs_.plan.micro_batches());
      if (!*program) continue;
      Sweep& sweep = sweeps_[kept];
      sweep.key = key;
      if (!tables_->fast) {
        simulate_slowly(sweep, p, s);
        continue;
      }
      const double held =
          sim::least_memory_bytes(inputs_, tables_->contents, tables_->parameters, **program, *key->costs);
      if (!keep(held > limit_, step, held)) continue;
      preparer.prepare(inputs_, **program, *key->costs, sweep.candidates);
      if (worth_sweeping(sweep)) ++kept;
    }
    if (kept == 0) return;
    sweep_all(**program, kept);
    for (std::size_t i = 0; i < kept; ++i) record(sweeps_[i], p, s);
  }

  bool worth_sweeping(Sweep& sweep) {
    double memory = sweep.candidates.front().largest_memory_bytes;
    base::Time bound = sweep.candidates.front().bound;
    for (const sim::StepCandidate& candidate : sweep.candidates) {
      memory = std::min(memory, candidate.largest_memory_bytes);
      bound = std::min(bound, candidate.bound);
    }
    sweep.best = 0;
    return keep(memory > limit_, bound, memory);
  }

  void sweep_all(const sim::StepProgram& program, std::size_t count) {
    const std::size_t blocks = program.blocks().size(), ranks = program.uses().size();
    durations_.resize(blocks);
    lane_ends_.resize(ranks);
    std::size_t lane = 0;
    std::array<std::pair<Sweep*, const sim::StepCandidate*>, sim::sweep_lanes> loaded{};
    sim::Lanes message;
    const auto flush = [&] {
      program.sweep(durations_.data(), message, lane_ends_.data());
      for (std::size_t l = 0; l < lane; ++l) take(*loaded[l].first, *loaded[l].second, l);
      lane = 0;
    };
    for (std::size_t i = 0; i < count; ++i) {
      for (const sim::StepCandidate& candidate : sweeps_[i].candidates) {
        loaded[lane] = {&sweeps_[i], &candidate};
        message.at[lane] = candidate.message;
        for (std::size_t b = 0; b < blocks; ++b) durations_[b].at[lane] = candidate.durations[b];
        if (++lane == sim::sweep_lanes) flush();
      }
    }
    if (lane > 0) flush();
  }

  // As simulate(): the first of the fastest splits.
  void take(Sweep& sweep, const sim::StepCandidate& candidate, std::size_t lane) {
    ends_.resize(lane_ends_.size());
    for (std::size_t r = 0; r < ends_.size(); ++r) ends_[r] = lane_ends_[r].at[lane];
    const base::Time step = candidate.step(ends_.data());
    if (sweep.best > 0 && step >= sweep.best) return;
    sweep.best = step;
    sweep.memory = candidate.largest_memory_bytes;
  }

  void record(const Sweep& sweep, std::size_t p, std::size_t s) {
    if (sweep.memory > limit_) {
      ++result_.too_large;
      return;
    }
    ++result_.simulated;
    result_.points.push_back({space_.id(group_, p, sweep.key->number, s), sweep.best, sweep.memory});
  }

  void simulate_slowly(Sweep& sweep, std::size_t p, std::size_t s) {
    inputs_.plan.schedule = space_.schedules[s].name;
    inputs_.plan.chunks = space_.schedules[s].chunks;
    inputs_.plan.layers_per_stage.clear();
    try {
      const sim::Result result = sim::simulate(inputs_);
      sweep.best = base::time_from_seconds(result.step_time_s);
      sweep.memory = result.largest_memory_bytes();
      record(sweep, p, s);
    } catch (const hardware::CannotCarry&) {  // its all-to-all, which only routing it shows: illegal after all
    }
  }

  const Space& space_;
  const std::vector<schedules::Traits>& traits_;
  ProgramCache& programs_;
  const std::vector<Measures>& seeds_;
  std::uint64_t group_ = 0, first_key_ = 0, last_key_ = 0;
  const ClusterTables* tables_ = nullptr;
  sim::Inputs inputs_;
  double limit_ = 0.0, rate_ = 0.0;
  std::vector<Key> keys_;
  std::vector<Sweep> sweeps_;
  std::vector<sim::Lanes> durations_, lane_ends_;
  std::vector<base::Time> ends_;
  UnitResult result_;
};

}  // namespace

UnitResult run_unit(SearchEngine& engine, const std::vector<Measures>& seeds, bool priced, std::uint64_t unit) {
  return Worker(engine, seeds, priced, unit).run();
}

}  // namespace hourglass::planner
