// Max-min fairness.
//
// Links l have capacity C_l; flow f has a path P_f of links and a rate r_f. Rates are feasible when on every link
//     sum over f through l of r_f <= C_l.
// They are max-min fair when no rate can grow without making an equal or smaller one smaller. Equivalently (Bertsekas
// and Gallager, Data Networks, section 6.5.2) every flow has a bottleneck: a link on its path that is full and on which
// no other flow is faster. Exactly one such vector of rates exists, and progressive filling finds it: all rates rise
// together; when a link fills up, the flows on it stop; the rest rise on.
//
//     example, capacity 1 each:   f0: a b     f1: a     f2: b,  f3: b
//     b fills first, at 1/3 each for f0, f2, f3; then a gives f1 what f0 leaves: 2/3.
//
// A flow with a count m stands for m flows of the same path and size: same links, so same rate by symmetry (the
// solution is unique), same end. It loads its links with m r_f and takes m places in the sharing: exact, not an
// approximation. A path that crosses a link twice loads it twice.
//
// What is assumed: TCP-like transients, packet sizes, and InfiniBand's congestion control are not modelled; a flow
// takes its fair rate at once. This is the fluid limit that SimGrid's models share (Casanova et al. 2014).
//
// Speed, without changing any result (flow_system.cpp says how rates are kept):
//   components: flows that share no link, directly or through others, are problems of their own;
//   dominated links: when all flows of link l also cross one link l' of no more capacity, l is never the narrower one,
//   and
//       is left out: sum over l <= sum over l' <= C_l' <= C_l. PCIe behind a NIC goes this way.
#include "hardware/network/fair_share.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "hardware/network/flow_system.h"

namespace hourglass::hardware {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

// Flows of one component, links renumbered from 0.
struct Component {
  std::vector<std::int32_t> flows;
  std::vector<double> capacity;
  std::vector<std::int32_t> path;  // of the flows in order
  bool varied = false;             // sizes or starts differ: many re-ratings to come
};

// Links joined by flows (disjoint sets with path halving).
struct Sets {
  std::vector<std::int32_t> parent;
  explicit Sets(std::size_t size) : parent(size) { std::iota(parent.begin(), parent.end(), 0); }
  std::int32_t find(std::int32_t x) {
    while (parent[static_cast<std::size_t>(x)] != x) {
      std::int32_t& up = parent[static_cast<std::size_t>(x)];
      up = parent[static_cast<std::size_t>(up)];
      x = up;
    }
    return x;
  }
  void join(std::int32_t a, std::int32_t b) {
    a = find(a);
    b = find(b);
    if (a != b) parent[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
  }
};

std::vector<Component> components_of(const std::vector<double>& capacity, const FlowSet& flows) {
  Sets sets(capacity.size());
  for (std::size_t f = 0; f < flows.size(); ++f) {
    const auto links = flows.links(f);
    for (std::size_t i = 1; i < links.size(); ++i) sets.join(links[0], links[i]);
  }
  std::vector<Component> components;
  std::vector<std::int32_t> of_root(capacity.size(), -1), local(capacity.size(), -1);
  for (std::size_t f = 0; f < flows.size(); ++f) {
    const auto links = flows.links(f);
    if (links.empty()) continue;
    std::int32_t& id = of_root[static_cast<std::size_t>(sets.find(links[0]))];
    if (id < 0) {
      id = static_cast<std::int32_t>(components.size());
      components.emplace_back();
    }
    Component& component = components[static_cast<std::size_t>(id)];
    component.flows.push_back(static_cast<std::int32_t>(f));
    const auto head = static_cast<std::size_t>(component.flows.front());
    component.varied =
        component.varied || flows.bytes[f] != flows.bytes[head] || flows.start_s[f] != flows.start_s[head];
    for (const std::int32_t link : links) {
      std::int32_t& number = local[static_cast<std::size_t>(link)];
      if (number < 0) {
        number = static_cast<std::int32_t>(component.capacity.size());
        component.capacity.push_back(capacity[static_cast<std::size_t>(link)]);
      }
      component.path.push_back(number);
    }
  }
  return components;
}

// Whether each link of a component is dominated by another (see above). None are where a path crosses a link twice.
std::vector<bool> dominated_links(const Component& component, const FlowSet& flows) {
  const std::size_t links = component.capacity.size();
  std::vector<std::vector<std::int32_t>> common(links);  // links that all flows of a link share with it
  std::vector<std::int64_t> crossing(links, 0);
  const std::int32_t* path = component.path.data();
  for (const std::int32_t f : component.flows) {
    const auto size = static_cast<std::ptrdiff_t>(flows.links(static_cast<std::size_t>(f)).size());
    for (const std::int32_t* l = path; l != path + size; ++l) {
      if (std::find(path, l, *l) != l) return std::vector<bool>(links, false);
      auto& shared = common[static_cast<std::size_t>(*l)];
      if (crossing[static_cast<std::size_t>(*l)]++ == 0)
        shared.assign(path, path + size);
      else if (shared.size() > 1)
        std::erase_if(shared, [&](std::int32_t k) { return std::find(path, path + size, k) == path + size; });
    }
    path += size;
  }
  std::vector<bool> dominated(links, false);
  for (std::size_t l = 0; l < links; ++l) {
    for (const std::int32_t k : common[l]) {
      const auto other = static_cast<std::size_t>(k);
      const double mine = component.capacity[l], theirs = component.capacity[other];
      const bool first = crossing[other] > crossing[l] || (crossing[other] == crossing[l] && other < l);
      if (other != l && (theirs < mine || (theirs == mine && first))) dominated[l] = true;
    }
  }
  return dominated;
}

void simulate_component(const Component& component, const FlowSet& flows, double precision, FlowTimes& times,
                        std::int64_t& solves, double& refilled) {
  const std::vector<bool> dominated =
      component.varied ? dominated_links(component, flows) : std::vector<bool>(component.capacity.size(), false);
  std::vector<std::int32_t> order(component.flows.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::size_t> first(component.flows.size() + 1, 0);
  for (std::size_t i = 0; i < order.size(); ++i)
    first[i + 1] = first[i] + flows.links(static_cast<std::size_t>(component.flows[i])).size();
  const auto start = [&](std::int32_t i) {
    return flows.start_s[static_cast<std::size_t>(component.flows[static_cast<std::size_t>(i)])];
  };
  if (component.varied)
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return start(a) < start(b); });
  FlowSystem system(component.capacity, precision);
  std::vector<std::int32_t> links, finished;
  std::size_t joined = 0;
  while (true) {
    const double arrival = joined < order.size() ? start(order[joined]) : infinite;
    const double ends = system.next();
    if (arrival == infinite && ends == infinite) break;
    finished.clear();
    system.advance(std::min(arrival, ends), finished);
    for (const std::int32_t id : finished)
      times.finish_s[static_cast<std::size_t>(
          component.flows[static_cast<std::size_t>(order[static_cast<std::size_t>(id)])])] = system.now();
    for (; joined < order.size() && start(order[joined]) <= system.now(); ++joined) {
      const auto i = static_cast<std::size_t>(order[joined]);
      links.clear();
      for (std::size_t k = first[i]; k < first[i + 1]; ++k) {
        if (!dominated[static_cast<std::size_t>(component.path[k])]) links.push_back(component.path[k]);
      }
      const auto f = static_cast<std::size_t>(component.flows[i]);
      system.add(links, flows.bytes[f], flows.count[f]);
    }
  }
  solves = system.solves();
  refilled = system.refilled();
}

}  // namespace

void FlowSet::add(std::span<const std::int32_t> links, double flow_bytes, double flow_count, double start) {
  path.insert(path.end(), links.begin(), links.end());
  first.push_back(static_cast<std::int64_t>(path.size()));
  bytes.push_back(flow_bytes);
  count.push_back(flow_count);
  start_s.push_back(start);
}

void check_flows(const std::vector<double>& capacity, const FlowSet& flows) {
  const auto refuse = [](std::size_t flow, const std::string& what) {
    throw base::Error(what, fmt::format("flow {}", flow), "correct the flow or the topology");
  };
  for (std::size_t f = 0; f < flows.size(); ++f) {
    if (!(flows.bytes[f] >= 0.0) || std::isinf(flows.bytes[f]))
      refuse(f, fmt::format("{} bytes cannot be sent", flows.bytes[f]));
    if (!(flows.start_s[f] >= 0.0) || std::isinf(flows.start_s[f])) refuse(f, "its start is not a time");
    if (!(flows.count[f] >= 1.0) || flows.count[f] != std::floor(flows.count[f]) || flows.count[f] > 1e15)
      refuse(f, fmt::format("{} flows is not a whole number of them", flows.count[f]));
    for (const std::int32_t link : flows.links(f)) {
      if (link < 0 || static_cast<std::size_t>(link) >= capacity.size())
        refuse(f, fmt::format("there is no link {}", link));
      const double bandwidth = capacity[static_cast<std::size_t>(link)];
      if (!(bandwidth > 0.0) || std::isinf(bandwidth))
        refuse(f, fmt::format("link {} has a bandwidth of {}", link, bandwidth));
    }
  }
}

std::vector<double> max_min_rates(const std::vector<double>& capacity, const FlowSet& flows) {
  check_flows(capacity, flows);
  FlowSystem system(capacity);
  for (std::size_t f = 0; f < flows.size(); ++f) system.add(flows.links(f), 1.0, flows.count[f]);
  std::vector<double> rates(flows.size());
  for (std::size_t f = 0; f < flows.size(); ++f) rates[f] = system.rate(static_cast<std::int32_t>(f));
  return rates;
}

std::vector<double> max_min_rates_reference(const std::vector<double>& capacity, const FlowSet& flows) {
  check_flows(capacity, flows);
  std::vector<double> rates(flows.size(), infinite), rest = capacity;
  std::vector<bool> rising(flows.size(), true);
  double level = 0.0;
  while (true) {
    std::vector<double> crossing(capacity.size(), 0.0);
    for (std::size_t f = 0; f < flows.size(); ++f) {
      for (const std::int32_t l : flows.links(f))
        crossing[static_cast<std::size_t>(l)] += rising[f] ? flows.count[f] : 0.0;
    }
    // How far all can still rise together, and which link stops them.
    double step = infinite;
    std::size_t full = capacity.size();
    for (std::size_t l = 0; l < capacity.size(); ++l) {
      if (crossing[l] > 0.0 && std::max(0.0, rest[l]) / crossing[l] < step) {
        step = std::max(0.0, rest[l]) / crossing[l];
        full = l;
      }
    }
    if (full == capacity.size()) return rates;
    level += step;
    for (std::size_t l = 0; l < capacity.size(); ++l) rest[l] -= step * crossing[l];
    for (std::size_t f = 0; f < flows.size(); ++f) {
      const auto links = flows.links(f);
      if (!rising[f] || std::find(links.begin(), links.end(), static_cast<std::int32_t>(full)) == links.end()) continue;
      rates[f] = level;
      rising[f] = false;
    }
  }
}

FlowTimes simulate_flows(const std::vector<double>& capacity, const FlowSet& flows, double precision,
                         unsigned threads) {
  check_flows(capacity, flows);
  FlowTimes times;
  times.finish_s = flows.start_s;  // what crosses nothing arrives at once
  const std::vector<Component> components = components_of(capacity, flows);
  std::vector<std::int64_t> solves(components.size(), 0);
  std::vector<double> refilled(components.size(), 0.0);
  if (threads == 0) threads = flows.size() < 4096 ? 1 : std::max(1u, std::thread::hardware_concurrency());
  threads = std::min(threads, static_cast<unsigned>(std::max<std::size_t>(1, components.size())));
  std::atomic<std::size_t> next = 0;
  std::vector<std::exception_ptr> failures(threads);
  const auto work = [&](unsigned self) {
    try {
      for (std::size_t c = next++; c < components.size(); c = next++)
        simulate_component(components[c], flows, precision, times, solves[c], refilled[c]);
    } catch (...) {
      failures[self] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (unsigned t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  times.components = static_cast<std::int64_t>(components.size());
  times.solves = std::accumulate(solves.begin(), solves.end(), std::int64_t{0});
  times.refilled = std::accumulate(refilled.begin(), refilled.end(), 0.0);
  for (const double finish : times.finish_s) times.seconds = std::max(times.seconds, finish);
  return times;
}

FlowTimes simulate_flows_reference(const std::vector<double>& capacity, const FlowSet& flows) {
  check_flows(capacity, flows);
  FlowTimes times;
  times.finish_s = flows.start_s;
  std::vector<double> rest = flows.bytes;
  std::vector<bool> done(flows.size(), false);
  double now = 0.0;
  while (true) {
    FlowSet active;
    std::vector<std::size_t> ids;
    double arrival = infinite;
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (done[f] || flows.links(f).empty()) continue;
      if (flows.start_s[f] > now) {
        arrival = std::min(arrival, flows.start_s[f]);
        continue;
      }
      active.add(flows.links(f), rest[f], flows.count[f]);
      ids.push_back(f);
    }
    if (ids.empty() && arrival == infinite) break;
    const std::vector<double> rates = max_min_rates_reference(capacity, active);
    double step = arrival - now;
    for (std::size_t i = 0; i < ids.size(); ++i) step = std::min(step, rest[ids[i]] / rates[i]);
    now = step == arrival - now ? arrival : now + step;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      rest[ids[i]] -= step * rates[i];
      if (rest[ids[i]] > 1e-12 * flows.bytes[ids[i]]) continue;
      done[ids[i]] = true;
      times.finish_s[ids[i]] = now;
    }
    ++times.solves;
  }
  for (const double finish : times.finish_s) times.seconds = std::max(times.seconds, finish);
  return times;
}

FlowSet merge_identical(const FlowSet& flows, std::vector<std::int64_t>& merged) {
  std::vector<std::size_t> order(flows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto compare = [&](std::size_t a, std::size_t b) {
    const auto p = flows.links(a), q = flows.links(b);
    const auto paths = std::lexicographical_compare_three_way(p.begin(), p.end(), q.begin(), q.end());
    if (paths != 0) return paths < 0 ? -1 : 1;
    if (flows.bytes[a] != flows.bytes[b]) return flows.bytes[a] < flows.bytes[b] ? -1 : 1;
    if (flows.start_s[a] != flows.start_s[b]) return flows.start_s[a] < flows.start_s[b] ? -1 : 1;
    return 0;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return compare(a, b) < 0; });
  merged.assign(flows.size(), 0);
  FlowSet result;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t f = order[i];
    if (i > 0 && compare(order[i - 1], f) == 0)
      result.count.back() += flows.count[f];
    else
      result.add(flows.links(f), flows.bytes[f], flows.count[f], flows.start_s[f]);
    merged[f] = static_cast<std::int64_t>(result.size()) - 1;
  }
  return result;
}

std::vector<double> link_bytes(const FlowSet& flows, std::size_t links) {
  std::vector<double> bytes(links, 0.0);
  for (std::size_t f = 0; f < flows.size(); ++f) {
    for (const std::int32_t l : flows.links(f)) bytes[static_cast<std::size_t>(l)] += flows.bytes[f] * flows.count[f];
  }
  return bytes;
}

}  // namespace hourglass::hardware
