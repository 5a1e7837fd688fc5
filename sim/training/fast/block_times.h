#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/training/blocks.h"
#include "sim/training/plan.h"

// What stages may hold, and how long every action on them takes: asked for often, computed once.
namespace hourglass::sim {

// A stage as far as its duration goes: `dense` dense layers, then `moe` MoE layers, with an end of the model before
// (embedding) or behind them (head and MTP modules). Contents are numbered, so that tables can be indexed.
class ContentTable {
 public:
  using Id = std::int32_t;

  explicit ContentTable(const Inputs& inputs);
  Id id(std::int64_t dense, std::int64_t moe, bool first, bool last) const {
    return static_cast<Id>((dense * (moe_ + 1) + moe) * 4 + (first ? 2 : 0) + (last ? 1 : 0));
  }
  std::size_t size() const { return static_cast<std::size_t>((dense_ + 1) * (moe_ + 1) * 4); }
  // In forward order. The second writes them into memory that is used again.
  std::vector<UnitKind> units(Id id) const;
  void units(Id id, std::vector<UnitKind>& out) const;
  // The content of every stage where stage s has counts[s] layers.
  std::vector<Id> of(const std::vector<std::int64_t>& counts) const;
  const std::vector<model::LayerKind>& layers() const { return layers_; }
  // Dense layers before layer i.
  std::int64_t dense_before(std::int64_t i) const { return dense_before_[static_cast<std::size_t>(i)]; }
  // Whether no dense layer follows an MoE layer: then a content says in which order its layers run.
  bool ordered() const;

 private:
  std::vector<model::LayerKind> layers_;
  std::vector<std::int64_t> dense_before_;
  std::vector<UnitKind> closing_;
  std::int64_t dense_ = 0, moe_ = 0;
};

// Embedding's counterpart: what follows the last layer.
std::vector<UnitKind> closing_units(const Inputs& inputs);

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
  std::vector<UnitKind> forward_, backward_;  // at work
};

}  // namespace hourglass::sim
