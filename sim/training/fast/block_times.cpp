// A search asks for the same few durations millions of times: a stage of four MoE layers takes the same time in every
// split, schedule and number of ranks. So durations are kept by the number of a stage's content: single actions in a
// flat table, pairs (content of the forward, content of the backward) in a hash table with open addressing.
#include "sim/training/fast/block_times.h"

#include <algorithm>
#include <iterator>

namespace hourglass::sim {

std::vector<UnitKind> closing_units(const Inputs& inputs) {
  std::vector<UnitKind> units = {UnitKind::head};
  if (!inputs.plan.mtp) return units;
  for (std::int64_t i = 0; i < inputs.model.mtp_modules; ++i) {
    units.insert(units.end(), {UnitKind::embedding, UnitKind::mtp_projection, layer_unit(inputs.model.layers.back()),
                               UnitKind::head});
  }
  return units;
}

ContentTable::ContentTable(const Inputs& inputs) : layers_(inputs.model.layers), closing_(closing_units(inputs)) {
  for (const model::LayerKind kind : layers_) {
    dense_before_.push_back(dense_);
    ++(kind == model::LayerKind::moe ? moe_ : dense_);
  }
  dense_before_.push_back(dense_);
}

bool ContentTable::ordered() const { return std::is_sorted(layers_.begin(), layers_.end()); }

std::vector<UnitKind> ContentTable::units(Id id) const {
  std::vector<UnitKind> all;
  units(id, all);
  return all;
}

void ContentTable::units(Id id, std::vector<UnitKind>& all) const {
  all.clear();
  if ((id & 2) != 0) all.push_back(UnitKind::embedding);
  const std::int64_t layers = id / 4;
  std::fill_n(std::back_inserter(all), layers / (moe_ + 1), UnitKind::dense_layer);
  std::fill_n(std::back_inserter(all), layers % (moe_ + 1), UnitKind::moe_layer);
  if ((id & 1) != 0) std::copy(closing_.begin(), closing_.end(), std::back_inserter(all));
}

std::vector<ContentTable::Id> ContentTable::of(const std::vector<std::int64_t>& counts) const {
  std::vector<Id> ids;
  std::int64_t start = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    const std::int64_t end = start + counts[s], dense = dense_before(end) - dense_before(start);
    ids.push_back(id(dense, counts[s] - dense, s == 0, s + 1 == counts.size()));
    start = end;
  }
  return ids;
}

BlockTimes::BlockTimes(const ContentTable& contents, const UnitPrices& prices)
    : contents_(&contents), prices_(&prices), pairs_(64) {}

base::Time BlockTimes::compute_single(schedules::Kind kind, ContentTable::Id content) {
  std::vector<base::Time>& known = single_[static_cast<std::size_t>(kind)];
  if (known.empty()) known.assign(contents_->size(), -1);
  contents_->units(content, forward_);
  return known[static_cast<std::size_t>(content)] = block_duration(kind, forward_, {}, *prices_);
}

std::size_t BlockTimes::place(std::uint64_t key) const {
  const std::size_t mask = pairs_.size() - 1;
  std::size_t at = static_cast<std::size_t>(key * 0x9e3779b97f4a7c15u >> 32) & mask;
  while (pairs_[at].key != key && pairs_[at].key != Pair{}.key) at = (at + 1) & mask;
  return at;
}

void BlockTimes::grow() {
  std::vector<Pair> old(pairs_.size() * 2);
  old.swap(pairs_);
  for (const Pair& each : old) {
    if (each.key != Pair{}.key) pairs_[place(each.key)] = each;
  }
}

base::Time BlockTimes::pair(ContentTable::Id forward, ContentTable::Id backward) {
  const std::uint64_t key =
      static_cast<std::uint64_t>(forward) * contents_->size() + static_cast<std::uint64_t>(backward);
  std::size_t at = place(key);
  if (pairs_[at].key == key) return pairs_[at].time;
  if (++pairs_known_ * 2 > pairs_.size()) {
    grow();
    at = place(key);
  }
  contents_->units(forward, forward_);
  contents_->units(backward, backward_);
  pairs_[at] = {key, block_duration(schedules::Kind::overlapped, forward_, backward_, *prices_)};
  return pairs_[at].time;
}

}  // namespace hourglass::sim
