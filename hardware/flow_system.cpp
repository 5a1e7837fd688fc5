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
#include <bit>
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

// Whether the i-th link of a path came before.
bool repeats(std::span<const std::int32_t> links, std::size_t i) {
  const auto here = links.begin() + static_cast<std::ptrdiff_t>(i);
  return std::find(links.begin(), here, *here) != here;
}

}  // namespace

// A bucket is the number's exponent (its last six bits) and ten bits of its fraction; numbers that differ by a factor of
// more than 2^64 come in any order. Bits say which buckets, which words of bits and which groups of words hold something.
void FlowSystem::Queue::push(double level, std::int32_t link) {
  if (head_.empty()) {
    head_.assign(std::size_t{1} << 16, -1);
    filled_.assign(1024, 0);
    filled_words_.assign(16, 0);
  }
  const std::size_t bucket = (std::bit_cast<std::uint64_t>(level) >> 42) & 0xffff;
  next_[at(link)] = head_[bucket];
  head_[bucket] = link;
  filled_[bucket / 64] |= std::uint64_t{1} << bucket % 64;
  filled_words_[bucket / 4096] |= std::uint64_t{1} << bucket / 64 % 64;
  filled_groups_ |= std::uint64_t{1} << bucket / 4096;
  ++size_;
}

std::int32_t FlowSystem::Queue::pop() {
  const auto lowest = [](std::uint64_t bits) { return static_cast<std::size_t>(std::countr_zero(bits)); };
  const auto remove = [](std::uint64_t& bits) { return (bits &= bits - 1) == 0; };
  const std::size_t group = lowest(filled_groups_);
  const std::size_t word = group * 64 + lowest(filled_words_[group]);
  const std::size_t bucket = word * 64 + lowest(filled_[word]);
  const std::int32_t link = head_[bucket];
  head_[bucket] = next_[at(link)];
  if (head_[bucket] < 0 && remove(filled_[word]) && remove(filled_words_[group])) remove(filled_groups_);
  --size_;
  return link;
}

void FlowSystem::Queue::clear() {
  while (!empty()) pop();
}

FlowSystem::FlowSystem(const std::vector<double>& capacity, double precision)
    : traffic_(capacity.size()),
      links_(capacity.size()),
      members_(capacity.size()),
      passing_(capacity.size()),
      due_(capacity.size()),
      ends_(capacity.size(), never),
      first_end_((capacity.size() + block - 1) / block, never),
      stale_(first_end_.size(), false),
      marked_(capacity.size()),
      precision_(precision) {
  for (std::size_t l = 0; l < capacity.size(); ++l) {
    links_[l].capacity = capacity[l];
    unmark(static_cast<std::int32_t>(l));
  }
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
  bottleneck_.push_back(-1);
  plain_ = plain_ && count == 1.0;
  for (std::size_t i = 1; i < path.size(); ++i) plain_ = plain_ && !repeats(path, i);
  (path.empty() ? instant_ : fresh_).push_back(id);
  ++active_;
  return id;
}

double FlowSystem::crossings(const Flow& flow, std::int32_t l) const {
  if (plain_) return 1.0;
  const auto links = path(flow);
  return flow.count * static_cast<double>(std::count(links.begin(), links.end(), l));
}

FlowSystem::Member FlowSystem::member(std::int32_t id, std::int32_t l) const {
  const Flow& flow = flows_[at(id)];
  Member member{id, {-1, -1, -1}};
  if (flow.count != 1.0 || flow.size > 4) {
    member.others[0] = -2;
    return member;
  }
  std::size_t k = 0;
  for (const std::int32_t c : path(flow)) {
    if (c == l) continue;
    if (k == 3) return {id, {-2, -1, -1}};
    member.others[k++] = c;
  }
  return member;
}

void FlowSystem::synchronize(std::int32_t l) {
  Link& link = links_[at(l)];
  link.clock += traffic_[at(l)].level * (now_ - link.updated);
  link.updated = now_;
}

void FlowSystem::change(std::int32_t l) {
  if (links_[at(l)].changed) return;
  links_[at(l)].changed = true;
  changed_.push_back(l);
}

void FlowSystem::unmark(std::int32_t l) {
  const Link& link = links_[at(l)];
  traffic_[at(l)].mark_above = link.weight > 0.0 ? -never : link.capacity * (1.0 + 0.1 * precision_);
}

void FlowSystem::mark(std::int32_t l) {
  Traffic& traffic = traffic_[at(l)];
  if (traffic.mark_above == never) return;
  traffic.mark_above = never;
  marked_.push(traffic.level > 0.0 ? traffic.level : traffic.top, l);
}

// The fastest flow that passes l; P and `top` become exact.
std::int32_t FlowSystem::fastest_passing(std::int32_t l) {
  std::int32_t fastest = -1;
  double top = 0.0, passing = 0.0;
  for (const std::int32_t id : passing_[at(l)]) {
    const double rate = traffic_[at(bottleneck_[at(id)])].level;
    passing += plain_ ? rate : rate * crossings(flows_[at(id)], l);
    if (fastest >= 0 && rate <= top) continue;
    top = rate;
    fastest = id;
  }
  traffic_[at(l)].top = top;
  traffic_[at(l)].passing = passing;
  return fastest;
}

// A flow that passes l becomes a member.
void FlowSystem::capture(std::int32_t l, std::int32_t id) {
  Flow& flow = flows_[at(id)];
  const std::int32_t k = bottleneck_[at(id)];
  synchronize(k);
  synchronize(l);
  flow.finish = std::max(0.0, flow.finish - links_[at(k)].clock) + links_[at(l)].clock;
  bottleneck_[at(id)] = l;
  due_[at(l)].push_back({flow.finish, id});
  std::push_heap(due_[at(l)].begin(), due_[at(l)].end(), std::greater<>());
  erase(passing_[at(l)], id);
  members_[at(l)].push_back(member(id, l));
  expel(k, id);
  passing_[at(k)].push_back(id);
  links_[at(l)].weight += crossings(flow, l);
  const double old_level = traffic_[at(k)].level, level = traffic_[at(l)].level;
  drop(k, crossings(flow, k));
  for (const std::int32_t c : path(flow)) {
    Traffic& other = traffic_[at(c)];
    if (c != k) other.passing -= old_level * flow.count;
    if (c == l) continue;
    other.passing += level * flow.count;
    other.top = std::max(other.top, level);
    if (links_[at(c)].weight > 0.0 || c == k) mark(c);
  }
  change(l);
  change(k);
}

void FlowSystem::expel(std::int32_t l, std::int32_t id) {
  std::vector<Member>& members = members_[at(l)];
  *std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.flow == id; }) = members.back();
  members.pop_back();
}

// Link l has lost members. Its clock must be right.
void FlowSystem::drop(std::int32_t l, double weight) {
  Link& link = links_[at(l)];
  link.weight -= weight;
  if (link.weight > 0.0) return;
  traffic_[at(l)].level = 0.0;
  if (!marked(l)) unmark(l);
}

void FlowSystem::set_level(std::int32_t l, double level) {
  synchronize(l);
  const double rise = level - traffic_[at(l)].level;
  traffic_[at(l)].level = level;
  const auto pass = [&](std::int32_t c, double more) {
    Traffic& other = traffic_[at(c)];
    other.passing += more;
    other.top = std::max(other.top, level);
    if (other.passing > other.mark_above) mark(c);
  };
  for (const Member& member : members_[at(l)]) {
    if (member.others[0] == -2) {
      const Flow& flow = flows_[at(member.flow)];
      for (const std::int32_t c : path(flow)) {
        if (c != l) pass(c, rise * flow.count);
      }
      continue;
    }
    for (const std::int32_t c : member.others) {
      if (c < 0) break;
      pass(c, rise);
    }
  }
  refilled_ += static_cast<double>(members_[at(l)].size());
  change(l);
}

void FlowSystem::process(std::int32_t l) {
  const Link& link = links_[at(l)];
  Traffic& traffic = traffic_[at(l)];
  if (passing_[at(l)].empty()) traffic.passing = traffic.top = 0.0;
  double share = 0.0;
  std::int32_t fastest = -1;
  while (true) {
    if (link.weight > 0.0)
      share = (link.capacity - traffic.passing) / link.weight;
    else if (traffic.passing <= link.capacity * (1.0 + 0.1 * precision_))
      return unmark(l);
    if (traffic.top <= std::max(0.0, share) * (1.0 + 0.1 * precision_)) break;
    if (fastest < 0) {
      fastest = fastest_passing(l);
    } else {
      capture(l, fastest);
      fastest = -1;
    }
  }
  unmark(l);
  if (std::abs(share - traffic.level) > 1e-3 * precision_ * share) set_level(l, share);
}

// A flow that is new becomes a member where its share would be least. The first guess need not be right.
void FlowSystem::join(std::int32_t id) {
  Flow& flow = flows_[at(id)];
  const auto links = path(flow);
  std::int32_t best = -1;
  double least = never;
  for (const std::int32_t c : links) {
    const double share =
        (links_[at(c)].capacity - traffic_[at(c)].passing) / (links_[at(c)].weight + crossings(flow, c));
    if (best >= 0 && share >= least) continue;
    least = share;
    best = c;
  }
  synchronize(best);
  links_[at(best)].weight += crossings(flow, best);
  bottleneck_[at(id)] = best;
  flow.finish += links_[at(best)].clock;
  due_[at(best)].push_back({flow.finish, id});
  std::push_heap(due_[at(best)].begin(), due_[at(best)].end(), std::greater<>());
  members_[at(best)].push_back(member(id, best));
  const double level = traffic_[at(best)].level;
  for (std::size_t i = 0; i < links.size(); ++i) {
    const std::int32_t c = links[i];
    mark(c);
    if (c == best) continue;
    traffic_[at(c)].passing += level * flow.count;
    traffic_[at(c)].top = std::max(traffic_[at(c)].top, level);
    if (!repeats(links, i)) passing_[at(c)].push_back(id);
  }
  change(best);
}

void FlowSystem::leave(std::int32_t id) {
  Flow& flow = flows_[at(id)];
  const std::int32_t l = bottleneck_[at(id)];
  const double rate = traffic_[at(l)].level;
  synchronize(l);
  expel(l, id);
  drop(l, crossings(flow, l));
  const auto links = path(flow);
  for (std::size_t i = 0; i < links.size(); ++i) {
    const std::int32_t c = links[i];
    if (c != l) {
      traffic_[at(c)].passing -= rate * flow.count;
      if (!repeats(links, i)) erase(passing_[at(c)], id);
    }
    if (links_[at(c)].weight > 0.0) mark(c);
  }
  bottleneck_[at(id)] = -1;
  change(l);
}

// All flows, those under way with the bytes they have left; the links forget them.
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

// Flows whose bottleneck is known take their places.
void FlowSystem::enlist(const Ids& ids) {
  for (Ids& passing : passing_) passing.clear();
  for (const std::int32_t id : ids) {
    const Flow& flow = flows_[at(id)];
    const std::int32_t l = bottleneck_[at(id)];
    members_[at(l)].push_back(member(id, l));
    due_[at(l)].push_back({flow.finish, id});
    const double level = traffic_[at(l)].level;
    const auto links = path(flow);
    for (std::size_t i = 0; i < links.size(); ++i) {
      const std::int32_t c = links[i];
      if (c == l) {
        links_[at(c)].weight += flow.count;
        continue;
      }
      traffic_[at(c)].passing += level * flow.count;
      traffic_[at(c)].top = std::max(traffic_[at(c)].top, level);
      if (!repeats(links, i)) passing_[at(c)].push_back(id);
    }
  }
  for (std::size_t l = 0; l < links_.size(); ++l) {
    std::make_heap(due_[l].begin(), due_[l].end(), std::greater<>());
    unmark(static_cast<std::int32_t>(l));
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
  std::vector<std::pair<double, std::int32_t>> heap;  // share, link
  for (std::size_t l = 0; l < links_.size(); ++l) {
    if (waiting[l] > 0.0) heap.emplace_back(rest[l] / waiting[l], static_cast<std::int32_t>(l));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto [least, link] = heap.back();
    heap.pop_back();
    const auto l = at(link);
    if (waiting[l] <= 0.0) continue;
    const double share = std::max(0.0, rest[l]) / waiting[l];  // only ever rises
    if (share > least * (1.0 + 1e-12)) {
      heap.emplace_back(share, link);
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
      continue;
    }
    traffic_[l].level = share;
    for (const std::int32_t id : passing_[l]) {
      if (bottleneck_[at(id)] >= 0) continue;
      bottleneck_[at(id)] = link;
      for (const std::int32_t c : path(flows_[at(id)])) {
        rest[at(c)] -= share * flows_[at(id)].count;
        waiting[at(c)] -= flows_[at(id)].count;
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
    process(marked_.pop());
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
  std::sort(finished.begin() + static_cast<std::ptrdiff_t>(begin), finished.end());
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
