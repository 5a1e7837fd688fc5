// Max-min fair rates kept up to date while flows come and go.
//
// In a max-min fair state every flow f has a bottleneck b(f): a link that is full and on which no flow is faster
// (fair_share.cpp). All flows with the same bottleneck l, its members, have the same rate, so a rate belongs to a link:
// level(l), and rate(f) = level(b(f)).
//
// When flows leave (or join), only links on their paths change at first. The re-rating
//   1. opens those links: their members, and the joining flows, are to be filled anew; all others are frozen and their load
//      is taken off the capacities;
//   2. fills the open flows progressively: the link with the smallest rest/waiting limits the flows waiting on it; repeat;
//   3. looks where the union of frozen and new rates breaks the bottleneck condition:
//        - a link that limits open flows at s carries a frozen flow faster than s: open that flow's bottleneck;
//        - a closed link with members is no longer full, or carries an open flow faster than its level: open it;
//      and repeats from 2 with the larger set until nothing breaks.
// Then every flow meets the condition, and the condition has exactly one solution: the same rates as filling everything.
// The set only grows, so it ends. In an all-to-all of 64 with sizes that differ it stays at a few per cent of the flows.
//
// Time. Each link keeps a clock: bytes one of its members has sent so far. A member that joins at clock c with r bytes to go
// ends at clock c + r whatever the level does in between, so a change of level touches no flow; a flow is touched
// only when its bottleneck changes. A link's next end is now + (least finish - clock) / level; the links' next ends form a queue
// in which outdated entries are known by their version.
//
// Rounding. Rates are compared within 1e-9 of themselves. A flow that joins closed members within that takes exactly their
// level, and loads count exactly what the levels say, so errors do not add up.
#include "hardware/flow_system.h"

#include <algorithm>
#include <limits>

namespace hourglass::hardware {

namespace {

constexpr double slack = 1e-9;          // of rates, relative
constexpr double same_time = 1e-11;     // ends that count as one, relative
constexpr double never = std::numeric_limits<double>::infinity();
constexpr auto at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

FlowSystem::FlowSystem(const std::vector<double>& capacity) : links_(capacity.size()) {
  for (std::size_t l = 0; l < capacity.size(); ++l) links_[l].capacity = capacity[l];
}

std::int32_t FlowSystem::add(std::span<const std::int32_t> path, double bytes, double count) {
  const auto id = static_cast<std::int32_t>(flows_.size());
  FlowState flow;
  flow.count = count;
  flow.finish = bytes;
  flow.first = static_cast<std::int32_t>(path_.size());
  flow.size = static_cast<std::int32_t>(path.size());
  path_.insert(path_.end(), path.begin(), path.end());
  for (const std::int32_t l : path) links_[at(l)].flows.push_back(id);
  flows_.push_back(flow);
  (path.empty() ? instant_ : fresh_).push_back(id);
  ++active_;
  return id;
}

void FlowSystem::synchronize(LinkState& link) const {
  link.clock += link.level * (now_ - link.updated);
  link.updated = now_;
}

void FlowSystem::open_flow(std::int32_t id) {
  FlowState& flow = flows_[at(id)];
  flow.open = true;
  open_flows_.push_back(id);
  const double load = rate_of(flow) * flow.count;
  for (const std::int32_t l : path(flow)) {
    LinkState& link = links_[at(l)];
    if (!link.touched) {
      link.touched = true;
      link.frozen = link.load;
      link.crossing = 0.0;
      touched_.push_back(l);
    }
    link.frozen -= load;
    link.crossing += flow.count;
  }
}

void FlowSystem::open_link(std::int32_t l) {
  LinkState& link = links_[at(l)];
  if (link.open) return;
  link.open = true;
  open_links_.push_back(l);
  if (link.members == 0) return;
  for (const std::int32_t id : link.flows) {
    const FlowState& flow = flows_[at(id)];
    if (flow.bottleneck == l && !flow.open) open_flow(id);
  }
}

// Progressive filling of the open flows over what the frozen ones leave.
void FlowSystem::fill() {
  heap_.clear();
  limits_.clear();
  for (const std::int32_t l : touched_) {
    LinkState& link = links_[at(l)];
    link.rest = std::max(0.0, link.capacity - link.frozen);
    link.waiting = link.crossing;
    link.share = -1.0;
    link.top = 0.0;
    heap_.emplace_back(link.rest / link.waiting, l);
  }
  for (const std::int32_t id : open_flows_) flows_[at(id)].new_bottleneck = -1;
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  // A link's share only grows while others fill up, so an outdated entry is too small and is put back.
  std::size_t filled = 0;
  while (filled < open_flows_.size()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto [key, l] = heap_.back();
    LinkState& link = links_[at(l)];
    if (link.waiting <= 0.0) {
      heap_.pop_back();
      continue;
    }
    const double share = std::max(0.0, link.rest / link.waiting);
    if (share > key) {
      heap_.back().first = share;
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      continue;
    }
    heap_.pop_back();
    link.share = share;
    limits_.push_back(l);
    for (const std::int32_t id : link.flows) {
      FlowState& flow = flows_[at(id)];
      if (!flow.open || flow.new_bottleneck >= 0) continue;
      flow.new_bottleneck = l;
      flow.new_rate = share;
      ++filled;
      for (const std::int32_t k : path(flow)) {
        LinkState& other = links_[at(k)];
        other.rest -= share * flow.count;
        other.waiting -= flow.count;
        other.top = share;  // shares come in rising order
      }
    }
    link.rest = 0.0;
  }
}

// Opens what breaks the bottleneck condition; false when nothing does.
bool FlowSystem::widen() {
  const std::size_t before = open_links_.size();
  const std::size_t touched = touched_.size();
  const bool frozen_flows = static_cast<std::int64_t>(open_flows_.size()) < active_ - static_cast<std::int64_t>(instant_.size());
  if (!frozen_flows) return false;
  for (std::size_t i = 0; i < touched; ++i) {
    const std::int32_t l = touched_[i];
    LinkState& link = links_[at(l)];
    if (!link.open && link.members > 0) {
      const bool full = link.rest <= slack * link.capacity;
      if (!full || link.top > link.level * (1.0 + slack) || (link.share >= 0.0 && link.share < link.level * (1.0 - slack)))
        open_link(l);
    }
    if (link.share < 0.0) continue;
    const double most = link.share * (1.0 + slack);
    for (const std::int32_t id : link.flows) {
      const FlowState& flow = flows_[at(id)];
      if (!flow.open && rate_of(flow) > most) open_link(flow.bottleneck);
    }
  }
  return open_links_.size() > before;
}

// Flows whose bottleneck changed move from one link's clock to another's.
void FlowSystem::move_flows() {
  for (const std::int32_t id : open_flows_) {
    FlowState& flow = flows_[at(id)];
    if (flow.bottleneck == flow.new_bottleneck || flow.bottleneck < 0) continue;
    LinkState& old = links_[at(flow.bottleneck)];
    flow.finish = std::max(0.0, flow.finish - old.clock);  // bytes to go
    --old.members;
  }
  for (const std::int32_t l : limits_) {
    LinkState& link = links_[at(l)];
    if (link.members == 0) {
      link.clock = 0.0;
      link.updated = now_;
      link.due.clear();
      link.level = link.share;
    } else if (link.open) {
      link.level = link.share;
    } else {
      synchronize(link);  // joins closed members: their level stays
    }
  }
  for (const std::int32_t id : open_flows_) {
    FlowState& flow = flows_[at(id)];
    LinkState& link = links_[at(flow.new_bottleneck)];
    if (link.level != flow.new_rate) {
      for (const std::int32_t k : path(flow)) links_[at(k)].rest -= (link.level - flow.new_rate) * flow.count;
    }
    if (flow.bottleneck == flow.new_bottleneck) continue;
    flow.bottleneck = flow.new_bottleneck;
    flow.finish += link.clock;
    ++link.members;
    link.due.push_back({flow.finish, id});
    std::push_heap(link.due.begin(), link.due.end(), std::greater<>());
  }
}

void FlowSystem::commit() {
  for (const std::int32_t l : open_links_) synchronize(links_[at(l)]);
  move_flows();
  for (const std::int32_t l : touched_) {
    LinkState& link = links_[at(l)];
    link.load = link.capacity - link.rest;
    if (link.capacity < link.frozen) link.load += link.frozen - link.capacity;
    link.touched = false;
  }
  for (const std::int32_t id : open_flows_) flows_[at(id)].open = false;
  for (const std::int32_t l : limits_) schedule(l);
  for (const std::int32_t l : open_links_) {
    LinkState& link = links_[at(l)];
    link.open = false;
    if (link.members == 0) ++link.version;  // what it had scheduled is void
  }
}

void FlowSystem::schedule(std::int32_t l) {
  LinkState& link = links_[at(l)];
  ++link.version;
  const auto outdated = [&](const Due& due) {
    const FlowState& flow = flows_[at(due.flow)];
    return flow.done || flow.bottleneck != l || flow.finish != due.finish;
  };
  while (!link.due.empty() && outdated(link.due.front())) {
    std::pop_heap(link.due.begin(), link.due.end(), std::greater<>());
    link.due.pop_back();
  }
  if (link.due.empty() || link.level <= 0.0) return;
  const double wait = std::max(0.0, link.due.front().finish - link.clock) / link.level;
  events_.push({now_ + wait, l, link.version});
}

void FlowSystem::settle() {
  if (dirty_.empty() && fresh_.empty()) return;
  for (const std::int32_t l : dirty_) {
    links_[at(l)].dirty = false;
    if (links_[at(l)].members > 0) open_link(l);
  }
  for (const std::int32_t id : fresh_) {
    if (!flows_[at(id)].done) open_flow(id);
  }
  dirty_.clear();
  fresh_.clear();
  if (!open_flows_.empty()) {
    do fill();
    while (widen());
    ++solves_;
    refilled_ += static_cast<double>(open_flows_.size());
    commit();
  }
  open_links_.clear();
  open_flows_.clear();
  touched_.clear();
}

double FlowSystem::next() {
  settle();
  if (!instant_.empty()) return now_;
  while (!events_.empty() && events_.top().version != links_[at(events_.top().link)].version) events_.pop();
  return events_.empty() ? never : events_.top().time;
}

void FlowSystem::finish(std::int32_t id) {
  FlowState& flow = flows_[at(id)];
  const double load = rate_of(flow) * flow.count;
  for (const std::int32_t l : path(flow)) {
    LinkState& link = links_[at(l)];
    const auto here = std::find(link.flows.begin(), link.flows.end(), id);
    *here = link.flows.back();
    link.flows.pop_back();
    link.load = link.flows.empty() ? 0.0 : link.load - load;
    if (!link.dirty) {
      link.dirty = true;
      dirty_.push_back(l);
    }
  }
  --links_[at(flow.bottleneck)].members;
  flow.bottleneck = -1;
}

void FlowSystem::advance(double time, std::vector<std::int32_t>& finished) {
  settle();
  now_ = time;
  const std::size_t begin = finished.size();
  finished.insert(finished.end(), instant_.begin(), instant_.end());
  for (const std::int32_t id : instant_) flows_[at(id)].done = true;
  active_ -= static_cast<std::int64_t>(instant_.size());
  instant_.clear();
  const std::size_t first = finished.size();
  while (!events_.empty() && events_.top().time <= time * (1.0 + same_time)) {
    const Event event = events_.top();
    events_.pop();
    LinkState& link = links_[at(event.link)];
    if (event.version != link.version) continue;
    synchronize(link);
    const double reached = link.clock + link.level * time * same_time;
    while (!link.due.empty() && link.due.front().finish <= reached) {
      const Due due = link.due.front();
      std::pop_heap(link.due.begin(), link.due.end(), std::greater<>());
      link.due.pop_back();
      FlowState& flow = flows_[at(due.flow)];
      if (flow.done || flow.bottleneck != event.link || flow.finish != due.finish) continue;
      flow.done = true;
      finished.push_back(due.flow);
    }
    schedule(event.link);
  }
  active_ -= static_cast<std::int64_t>(finished.size() - first);
  if (active_ == 0) {  // nothing is left to re-rate
    for (LinkState& link : links_) {
      link.flows.clear();
      link.due.clear();
      link.members = 0;
      link.load = 0.0;
      ++link.version;
    }
    for (std::size_t i = first; i < finished.size(); ++i) flows_[at(finished[i])].bottleneck = -1;
  } else {
    for (std::size_t i = first; i < finished.size(); ++i) finish(finished[i]);
  }
  std::sort(finished.begin() + static_cast<std::ptrdiff_t>(begin), finished.end());
}

double FlowSystem::rate(std::int32_t id) {
  settle();
  const FlowState& flow = flows_[at(id)];
  if (flow.size == 0 && !flow.done) return never;
  return flow.done ? 0.0 : rate_of(flow);
}

double FlowSystem::remaining(std::int32_t id) {
  settle();
  const FlowState& flow = flows_[at(id)];
  if (flow.done) return 0.0;
  if (flow.bottleneck < 0) return flow.finish;
  const LinkState& link = links_[at(flow.bottleneck)];
  return std::max(0.0, flow.finish - (link.clock + link.level * (now_ - link.updated)));
}

std::int32_t FlowSystem::bottleneck(std::int32_t id) {
  settle();
  return flows_[at(id)].bottleneck;
}

}  // namespace hourglass::hardware
