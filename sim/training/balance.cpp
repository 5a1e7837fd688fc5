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
// Loads are whole picoseconds and their squares are summed in 128 bits, so that a tie is a tie. Almost every move is
// refused, so a move is judged by what it changes: what stage and ranks weigh with one layer more or one less is kept
// for every stage until a layer there moves. Only moves that may lower the largest load, that change more than two
// stages (where layers of two kinds shift) or two that run as a pair are worked out whole.
#include "sim/training/balance.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

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
      : contents_(contents),
        problem_(problem),
        times_(times),
        stages_(problem.ranks_of_stage.size()),
        one_copy_(problem.ranks_of_stage.front().size() == 1) {
    const std::vector<int>& layers = contents.layers();
    const auto other = std::find_if(layers.rbegin(), layers.rend(), [&](int kind) { return kind != layers.back(); });
    uniform_from_ = layers.rend() - other;
  }

  std::vector<std::int64_t> split(Objective objective) {
    objective_ = objective;
    start_evenly();
    for (bool improved = true; improved;) {
      improved = false;
      for (std::size_t from = 0; from < stages_; ++from) {
        for (std::size_t to = 0; to < stages_; ++to) {
          if (counts_[from] <= (from + 1 == stages_ ? 0 : 1)) break;
          if (to != from && try_move(from, to)) improved = true;
        }
      }
    }
    return counts_;
  }

 private:
  base::Time load(Id forward, Id backward) {
    if (problem_.pairs) return times_.of(Kind::overlapped, forward, backward);
    const base::Time back = problem_.fused ? times_.of(Kind::backward, backward, backward)
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
  // Whether a rank's load is the sum of its stages', each of which is on that rank alone.
  bool adds_up() const { return one_copy_ && !problem_.pairs; }
  const std::vector<std::size_t>& ranks_of(std::size_t stage) const { return problem_.ranks_of_stage[stage]; }

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
    best_.largest = std::numeric_limits<base::Time>::max();
    best_ = score();
    find_peak();
    for (std::vector<Loads>& each : changed_) each.assign(stages_, {});
  }

  // The largest loads, and how many there are of them.
  struct Peak {
    base::Time rank = 0, stage = 0;
    std::size_t ranks = 0, stages = 0;
  };
  static base::Time largest(const std::vector<base::Time>& loads) {
    return *std::max_element(loads.begin(), loads.end());
  }
  void find_peak() {
    peak_ = {largest(rank_loads_), largest(stage_loads_), 0, 0};
    peak_.ranks = static_cast<std::size_t>(std::count(rank_loads_.begin(), rank_loads_.end(), peak_.rank));
    peak_.stages = static_cast<std::size_t>(std::count(stage_loads_.begin(), stage_loads_.end(), peak_.stage));
  }

  Score score() const {
    Score out{objective(largest(rank_loads_), largest(stage_loads_)), 0};
    if (out.largest > best_.largest) return out;
    for (const base::Time each : objective_ == Objective::stage ? stage_loads_ : rank_loads_)
      out.squares += square(each);
    return out;
  }
  // Of the largest loads.
  base::Time objective(base::Time rank, base::Time stage) const {
    switch (objective_) {
      case Objective::rank:
        return rank;
      case Objective::stage:
        return stage;
      case Objective::both:
        return rank + stage * static_cast<base::Time>(problem_.stages_of_rank.front().size());
    }
    return 0;
  }

  Id content(std::size_t stage, std::int64_t begin, std::int64_t end) const {
    return contents_.id(begin, end, stage == 0, stage + 1 == stages_);
  }
  // Of a stage with one layer more or one less at the end that moves, which is among layers of one kind.
  Id content_with(std::size_t stage, bool one_more) const {
    const std::int64_t begin = starts_[stage], end = starts_[stage + 1], change = one_more ? 1 : -1;
    const bool at_the_end = end == starts_.back() && (one_more || stage + 1 == stages_);
    return at_the_end ? content(stage, begin - change, end) : content(stage, begin, end + change);
  }

  // A stage with one layer more or one less: its load, and what its ranks then weigh more (less: negative).
  struct Loads {
    bool known = false;
    base::Time stage = 0;
    std::array<base::Time, 2> rank = {};  // of ranks_of(stage)
  };
  const Loads& with(std::size_t stage, bool one_more) {
    Loads& loads = changed_[one_more ? 1 : 0][stage];
    if (loads.known) return loads;
    const Id own = ids_[stage];
    ids_[stage] = content_with(stage, one_more);
    loads = {true, load(ids_[stage], ids_[stage]), {}};
    const std::vector<std::size_t>& ranks = ranks_of(stage);
    if (adds_up()) loads.rank[0] = loads.stage - stage_loads_[stage];
    for (std::size_t i = 0; i < ranks.size() && !adds_up(); ++i) {
      if (i == 0 || ranks[i] != ranks[0]) loads.rank[i] = rank_load(ranks[i]) - rank_loads_[ranks[i]];
    }
    ids_[stage] = own;
    return loads;
  }
  // The stages whose ranks hold `stage` weigh anew.
  void forget(std::size_t stage) {
    for (const std::size_t rank : ranks_of(stage)) {
      for (const std::size_t own : problem_.stages_of_rank[rank]) {
        for (std::vector<Loads>& each : changed_) each[own].known = false;
      }
    }
  }

  // Whether a move is in vain that changes nothing but these two stages, which run in no pair of one rank.
  bool in_vain(std::size_t from, std::size_t to) {
    const Loads &more = with(to, true), &less = with(from, false);
    const bool by_rank = objective_ != Objective::stage, by_stage = objective_ != Objective::rank;
    if (!by_rank && more.stage > best_.largest) return true;
    if (by_rank && one_copy_) {  // what follows, for the most frequent case
      const std::size_t rank = ranks_of(to).front();
      const base::Time after =
          rank_loads_[rank] + more.rank[0] + (ranks_of(from).front() == rank ? less.rank[0] : base::Time{0});
      if (objective(after, more.stage) > best_.largest) return true;
    }
    struct Changed {
      std::size_t rank;
      base::Time before, after;
    };
    std::array<Changed, 4> ranks;
    std::size_t count = 0, stage_peaks = 0, rank_peaks = 0;
    const auto change = [&](std::size_t stage, const Loads& loads) {
      for (std::size_t i = 0; i < ranks_of(stage).size(); ++i) {
        const std::size_t rank = ranks_of(stage)[i];
        std::size_t at = 0;
        while (at < count && ranks[at].rank != rank) ++at;
        if (at == count) ranks[count++] = {rank, rank_loads_[rank], rank_loads_[rank]};
        ranks[at].after += loads.rank[i];
      }
    };
    base::Time largest_rank = 0;
    if (by_rank) {
      change(to, more);
      change(from, less);
      for (std::size_t i = 0; i < count; ++i) {
        largest_rank = std::max(largest_rank, ranks[i].after);
        if (ranks[i].before == peak_.rank && ranks[i].after < peak_.rank) ++rank_peaks;
      }
      if (objective(largest_rank, more.stage) > best_.largest) return true;
    }
    if (by_stage) {
      if (stage_loads_[from] == peak_.stage) ++stage_peaks;
      if (stage_loads_[to] == peak_.stage && more.stage < peak_.stage) ++stage_peaks;
    }
    // It may lower the largest load; else that stays what it is, or grows.
    if ((by_rank && rank_peaks == peak_.ranks) || (by_stage && stage_peaks == peak_.stages)) return false;
    if ((by_rank && largest_rank > peak_.rank) || (by_stage && more.stage > peak_.stage)) return true;
    Wide before = 0, after = 0;
    for (std::size_t i = 0; i < count; ++i) {
      before += square(ranks[i].before);
      after += square(ranks[i].after);
    }
    if (!by_rank) {
      before = square(stage_loads_[from]) + square(stage_loads_[to]);
      after = square(less.stage) + square(more.stage);
    }
    return after >= before;
  }

  bool pair_up(std::size_t a, std::size_t b) const { return problem_.pair_up[a * stages_ + b] != 0; }

  void set_content(std::size_t s) {
    const Id id = content(s, starts_[s], starts_[s + 1]);
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
    if (starts_[low + 1] > uniform_from_ && !pair_up(from, to) && in_vain(from, to)) return false;
    move(from, to);
    undo_.clear();
    set_content(low);
    for (std::size_t s = low + 1; s < high && starts_[s] <= uniform_from_; ++s) set_content(s);
    set_content(high);
    if (improves()) {
      for (const auto& [stage, id] : undo_) forget(stage);
      return true;
    }
    for (const auto& [stage, id] : undo_) ids_[stage] = id;
    move(to, from);
    return false;
  }

  // Updates the loads; puts them back unless the score is better.
  bool improves() {
    old_ranks_.clear();
    old_stages_.clear();
    base::Time largest_rank = 0, largest_stage = 0;
    for (const auto& [stage, id] : undo_) {
      old_stages_.push_back({stage, stage_loads_[stage]});
      stage_loads_[stage] = load(ids_[stage], ids_[stage]);
      largest_stage = std::max(largest_stage, stage_loads_[stage]);
      for (const std::size_t rank : ranks_of(stage)) {
        old_ranks_.push_back({rank, rank_loads_[rank]});
        rank_loads_[rank] = rank_load(rank);
        largest_rank = std::max(largest_rank, rank_loads_[rank]);
      }
    }
    if (objective(largest_rank, largest_stage) <= best_.largest) {
      const Score candidate = score();
      if (candidate < best_) {
        best_ = candidate;
        find_peak();
        return true;
      }
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
  bool one_copy_;                  // each stage is on one rank
  Objective objective_ = Objective::rank;
  std::vector<std::int64_t> counts_, starts_;
  std::vector<Id> ids_;
  std::vector<base::Time> rank_loads_, stage_loads_;
  std::array<std::vector<Loads>, 2> changed_;  // of each stage: one layer less, one more
  Score best_;
  Peak peak_;
  std::vector<std::pair<std::size_t, Id>> undo_;
  std::vector<std::pair<std::size_t, base::Time>> old_ranks_, old_stages_;
};

}  // namespace

BalanceProblem::BalanceProblem(const schedules::Schedule& schedule)
    : stages_of_rank(static_cast<std::size_t>(schedule.ranks)),
      ranks_of_stage(static_cast<std::size_t>(schedule.stages)) {
  for (const auto& rank : schedule.actions) {
    for (const schedules::Action& action : rank) {
      pairs = pairs || action.kind == Kind::overlapped;
      fused = fused || action.kind == Kind::backward;
    }
  }
  identity = {pairs ? 'p' : fused ? 'f' : 's'};
  for (const std::vector<int>& direction : schedule.placement) {
    for (std::size_t s = 0; s < direction.size(); ++s) {
      stages_of_rank[static_cast<std::size_t>(direction[s])].push_back(s);
      ranks_of_stage[s].push_back(static_cast<std::size_t>(direction[s]));
      identity += fmt::format(" {}", direction[s]);
    }
    identity += ';';
  }
  const std::size_t stages = ranks_of_stage.size();
  pair_up.assign(stages * stages, 0);
  if (!pairs) return;
  for (const std::vector<std::size_t>& own : stages_of_rank) {
    for (std::size_t i = 0; i < own.size(); ++i) pair_up[own[i] * stages + own[own.size() - 1 - i]] = 1;
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
