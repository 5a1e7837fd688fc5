// Rates of a FlowSystem from nothing, by progressive filling (fair_share.cpp): at the start, when many flows join at
// once, and when keeping rates up to date takes too many steps (flow_system.cpp).
//
// The link with the least share for the flows that still wait limits them: they stop there, and all their links have
// less left for fewer. A share only ever rises (what a link loses is at most the share of one that waits), so a heap
// whose entries are looked at again when they come up is enough.
#include <algorithm>
#include <functional>

#include "hardware/network/flow_system.h"

namespace hourglass::hardware {

namespace {

constexpr double same_share = 1e-12;

}  // namespace

// All flows under way, with the bytes they have left; the links forget them.
void FlowSystem::gather(Ids& ids) {
  marked_.clear();
  for (std::size_t l = 0; l < links_.size(); ++l) {
    synchronize(static_cast<std::int32_t>(l));
    for (const Member& member : members_[l]) {
      Flow& flow = flows_[at(member.flow)];
      flow.finish = std::max(0.0, flow.finish - links_[l].clock);
      bottleneck_[at(member.flow)] = -1;
      ids.push_back(member.flow);
    }
    forget(l);
  }
}

void FlowSystem::forget(std::size_t l) {
  members_[l].clear();
  passing_[l].clear();
  due_[l].clear();
  traffic_[l] = {};
  links_[l].weight = links_[l].clock = 0.0;
  links_[l].updated = now_;
  unmark(static_cast<std::int32_t>(l));
}

// The flows that wait on l become its members.
void FlowSystem::limit(std::int32_t l, double share, std::vector<double>& rest, std::vector<double>& waiting) {
  traffic_[at(l)].level = share;
  members_[at(l)].reserve(passing_[at(l)].size());
  due_[at(l)].reserve(passing_[at(l)].size());
  for (const std::int32_t id : passing_[at(l)]) {
    if (bottleneck_[at(id)] >= 0) continue;
    bottleneck_[at(id)] = l;
    const Flow& flow = flows_[at(id)];
    members_[at(l)].push_back(member(id, l));
    due_[at(l)].push_back({flow.finish, id});
    links_[at(l)].weight += crossings(flow, l);
    for (const std::int32_t c : path(flow)) {
      rest[at(c)] -= share * flow.count;
      waiting[at(c)] -= flow.count;
    }
  }
  std::make_heap(due_[at(l)].begin(), due_[at(l)].end(), std::greater<>());
}

// All flows into the lists of what passes their links. Returns how many wait on each.
std::vector<double> FlowSystem::line_up(const Ids& ids) {
  std::vector<double> waiting(links_.size(), 0.0);
  for (const std::int32_t id : ids) {
    for (const std::int32_t c : path(flows_[at(id)])) waiting[at(c)] += flows_[at(id)].count;
  }
  for (std::size_t l = 0; plain_ && l < links_.size(); ++l) passing_[l].reserve(static_cast<std::size_t>(waiting[l]));
  for (const std::int32_t id : ids) {
    for (const std::int32_t c : path(flows_[at(id)])) {
      if (plain_ || passing_[at(c)].empty() || passing_[at(c)].back() != id) passing_[at(c)].push_back(id);
    }
  }
  return waiting;
}

void FlowSystem::refill() {
  Ids ids;
  gather(ids);
  ids.insert(ids.end(), fresh_.begin(), fresh_.end());
  std::vector<double> rest(links_.size()), waiting = line_up(ids);
  std::vector<std::pair<double, std::int32_t>> heap;  // share, link
  for (std::size_t l = 0; l < links_.size(); ++l) {
    rest[l] = links_[l].capacity;
    if (waiting[l] > 0.0) heap.emplace_back(rest[l] / waiting[l], static_cast<std::int32_t>(l));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto [least, l] = heap.back();
    heap.pop_back();
    if (waiting[at(l)] <= 0.0) continue;
    const double share = std::max(0.0, rest[at(l)]) / waiting[at(l)];
    if (share > least * (1.0 + same_share)) {
      heap.emplace_back(share, l);
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    } else {
      limit(l, share, rest, waiting);
    }
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const auto l = static_cast<std::int32_t>(i);
    std::erase_if(passing_[i], [&](std::int32_t id) { return bottleneck_[at(id)] == l; });
    fastest_passing(l);
    unmark(l);
    change(l);
  }
  refilled_ += static_cast<double>(ids.size());
}

}  // namespace hourglass::hardware
