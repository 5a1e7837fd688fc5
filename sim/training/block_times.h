#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/training/blocks.h"
#include "sim/training/plan.h"

// What stages may hold, and how long every action on them takes: asked for often, computed once.
namespace hourglass::sim {

// A stage as far as its duration goes: which kinds of layer follow each other on it, with an end of the model before
// (embedding) or behind them (head and MTP modules). Stages that hold the same in the same order have one content,
// wherever they sit in the model. Contents are numbered, so that tables can be indexed; the last one is the whole model.
class ContentTable {
 public:
  using Id = std::int32_t;

  explicit ContentTable(const Inputs& inputs);
  // Of a stage with the layers [begin, end). The first stage begins with layer 0, the last one ends with the last layer.
  Id id(std::int64_t begin, std::int64_t end, bool first, bool last) const {
    if (first) return last ? static_cast<Id>(contents_.size() - 1) : openings_ + static_cast<Id>(end);
    if (last) return closings_ + static_cast<Id>(begin);
    return runs_[static_cast<std::size_t>(begin * row_ + end)];
  }
  std::size_t size() const { return contents_.size(); }
  bool is_first(Id id) const { return content(id).first; }
  bool is_last(Id id) const { return content(id).last; }
  // In forward order. The second writes them into memory that is used again.
  std::vector<Unit> units(Id id) const;
  void units(Id id, std::vector<Unit>& out) const;
  // The content of every stage where stage s has counts[s] layers.
  std::vector<Id> of(const std::vector<std::int64_t>& counts) const;
  const std::vector<int>& layers() const { return layers_; }

  // Contents with one unit: a layer, an end of the model.
  Id layer(int kind) const { return singles_[static_cast<std::size_t>(kind)]; }
  Id opening() const { return openings_; }
  Id closing() const { return closings_ + static_cast<Id>(layers_.size()); }

  const std::vector<std::int64_t>& counts() const { return counts_; }  // of layers, by kind
  // The kind of most layers, of equals the later one; layers of other kinds in front of all of its own and behind them,
  // and whether there are none between.
  struct Commonest {
    int kind = 0;
    std::int64_t before = 0, behind = 0;
    bool together = true;
  };
  const Commonest& commonest() const { return commonest_; }

 private:
  struct Content {
    std::int64_t begin = 0, end = 0;  // one run that has it
    bool first = false, last = false;
  };
  const Content& content(Id id) const { return contents_[static_cast<std::size_t>(id)]; }
  void number_runs();
  void find_commonest();

  std::vector<int> layers_;
  std::vector<Unit> closing_;
  std::vector<std::int64_t> counts_;
  Commonest commonest_;
  std::vector<Content> contents_;  // first those without an end of the model
  std::vector<Id> runs_;           // [begin][end]
  std::vector<Id> singles_;        // [kind]
  std::int64_t row_ = 0;           // of runs_
  Id openings_ = 0, closings_ = 0;
};

// Embedding's counterpart: what follows the last layer.
std::vector<Unit> closing_units(const Inputs& inputs);

// Durations of blocks by content. Not for two threads at once.
class BlockTimes {
 public:
  BlockTimes(const ContentTable& contents, const UnitPrices& prices);
  // `backward`: content of the full backward's stage in an overlapped pair, else ignored.
  base::Time of(schedules::Kind kind, ContentTable::Id forward, ContentTable::Id backward) {
    if (kind == schedules::Kind::overlapped) return pair(forward, backward);
    std::vector<base::Time>& known = single_[static_cast<std::size_t>(kind)];
    if (!known.empty() && known[static_cast<std::size_t>(forward)] >= 0)
      return known[static_cast<std::size_t>(forward)];
    return compute_single(kind, forward);
  }

 private:
  struct Pair {
    std::uint64_t key = ~std::uint64_t{0};
    base::Time time = 0;
  };
  base::Time compute_single(schedules::Kind kind, ContentTable::Id content);
  base::Time pair(ContentTable::Id forward, ContentTable::Id backward);
  std::size_t place(std::uint64_t key) const;
  void grow();

  const ContentTable* contents_;
  const UnitPrices* prices_;
  std::array<std::vector<base::Time>, 4> single_;  // [kind][content], -1: not yet known
  std::vector<Pair> pairs_;                        // open addressing, a power of two
  std::size_t pairs_known_ = 0;
  std::vector<Unit> forward_, backward_;  // at work
};

}  // namespace hourglass::sim
