// Max-min fair rates kept up to date while flows come and go.
//
// In a max-min fair state every flow f has a bottleneck b(f): a link that is full and on which no flow is faster
// (fair_share.cpp). All flows with the same bottleneck l, its members, have the same rate, so a rate belongs to a link:
// level(l), and rate(f) = level(b(f)).
//
// When flows leave or join, filling is taken up again in the middle. All flows are frozen at their rates; a level rises
// from the lowest rate that may change, and flows thaw only where the bottleneck condition breaks at that level:
//   joining: a flow that joins is thawed from the start (waits for its rate);
//   check:   when the level reaches level(l) of a link whose traffic changed, and l has room for its members to go
//   faster, they
//            thaw there;
//   limit:   when the level reaches the rate at which l would fill up with its waiting flows, but frozen ones on l are
//   faster,
//            those thaw first (they must share); when none is, the waiting flows stop, limited by l.
// A thawed flow gives its old rate back to all its links and waits on them. Since it was no slower than the level, no
// link's fill rate falls below the level: the level only rises, and each flow is treated at most once. A link whose
// members are slower than the level cannot be touched any more: what thaws is faster than the level, and on that link
// nothing is faster than its members. At the end every flow meets the condition, and the condition has exactly one
// solution: the same rates as filling from nothing. What thaws is what really changes (and some ties).
//
// Time. Each link keeps a clock: bytes one of its members has sent so far. A member that joins at clock c with r bytes
// to go ends at clock c + r whatever the level does in between, so a change of level touches no flow; a flow is touched
// only when its bottleneck changes. A link's next end is now + (least finish - clock) / level; the links' next ends
// form a queue in which outdated entries are known by their version.
//
// Rounding. Rates are compared within 1e-9 of themselves. A flow that joins closed members within that takes exactly
// their level, and loads count exactly what the levels say, so errors do not add up.
#include "hardware/flow_system.h"

#include <algorithm>
#include <limits>

namespace hourglass::hardware {

namespace {

constexpr double same_time = 1e-11;  // ends that count as one, relative
constexpr double never = std::numeric_limits<double>::infinity();
constexpr auto at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

FlowSystem::FlowSystem(const std::vector<double>& capacity, double precision)
    : links_(capacity.size()), precision_(precision) {
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

void FlowSystem::touch(std::int32_t l) {
  LinkState& link = links_[at(l)];
  if (link.touched) return;
  link.touched = true;
  link.thawed = 0;
  link.rest = link.capacity - link.load;
  link.waiting = 0.0;
  link.key = never;
  link.share = -1.0;
  touched_.push_back(l);
  if (link.members == 0) return;
  heap_.push_back({link.level, l, false});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

// From here the flow waits; push_changed() must follow.
void FlowSystem::thaw(std::int32_t id) {
  FlowState& flow = flows_[at(id)];
  flow.thawed = true;
  flow.new_bottleneck = -1;
  thawed_.push_back(id);
  const double given_back = rate_of(flow) * flow.count;
  for (const std::int32_t l : path(flow)) {
    touch(l);
    LinkState& link = links_[at(l)];
    link.rest += given_back;
    link.waiting += flow.count;
    if (link.changed) continue;
    link.changed = true;
    changed_.push_back(l);
  }
  if (flow.bottleneck >= 0) ++links_[at(flow.bottleneck)].thawed;
}

// Puts links where they now stand as limits. An entry that is too low is corrected when it comes up; one too high never
// is.
void FlowSystem::push_changed() {
  for (const std::int32_t l : changed_) {
    LinkState& link = links_[at(l)];
    link.changed = false;
    const double share = std::max(0.0, link.rest / link.waiting);
    if (share >= link.key) continue;
    link.key = share;
    heap_.push_back({share, l, true});
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  changed_.clear();
}

// The level has reached that of the members of l: could they go faster?
void FlowSystem::check(std::int32_t l) {
  const LinkState& link = links_[at(l)];
  if (link.members == link.thawed) return;
  // The link full with its members at their level: rest = waiting x level. More than that is room.
  if (link.rest - link.waiting * link.level <= precision_ * link.level) return;
  for (const std::int32_t id : link.flows) {
    if (flows_[at(id)].bottleneck == l && !flows_[at(id)].thawed) thaw(id);
  }
  push_changed();
}

// The level has reached the rate at which l fills up.
void FlowSystem::limit(std::int32_t l) {
  LinkState& link = links_[at(l)];
  const double share = std::max(0.0, link.rest / link.waiting);
  const double most = share * (1.0 + precision_);
  for (const std::int32_t id : link.flows) {
    if (!flows_[at(id)].thawed && rate_of(flows_[at(id)]) > most) thaw(id);
  }
  if (!changed_.empty()) return push_changed();
  link.share = share;
  limits_.push_back(l);
  for (const std::int32_t id : link.flows) {
    FlowState& flow = flows_[at(id)];
    if (!flow.thawed || flow.new_bottleneck >= 0) continue;
    flow.new_bottleneck = l;
    flow.new_rate = share;
    for (const std::int32_t k : path(flow)) {
      LinkState& other = links_[at(k)];
      other.rest -= share * flow.count;
      other.waiting -= flow.count;
    }
  }
}

void FlowSystem::fill() {
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Step step = heap_.back();
    heap_.pop_back();
    LinkState& link = links_[at(step.link)];
    if (!step.limits) {
      check(step.link);
      continue;
    }
    if (step.rate != link.key) continue;  // there is a lower entry, or was
    link.key = never;
    if (link.waiting <= 0.0) continue;
    if (link.rest / link.waiting > step.rate) {  // others stopped below their share of it
      link.changed = true;
      changed_.push_back(step.link);
      push_changed();
      continue;
    }
    limit(step.link);
    if (link.waiting > 0.0 && link.key == never) {
      link.changed = true;
      changed_.push_back(step.link);
      push_changed();
    }
  }
}

// Flows whose bottleneck changed move from one link's clock to another's.
void FlowSystem::move_flows() {
  for (const std::int32_t id : thawed_) {
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
    }
    if (!link.kept) link.level = link.share;  // else new members take the level of those that stay
  }
  for (const std::int32_t id : thawed_) {
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
  for (const std::int32_t l : touched_) {
    LinkState& link = links_[at(l)];
    synchronize(link);
    link.kept = link.members > link.thawed;
  }
  move_flows();
  for (const std::int32_t l : touched_) {
    LinkState& link = links_[at(l)];
    link.load = link.capacity - link.rest;
    link.touched = false;
    if (link.share >= 0.0 || link.thawed > 0) schedule(l);
  }
  for (const std::int32_t id : thawed_) flows_[at(id)].thawed = false;
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
    if (links_[at(l)].members > 0) touch(l);
  }
  for (const std::int32_t id : fresh_) thaw(id);
  dirty_.clear();
  fresh_.clear();
  push_changed();
  fill();
  ++solves_;
  refilled_ += static_cast<double>(thawed_.size());
  commit();
  thawed_.clear();
  touched_.clear();
  limits_.clear();
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
