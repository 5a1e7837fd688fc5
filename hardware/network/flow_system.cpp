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
// times the number of links all rates are filled anew, by progressive filling, which always ends (flow_filling.cpp).
// The same is done when many flows join at once. flow_time.cpp turns rates into ends.
//
// Most of the time nobody need look for a faster passing flow: `top` is an upper bound that rises with what passes, and
// is made exact when it stands above the level. How much must be done: after one of 129,024 ends in an all-to-all of 64
// (benchmarks/bench_network.cpp) the rates of 660 flows on 50 links really change, of 3,584 on 128, because nearly all
// links are full; 9 flows change their bottleneck.
//
// Rounding. Levels move if they differ by a thousandth of the precision, a flow is captured if it is faster by a tenth
// of it: ties do not travel. P is summed anew whenever passing flows are looked at.
#include "hardware/network/flow_system.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace hourglass::hardware {

namespace {

constexpr std::int64_t most_steps = 32;  // a link, until everything is filled anew

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

}  // namespace hourglass::hardware
