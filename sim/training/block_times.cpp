// A search asks for the same few durations millions of times: a stage of four MoE layers takes the same time in every
// split, schedule and number of ranks. So durations are kept by the number of a stage's content: single actions in a
// flat table, pairs (content of the forward, content of the backward) in a hash table with open addressing.
//
// Contents are numbered by walking from every layer to the end through a tree of what follows what: a run of layers that
// another one repeats ends at the same node, which is its number. Where d dense layers come before m others these are
// the (d + 1) (m + 1) - 1 pairs of counts and nothing; where k kinds of layer take turns, k for every length. Layers in no
// order at all have one for each of the n (n + 1) / 2 runs, some 8,000 for 126 layers: never more, however many kinds.
#include "sim/training/block_times.h"

#include <algorithm>
#include <iterator>

namespace hourglass::sim {

std::vector<Unit> closing_units(const Inputs& inputs) {
  std::vector<Unit> units = {{Unit::head}};
  if (!inputs.plan.mtp) return units;
  for (std::int64_t i = 0; i < inputs.model.mtp_modules; ++i) {
    units.insert(units.end(),
                 {{Unit::embedding}, {Unit::mtp_projection}, layer_unit(inputs.model.layers.back()), {Unit::head}});
  }
  return units;
}

ContentTable::ContentTable(const Inputs& inputs)
    : layers_(inputs.model.layers),
      closing_(closing_units(inputs)),
      counts_(model::layers_of_kinds(inputs.model)),
      row_(static_cast<std::int64_t>(layers_.size()) + 1) {
  number_runs();
  find_commonest();
  const auto layers = static_cast<std::int64_t>(layers_.size());
  openings_ = static_cast<Id>(contents_.size());
  for (std::int64_t end = 0; end <= layers; ++end) contents_.push_back({0, end, true, false});
  closings_ = static_cast<Id>(contents_.size());
  for (std::int64_t begin = 0; begin <= layers; ++begin) contents_.push_back({begin, layers, false, true});
  contents_.push_back({0, layers, true, true});
}

void ContentTable::number_runs() {
  const std::size_t layers = layers_.size(), kinds = counts_.size();
  std::vector<Id> next(kinds, 0);  // [content][kind of one layer more], 0: none yet
  contents_.push_back({});
  runs_.assign((layers + 1) * (layers + 1), 0);
  for (std::size_t begin = 0; begin < layers; ++begin) {
    std::size_t at = 0;
    for (std::size_t end = begin + 1; end <= layers; ++end) {
      const std::size_t edge = at * kinds + static_cast<std::size_t>(layers_[end - 1]);
      if (next[edge] == 0) {
        next[edge] = static_cast<Id>(contents_.size());
        contents_.push_back({static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end)});
        next.resize(next.size() + kinds, 0);
      }
      runs_[begin * (layers + 1) + end] = next[edge];
      at = static_cast<std::size_t>(next[edge]);
    }
  }
  singles_.assign(next.begin(), next.begin() + static_cast<std::ptrdiff_t>(kinds));
}

void ContentTable::find_commonest() {
  for (std::size_t kind = 0; kind < counts_.size(); ++kind) {
    if (counts_[kind] >= counts_[static_cast<std::size_t>(commonest_.kind)]) commonest_.kind = static_cast<int>(kind);
  }
  const auto first = std::find(layers_.begin(), layers_.end(), commonest_.kind);
  const auto last = std::find(layers_.rbegin(), layers_.rend(), commonest_.kind);
  commonest_.before = first - layers_.begin();
  commonest_.behind = last - layers_.rbegin();
  commonest_.together = std::count(first, last.base(), commonest_.kind) == last.base() - first;
}

std::vector<Unit> ContentTable::units(Id id) const {
  std::vector<Unit> all;
  units(id, all);
  return all;
}

void ContentTable::units(Id id, std::vector<Unit>& all) const {
  const Content& held = content(id);
  all.clear();
  if (held.first) all.push_back({Unit::embedding});
  for (std::int64_t i = held.begin; i < held.end; ++i) all.push_back(layer_unit(layers_[static_cast<std::size_t>(i)]));
  if (held.last) std::copy(closing_.begin(), closing_.end(), std::back_inserter(all));
}

std::vector<ContentTable::Id> ContentTable::of(const std::vector<std::int64_t>& counts) const {
  std::vector<Id> ids;
  std::int64_t start = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    ids.push_back(id(start, start + counts[s], s == 0, s + 1 == counts.size()));
    start += counts[s];
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
