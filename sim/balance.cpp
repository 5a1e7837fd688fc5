// Splitting layers over stages. Units differ: the first stage also embeds, the last one holds the output head (a GEMM
// of hidden x vocabulary, in BF16) and the multi-token prediction module. The slowest rank paces a pipeline, and a rank
// may hold several stages (DualPipe: r and p-1-r); where phases run stage by stage (looped), the slowest stage does.
//
// Load of a rank: the duration of its blocks for one micro-batch of each of its stages. Where the schedule overlaps,
// the forward of its first stage runs with the backward of its last and so on, so stages of unequal length expose
// communication and count as longer; else F, B and W (or F and BW) run alone, where all-to-all is exposed and layers
// weigh more beside the head.
//
// Method: layers cut in even numbers, then single layers moved between stages while that lowers an objective: the
// largest load of a rank, of a stage, or both together, and among equals the sum of squares. Each gives a candidate;
// simulate() keeps the one with the shortest step. Local optima, not a proof; layers_per_stage overrides them.
//
// Loads are whole picoseconds and their squares are summed in 128 bits, so that a tie is a tie. A move is judged by
// what it changes: the loads of two stages and their ranks (more only where layers of two kinds shift). Stages that
// hold the same, on ranks that hold the same, are alike: a move between two of them that was refused once is not tried
// again until a layer has moved.
#include "sim/balance.h"

#include <algorithm>

namespace hourglass::sim {

namespace {

using schedules::Kind;
using Id = ContentTable::Id;
__extension__ typedef unsigned __int128 Wide;

enum class Objective { rank, stage, both };

struct Score {
  base::Time largest = 0;
  Wide squares = 0;
  bool operator<(const Score& other) const {
    return largest != other.largest ? largest < other.largest : squares < other.squares;
  }
};

Wide square(base::Time load) { return static_cast<Wide>(load) * static_cast<Wide>(load); }

class Balancer {
 public:
  Balancer(const ContentTable& contents, const BalanceProblem& problem, BlockTimes& times)
      : contents_(contents), problem_(problem), times_(times), stages_(problem.ranks_of_stage.size()) {
    const auto layers = static_cast<std::int64_t>(contents.layers().size());
    while (uniform_from_ < layers && contents.dense_before(uniform_from_) != contents.dense_before(layers) &&
           contents.dense_before(layers) - contents.dense_before(uniform_from_) != layers - uniform_from_)
      ++uniform_from_;
  }

  std::vector<std::int64_t> split(Objective objective) {
    objective_ = objective;
    start_evenly();
    for (bool improved = true; improved;) {
      improved = false;
      for (std::size_t from = 0; from < stages_; ++from) {
        for (std::size_t to = next_target(from, 0); to < stages_; to = next_target(from, to + 1)) {
          if (counts_[from] <= (from + 1 == stages_ ? 0 : 1)) break;
          if (try_move(from, to)) improved = true;
        }
      }
    }
    return counts_;
  }

 private:
  bool uses(Kind kind) const { return problem_.uses[static_cast<std::size_t>(kind)]; }

  base::Time load(Id forward, Id backward) {
    if (uses(Kind::overlapped)) return times_.of(Kind::overlapped, forward, backward);
    const base::Time back = uses(Kind::backward) ? times_.of(Kind::backward, backward, backward)
                                                 : times_.of(Kind::backward_input, backward, backward) +
                                                       times_.of(Kind::backward_weight, backward, backward);
    return times_.of(Kind::forward, forward, forward) + back;
  }
  base::Time rank_load(std::size_t rank) {
    const std::vector<std::size_t>& own = problem_.stages_of_rank[rank];
    base::Time total = 0;
    for (std::size_t i = 0; i < own.size(); ++i) total += load(ids_[own[i]], ids_[own[own.size() - 1 - i]]);
    return total;
  }

  // Every stage but the last, which has the head, keeps at least one layer.
  void start_evenly() {
    const std::size_t layers = contents_.layers().size();
    counts_.assign(stages_, 1);
    counts_.back() = 0;  // one layer fewer than stages: the last goes without
    for (std::size_t s = 0; s < stages_ && layers >= stages_; ++s)
      counts_[s] = static_cast<std::int64_t>((s + 1) * layers / stages_ - s * layers / stages_);
    ids_ = contents_.of(counts_);
    starts_.assign(1, 0);
    for (const std::int64_t count : counts_) starts_.push_back(starts_.back() + count);
    rank_loads_.clear();
    stage_loads_.clear();
    for (std::size_t r = 0; r < problem_.stages_of_rank.size(); ++r) rank_loads_.push_back(rank_load(r));
    for (const Id id : ids_) stage_loads_.push_back(load(id, id));
    best_ = score();
    classify();
  }

  Score score() const {
    Score out;
    base::Time largest_rank = 0, largest_stage = 0;
    for (const base::Time each : rank_loads_) largest_rank = std::max(largest_rank, each);
    for (const base::Time each : stage_loads_) largest_stage = std::max(largest_stage, each);
    for (const base::Time each : objective_ == Objective::stage ? stage_loads_ : rank_loads_)
      out.squares += square(each);
    if (objective_ == Objective::rank) out.largest = largest_rank;
    if (objective_ == Objective::stage) out.largest = largest_stage;
    if (objective_ == Objective::both)
      out.largest =
          largest_rank + largest_stage * static_cast<base::Time>(problem_.stages_of_rank.front().size());
    return out;
  }

  // Gives stages that are alike the same class: by a hash of what they and their ranks hold.
  void classify() {
    signatures_.clear();
    classes_.resize(stages_);
    for (std::size_t s = 0; s < stages_; ++s) {
      std::uint64_t signature = mixed(0, static_cast<std::uint64_t>(ids_[s]));
      for (const std::size_t rank : problem_.ranks_of_stage[s]) {
        for (const std::size_t own : problem_.stages_of_rank[rank])
          signature = mixed(signature, own == s ? ~std::uint64_t{0} : static_cast<std::uint64_t>(ids_[own]));
        signature = mixed(signature, ~std::uint64_t{1});
      }
      const auto found = std::find(signatures_.begin(), signatures_.end(), signature);
      classes_[s] = static_cast<std::size_t>(found - signatures_.begin());
      if (found == signatures_.end()) signatures_.push_back(signature);
    }
    class_count_ = signatures_.size();
    refused_.assign(class_count_ * class_count_, 0);
  }

  static std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
  }

  // The next stage from `to` on that a layer of `from` might go to and that is not known to be in vain.
  std::size_t next_target(std::size_t from, std::size_t to) const {
    const bool uniform = starts_[from] >= uniform_from_;
    for (; to < stages_; ++to) {
      if (to == from) continue;
      if (!uniform || starts_[to] < uniform_from_) return to;
      if (refused_[classes_[from] * class_count_ + classes_[to]] == 0 || share_a_rank(from, to)) return to;
    }
    return to;
  }

  bool share_a_rank(std::size_t a, std::size_t b) const { return problem_.share_a_rank[a * stages_ + b] != 0; }

  void set_content(std::size_t s) {
    const std::int64_t dense = contents_.dense_before(starts_[s + 1]) - contents_.dense_before(starts_[s]);
    const Id id = contents_.id(dense, counts_[s] - dense, s == 0, s + 1 == stages_);
    if (id == ids_[s]) return;
    undo_.push_back({s, ids_[s]});
    ids_[s] = id;
  }

  void move(std::size_t from, std::size_t to) {
    --counts_[from];
    ++counts_[to];
    for (std::size_t s = from + 1; s <= to; ++s) --starts_[s];
    for (std::size_t s = to + 1; s <= from; ++s) ++starts_[s];
  }

  bool try_move(std::size_t from, std::size_t to) {
    const std::size_t low = std::min(from, to), high = std::max(from, to);
    const bool alike = starts_[low] >= uniform_from_ && !share_a_rank(from, to);
    std::uint8_t& refused = refused_[classes_[from] * class_count_ + classes_[to]];
    if (alike && refused != 0) return false;
    move(from, to);
    undo_.clear();
    set_content(low);
    for (std::size_t s = low + 1; s < high && starts_[s] <= uniform_from_; ++s) set_content(s);
    set_content(high);
    if (improves()) {
      classify();
      return true;
    }
    for (const auto& [stage, id] : undo_) ids_[stage] = id;
    move(to, from);
    if (alike) refused = 1;
    return false;
  }

  // Updates the loads; puts them back unless the score is better.
  bool improves() {
    old_ranks_.clear();
    old_stages_.clear();
    for (const auto& [stage, id] : undo_) {
      old_stages_.push_back({stage, stage_loads_[stage]});
      stage_loads_[stage] = load(ids_[stage], ids_[stage]);
      for (const std::size_t rank : problem_.ranks_of_stage[stage]) {
        old_ranks_.push_back({rank, rank_loads_[rank]});
        rank_loads_[rank] = rank_load(rank);
      }
    }
    const Score candidate = score();
    if (candidate < best_) {
      best_ = candidate;
      return true;
    }
    while (!old_ranks_.empty()) {
      rank_loads_[old_ranks_.back().first] = old_ranks_.back().second;
      old_ranks_.pop_back();
    }
    for (const auto& [stage, old] : old_stages_) stage_loads_[stage] = old;
    return false;
  }

  const ContentTable& contents_;
  const BalanceProblem& problem_;
  BlockTimes& times_;
  std::size_t stages_;
  std::int64_t uniform_from_ = 0;  // from this layer on all are of one kind
  Objective objective_ = Objective::rank;
  std::vector<std::int64_t> counts_, starts_;
  std::vector<Id> ids_;
  std::vector<base::Time> rank_loads_, stage_loads_;
  std::vector<std::uint64_t> signatures_;  // [class]
  std::vector<std::size_t> classes_;
  std::size_t class_count_ = 0;
  std::vector<std::uint8_t> refused_;  // [class of from][class of to]
  Score best_;
  std::vector<std::pair<std::size_t, Id>> undo_;
  std::vector<std::pair<std::size_t, base::Time>> old_ranks_, old_stages_;
};

}  // namespace

BalanceProblem::BalanceProblem(const schedules::Schedule& schedule)
    : stages_of_rank(static_cast<std::size_t>(schedule.ranks)),
      ranks_of_stage(static_cast<std::size_t>(schedule.stages)) {
  for (const auto& rank : schedule.actions) {
    for (const schedules::Action& action : rank) uses[static_cast<std::size_t>(action.kind)] = true;
  }
  for (const std::vector<int>& direction : schedule.placement) {
    for (std::size_t s = 0; s < direction.size(); ++s) {
      stages_of_rank[static_cast<std::size_t>(direction[s])].push_back(s);
      ranks_of_stage[s].push_back(static_cast<std::size_t>(direction[s]));
    }
  }
  const std::size_t stages = ranks_of_stage.size();
  share_a_rank.assign(stages * stages, 0);
  for (const std::vector<std::size_t>& own : stages_of_rank) {
    for (const std::size_t a : own) {
      for (const std::size_t b : own) share_a_rank[a * stages + b] = 1;
    }
  }
}

std::vector<std::vector<std::int64_t>> balanced_splits(const ContentTable& contents, const BalanceProblem& problem,
                                                       BlockTimes& times) {
  Balancer balancer(contents, problem, times);
  std::vector<std::vector<std::int64_t>> splits = {balancer.split(Objective::rank)};
  // With one stage a rank the three objectives order splits alike.
  if (problem.ranks_of_stage.size() == problem.stages_of_rank.size() && problem.ranks_of_stage.front().size() == 1)
    return splits;
  for (const Objective objective : {Objective::stage, Objective::both}) {
    std::vector<std::int64_t> split = balancer.split(objective);
    if (std::find(splits.begin(), splits.end(), split) == splits.end()) splits.push_back(std::move(split));
  }
  return splits;
}

}  // namespace hourglass::sim
