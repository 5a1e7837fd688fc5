// Max-min fair rates kept up to date while flows come and go.
//
// In a max-min fair state every flow f has a bottleneck b(f): a link that is full and on which no flow is faster
// (fair_share.cpp). The flows whose bottleneck is l are l's members. They all have the same rate, level(l), so a rate
// belongs to a link, and a state is written down as who is whose member:
//     level(l) = (C_l - P_l) / m_l,    P_l = sum of level(b(f)) over the flows that pass l and are limited elsewhere,
// with m_l members. It is max-min fair if and only if
//     (1) the levels satisfy this, (2) on every link with members no passing flow is faster than its level,
//     (3) on every link without members P_l <= C_l.
// Exactly one vector of rates is max-min fair, so whatever way leads to (1) to (3) leads to the right rates.
//
// When flows leave or join, only links whose P or m changed can break a condition. They are marked, and processed from
// the lowest level up:
//     capture: while (2) or (3) fails, the fastest passing flow becomes a member; its old bottleneck is marked;
//     level:   if the level differs from (1), it moves, and so does P of every other link of its members, which are
//     marked.
// A member is no faster than any link it crosses, so changes travel from lower levels to higher ones, and going up a
// link is mostly processed once. Nothing is done for a flow that keeps its bottleneck but one addition to the P of its
// other links; flows that do not change are not looked at. No proof bounds how often a link can be marked, so after 32
// times the number of links all rates are filled anew, by progressive filling, which always ends. The same is done
// when many flows join at once.
//
// Most passes need not look for a faster passing flow: `top` is an upper bound that rises with what passes and is made
// exact when it stands above the level.
//
// Time. Each link keeps a clock: bytes one of its members has sent so far. A member that joins at clock c with r bytes
// to go ends at clock c + r whatever the level does in between, so a change of level touches no flow; a flow is touched
// only when its bottleneck changes. A link's next end is now + (least finish - clock) / level; the least of all is found
// through the least of each block of 64 links.
//
// Rounding. Levels move if they differ by a thousandth of the precision, a flow is captured if it is faster by a tenth
// of it: ties do not travel. P is summed anew whenever passing flows are looked at.
#include "hardware/flow_system.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace hourglass::hardware {

namespace {

constexpr double same_time = 1e-11;  // ends that count as one, relative
constexpr double never = std::numeric_limits<double>::infinity();
constexpr std::size_t block = 64;
constexpr std::int64_t most_steps = 32;  // a link, until everything is filled anew
constexpr auto at(std::int32_t index) { return static_cast<std::size_t>(index); }

void erase(std::vector<std::int32_t>& ids, std::int32_t id) {
  *std::find(ids.begin(), ids.end(), id) = ids.back();
  ids.pop_back();
}

}  // namespace

FlowSystem::FlowSystem(const std::vector<double>& capacity, double precision)
    : links_(capacity.size()),
      members_(capacity.size()),
      passing_(capacity.size()),
      due_(capacity.size()),
      ends_(capacity.size(), never),
      first_end_((capacity.size() + block - 1) / block, never),
      stale_(first_end_.size(), false),
      precision_(precision) {
  for (std::size_t l = 0; l < capacity.size(); ++l) links_[l].capacity = capacity[l];
}

std::int32_t FlowSystem::add(std::span<const std::int32_t> path, double bytes, double count) {
  const auto id = static_cast<std::int32_t>(flows_.size());
  Flow flow;
  flow.count = count;
  flow.finish = bytes;
  flow.first = static_cast<std::int32_t>(path_.size());
  flow.size = static_cast<std::int32_t>(path.size());
  path_.insert(path_.end(), path.begin(), path.end());
  flows_.push_back(flow);
  (path.empty() ? instant_ : fresh_).push_back(id);
  ++active_;
  return id;
}

double FlowSystem::crossings(const Flow& flow, std::int32_t l) const {
  const auto links = path(flow);
  return flow.count * static_cast<double>(std::count(links.begin(), links.end(), l));
}

void FlowSystem::synchronize(Link& link) const {
  link.clock += link.level * (now_ - link.updated);
  link.updated = now_;
}

void FlowSystem::change(std::int32_t l) {
  if (links_[at(l)].changed) return;
  links_[at(l)].changed = true;
  changed_.push_back(l);
}

void FlowSystem::mark(std::int32_t l) {
  Link& link = links_[at(l)];
  if (link.marked) return;
  link.marked = true;
  marked_.push_back({link.weight > 0.0 ? link.level : link.top, l});
  std::push_heap(marked_.begin(), marked_.end(), std::greater<>());
}

// The fastest flow that passes l; P and `top` become exact.
std::int32_t FlowSystem::fastest_passing(std::int32_t l) {
  Link& link = links_[at(l)];
  std::int32_t fastest = -1;
  link.top = link.passing = 0.0;
  for (const std::int32_t id : passing_[at(l)]) {
    const Flow& flow = flows_[at(id)];
    const double rate = links_[at(flow.bottleneck)].level;
    link.passing += rate * (flow.size == 2 ? flow.count : crossings(flow, l));
    if (fastest >= 0 && rate <= link.top) continue;
    link.top = rate;
    fastest = id;
  }
  return fastest;
}

// A flow that passes l becomes a member.
void FlowSystem::capture(std::int32_t l, std::int32_t id) {
  Flow& flow = flows_[at(id)];
  const std::int32_t k = flow.bottleneck;
  Link &link = links_[at(l)], &old = links_[at(k)];
  synchronize(old);
  synchronize(link);
  flow.finish = std::max(0.0, flow.finish - old.clock) + link.clock;
  flow.bottleneck = l;
  due_[at(l)].push_back({flow.finish, id});
  std::push_heap(due_[at(l)].begin(), due_[at(l)].end(), std::greater<>());
  erase(passing_[at(l)], id);
  members_[at(l)].push_back(id);
  erase(members_[at(k)], id);
  passing_[at(k)].push_back(id);
  const double here = crossings(flow, l), there = crossings(flow, k);
  const double old_level = old.level;
  link.weight += here;
  old.weight -= there;
  if (old.weight <= 0.0) old.level = 0.0;
  for (const std::int32_t c : path(flow)) {
    Link& other = links_[at(c)];
    if (c != k) other.passing -= old_level * flow.count;
    if (c != l) other.passing += link.level * flow.count;
    if (c == l) continue;
    other.top = std::max(other.top, link.level);
    if (other.weight > 0.0 || c == k) mark(c);
  }
  change(l);
  change(k);
}

void FlowSystem::set_level(std::int32_t l, double level) {
  Link& link = links_[at(l)];
  synchronize(link);
  const double rise = level - link.level;
  link.level = level;
  for (const std::int32_t id : members_[at(l)]) {
    const Flow& flow = flows_[at(id)];
    for (const std::int32_t c : path(flow)) {
      if (c == l) continue;
      Link& other = links_[at(c)];
      other.passing += rise * flow.count;
      if (level > other.top) other.top = level;
      if (other.marked) continue;
      if (other.weight > 0.0 || other.passing > other.capacity * (1.0 + 0.1 * precision_)) mark(c);
    }
  }
  refilled_ += static_cast<double>(members_[at(l)].size());
  change(l);
}

void FlowSystem::process(std::int32_t l) {
  Link& link = links_[at(l)];
  link.marked = false;
  if (passing_[at(l)].empty()) link.passing = link.top = 0.0;
  double share = 0.0;
  std::int32_t fastest = -1;
  while (true) {
    if (link.weight > 0.0)
      share = (link.capacity - link.passing) / link.weight;
    else if (link.passing <= link.capacity * (1.0 + 0.1 * precision_))
      return;
    if (link.top <= std::max(0.0, share) * (1.0 + 0.1 * precision_)) break;
    if (fastest < 0) {
      fastest = fastest_passing(l);
    } else {
      capture(l, fastest);
      fastest = -1;
    }
  }
  if (std::abs(share - link.level) > 1e-3 * precision_ * share) set_level(l, share);
}

// A flow that is new becomes a member where its share would be least. The first guess need not be right.
void FlowSystem::join(std::int32_t id) {
  Flow& flow = flows_[at(id)];
  std::int32_t best = -1;
  double least = never;
  for (const std::int32_t c : path(flow)) {
    const Link& link = links_[at(c)];
    const double share = (link.capacity - link.passing) / (link.weight + crossings(flow, c));
    if (best >= 0 && share >= least) continue;
    least = share;
    best = c;
  }
  Link& link = links_[at(best)];
  synchronize(link);
  if (link.weight <= 0.0) due_[at(best)].clear();
  link.weight += crossings(flow, best);
  flow.bottleneck = best;
  flow.finish += link.clock;
  due_[at(best)].push_back({flow.finish, id});
  std::push_heap(due_[at(best)].begin(), due_[at(best)].end(), std::greater<>());
  const auto links = path(flow);
  for (std::size_t i = 0; i < links.size(); ++i) {
    Link& other = links_[at(links[i])];
    const bool again = std::find(links.begin(), links.begin() + static_cast<std::ptrdiff_t>(i), links[i]) !=
                       links.begin() + static_cast<std::ptrdiff_t>(i);
    if (!again) (links[i] == best ? members_ : passing_)[at(links[i])].push_back(id);
    if (links[i] != best) {
      other.passing += link.level * flow.count;
      other.top = std::max(other.top, link.level);
    }
    mark(links[i]);
  }
  change(best);
}

void FlowSystem::leave(std::int32_t id) {
  Flow& flow = flows_[at(id)];
  const std::int32_t l = flow.bottleneck;
  Link& link = links_[at(l)];
  erase(members_[at(l)], id);
  link.weight -= crossings(flow, l);
  const double rate = link.level;
  if (link.weight <= 0.0) {
    synchronize(link);
    link.level = 0.0;
  }
  const auto links = path(flow);
  for (std::size_t i = 0; i < links.size(); ++i) {
    const std::int32_t c = links[i];
    Link& other = links_[at(c)];
    if (c != l) {
      other.passing -= rate * flow.count;
      const auto before = links.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::find(links.begin(), before, c) == before) erase(passing_[at(c)], id);
    }
    if (other.weight > 0.0) mark(c);
  }
  flow.bottleneck = -1;
  change(l);
}

// All flows, those under way with the bytes they have left.
void FlowSystem::gather(Ids& ids) {
  for (std::size_t l = 0; l < links_.size(); ++l) {
    Link& link = links_[l];
    synchronize(link);
    for (const std::int32_t id : members_[l]) {
      Flow& flow = flows_[at(id)];
      flow.finish = std::max(0.0, flow.finish - link.clock);
      flow.bottleneck = -1;
      ids.push_back(id);
    }
    members_[l].clear();
    passing_[l].clear();
    due_[l].clear();
    link.passing = link.weight = link.level = link.top = link.clock = 0.0;
    link.updated = now_;
    link.marked = false;
  }
  marked_.clear();
}

// Flows whose bottleneck is known take their places.
void FlowSystem::enlist(const Ids& ids) {
  for (Ids& passing : passing_) passing.clear();
  for (const std::int32_t id : ids) {
    Flow& flow = flows_[at(id)];
    const std::int32_t l = flow.bottleneck;
    members_[at(l)].push_back(id);
    due_[at(l)].push_back({flow.finish, id});
    const double level = links_[at(l)].level;
    const auto links = path(flow);
    for (std::size_t i = 0; i < links.size(); ++i) {
      const std::int32_t c = links[i];
      Link& other = links_[at(c)];
      if (c == l) {
        other.weight += flow.count;
        continue;
      }
      other.passing += level * flow.count;
      other.top = std::max(other.top, level);
      const auto before = links.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::find(links.begin(), before, c) == before) passing_[at(c)].push_back(id);
    }
  }
  for (std::size_t l = 0; l < links_.size(); ++l) {
    std::make_heap(due_[l].begin(), due_[l].end(), std::greater<>());
    change(static_cast<std::int32_t>(l));
  }
}

// Progressive filling from nothing: the link with the least share for the flows that still wait on it limits them.
void FlowSystem::refill() {
  Ids ids;
  gather(ids);
  ids.insert(ids.end(), fresh_.begin(), fresh_.end());
  std::vector<double> rest(links_.size()), waiting(links_.size(), 0.0);
  for (std::size_t l = 0; l < links_.size(); ++l) rest[l] = links_[l].capacity;
  for (const std::int32_t id : ids) {
    for (const std::int32_t c : path(flows_[at(id)])) {
      waiting[at(c)] += flows_[at(id)].count;
      passing_[at(c)].push_back(id);
    }
  }
  std::vector<Step> heap;
  for (std::size_t l = 0; l < links_.size(); ++l) {
    if (waiting[l] > 0.0) heap.push_back({rest[l] / waiting[l], static_cast<std::int32_t>(l)});
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Step step = heap.back();
    heap.pop_back();
    const auto l = at(step.link);
    if (waiting[l] <= 0.0) continue;
    const double share = std::max(0.0, rest[l]) / waiting[l];  // only ever rises
    if (share > step.level * (1.0 + 1e-12)) {
      heap.push_back({share, step.link});
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
      continue;
    }
    links_[l].level = share;
    for (const std::int32_t id : passing_[l]) {
      Flow& flow = flows_[at(id)];
      if (flow.bottleneck >= 0) continue;
      flow.bottleneck = step.link;
      for (const std::int32_t c : path(flow)) {
        rest[at(c)] -= share * flow.count;
        waiting[at(c)] -= flow.count;
      }
    }
  }
  enlist(ids);
  refilled_ += static_cast<double>(ids.size());
}

void FlowSystem::settle() {
  if (fresh_.empty() && marked_.empty() && changed_.empty()) return;
  ++solves_;
  if (static_cast<std::int64_t>(fresh_.size()) * 4 > active_) {
    refill();
  } else {
    for (const std::int32_t id : fresh_) join(id);
  }
  fresh_.clear();
  const std::int64_t most = most_steps * static_cast<std::int64_t>(links_.size());
  for (std::int64_t step = 0; !marked_.empty(); ++step) {
    if (step > most) {
      refill();
      break;
    }
    std::pop_heap(marked_.begin(), marked_.end(), std::greater<>());
    const std::int32_t l = marked_.back().link;
    marked_.pop_back();
    process(l);
  }
  for (const std::int32_t l : changed_) schedule(l);
  changed_.clear();
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
    const Flow& flow = flows_[at(entry.flow)];
    return flow.bottleneck != l || flow.finish != entry.finish;
  };
  while (!due.empty() && outdated(due.front())) {
    std::pop_heap(due.begin(), due.end(), std::greater<>());
    due.pop_back();
  }
  if (due.empty() || link.level <= 0.0) return;
  const double reached = link.clock + link.level * (now_ - link.updated);
  ends_[at(l)] = now_ + std::max(0.0, due.front().finish - reached) / link.level;
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
    Link& link = links_[l];
    const double capacity = link.capacity;
    link = Link{};
    link.capacity = capacity;
    link.updated = now_;
    members_[l].clear();
    passing_[l].clear();
    due_[l].clear();
    ends_[l] = never;
  }
  std::fill(first_end_.begin(), first_end_.end(), never);
  marked_.clear();
  changed_.clear();
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
      if (ends_[l] > until) continue;
      Link& link = links_[l];
      synchronize(link);
      const double reached = link.clock + link.level * time * same_time;
      std::vector<Due>& due = due_[l];
      bool any = false;
      while (!due.empty() && (due.front().finish <= reached || !any)) {
        const Due entry = due.front();
        std::pop_heap(due.begin(), due.end(), std::greater<>());
        due.pop_back();
        Flow& flow = flows_[at(entry.flow)];
        if (flow.done || flow.bottleneck != static_cast<std::int32_t>(l) || flow.finish != entry.finish) continue;
        any = true;
        flow.done = true;
        finished.push_back(entry.flow);
      }
    }
  }
  active_ -= static_cast<std::int64_t>(finished.size() - begin);
  if (active_ == 0) {
    for (std::size_t i = first; i < finished.size(); ++i) flows_[at(finished[i])].bottleneck = -1;
    clear();
  } else {
    for (std::size_t i = first; i < finished.size(); ++i) leave(finished[i]);
  }
  std::sort(finished.begin() + static_cast<std::ptrdiff_t>(begin), finished.end());
}

double FlowSystem::rate(std::int32_t id) {
  settle();
  const Flow& flow = flows_[at(id)];
  if (flow.size == 0 && !flow.done) return never;
  return flow.done ? 0.0 : links_[at(flow.bottleneck)].level;
}

double FlowSystem::remaining(std::int32_t id) {
  settle();
  const Flow& flow = flows_[at(id)];
  if (flow.done) return 0.0;
  if (flow.bottleneck < 0) return flow.finish;
  const Link& link = links_[at(flow.bottleneck)];
  return std::max(0.0, flow.finish - (link.clock + link.level * (now_ - link.updated)));
}

std::int32_t FlowSystem::bottleneck(std::int32_t id) {
  settle();
  return flows_[at(id)].bottleneck;
}

}  // namespace hourglass::hardware
