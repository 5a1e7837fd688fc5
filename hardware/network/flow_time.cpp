// When flows end.
//
// Each link keeps a clock: bytes one of its members has sent so far. A member that joins at clock c with r bytes to go
// ends at clock c + r whatever the level does in between, so a change of level touches no flow; a flow is touched only
// when its bottleneck changes. A link's next end is now + (least finish - clock) / level. The least of all links is
// found through the least of each block of 64, computed anew only for blocks in which one changed.
#include <algorithm>
#include <functional>
#include <limits>

#include "hardware/network/flow_system.h"

namespace hourglass::hardware {

namespace {

constexpr double same_time = 1e-11;  // ends that count as one, relative

}  // namespace

void FlowSystem::synchronize(std::int32_t l) {
  Link& link = links_[at(l)];
  link.clock += traffic_[at(l)].level * (now_ - link.updated);
  link.updated = now_;
}

void FlowSystem::schedule(std::int32_t l) {
  Link& link = links_[at(l)];
  link.changed = false;
  stale_[at(l) / block] = true;
  ends_[at(l)] = never;
  std::vector<Due>& due = due_[at(l)];
  if (link.weight <= 0.0) {
    due.clear();
    link.clock = 0.0;
    link.updated = now_;
    return;
  }
  const auto outdated = [&](const Due& entry) {
    return bottleneck_[at(entry.flow)] != l || flows_[at(entry.flow)].finish != entry.finish;
  };
  while (!due.empty() && outdated(due.front())) {
    std::pop_heap(due.begin(), due.end(), std::greater<>());
    due.pop_back();
  }
  const double level = traffic_[at(l)].level;
  if (due.empty() || level <= 0.0) return;
  const double reached = link.clock + level * (now_ - link.updated);
  ends_[at(l)] = now_ + std::max(0.0, due.front().finish - reached) / level;
}

double FlowSystem::next() {
  settle();
  if (!instant_.empty()) return now_;
  double least = never;
  for (std::size_t b = 0; b < first_end_.size(); ++b) {
    if (stale_[b]) {
      stale_[b] = false;
      const std::size_t begin = b * block, end = std::min(begin + block, ends_.size());
      first_end_[b] = *std::min_element(ends_.begin() + static_cast<std::ptrdiff_t>(begin),
                                        ends_.begin() + static_cast<std::ptrdiff_t>(end));
    }
    least = std::min(least, first_end_[b]);
  }
  return least;
}

// Nothing is under way any more.
void FlowSystem::clear() {
  for (std::size_t l = 0; l < links_.size(); ++l) {
    forget(l);
    links_[l].changed = false;
    ends_[l] = never;
  }
  std::fill(first_end_.begin(), first_end_.end(), never);
  marked_.clear();
  changed_.clear();
}

// Members of l that end now.
void FlowSystem::collect(std::int32_t l, Ids& finished) {
  synchronize(l);
  const double reached = links_[at(l)].clock + traffic_[at(l)].level * now_ * same_time;
  std::vector<Due>& due = due_[at(l)];
  bool any = false;
  while (!due.empty() && (due.front().finish <= reached || !any)) {
    const Due entry = due.front();
    std::pop_heap(due.begin(), due.end(), std::greater<>());
    due.pop_back();
    Flow& flow = flows_[at(entry.flow)];
    if (flow.done || bottleneck_[at(entry.flow)] != l || flow.finish != entry.finish) continue;
    any = flow.done = true;
    finished.push_back(entry.flow);
  }
}

void FlowSystem::advance(double time, std::vector<std::int32_t>& finished) {
  next();
  now_ = time;
  const std::size_t begin = finished.size();
  finished.insert(finished.end(), instant_.begin(), instant_.end());
  for (const std::int32_t id : instant_) flows_[at(id)].done = true;
  instant_.clear();
  const std::size_t first = finished.size();
  const double until = time * (1.0 + same_time);
  for (std::size_t b = 0; b < first_end_.size(); ++b) {
    if (first_end_[b] > until) continue;
    for (std::size_t l = b * block; l < std::min((b + 1) * block, links_.size()); ++l) {
      if (ends_[l] <= until) collect(static_cast<std::int32_t>(l), finished);
    }
  }
  active_ -= static_cast<std::int64_t>(finished.size() - begin);
  if (active_ == 0) {
    for (std::size_t i = first; i < finished.size(); ++i) bottleneck_[at(finished[i])] = -1;
    clear();
  } else {
    for (std::size_t i = first; i < finished.size(); ++i) leave(finished[i]);
  }
}

double FlowSystem::rate(std::int32_t id) {
  settle();
  const Flow& flow = flows_[at(id)];
  if (flow.size == 0 && !flow.done) return never;
  return flow.done ? 0.0 : traffic_[at(bottleneck_[at(id)])].level;
}

double FlowSystem::remaining(std::int32_t id) {
  settle();
  const Flow& flow = flows_[at(id)];
  const std::int32_t l = bottleneck_[at(id)];
  if (flow.done) return 0.0;
  if (l < 0) return flow.finish;
  const Link& link = links_[at(l)];
  return std::max(0.0, flow.finish - (link.clock + traffic_[at(l)].level * (now_ - link.updated)));
}

std::int32_t FlowSystem::bottleneck(std::int32_t id) {
  settle();
  return bottleneck_[at(id)];
}

}  // namespace hourglass::hardware
