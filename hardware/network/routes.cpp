// Shortest paths between leaves, and the choice among equals.
//
// The switches form a graph. For a destination leaf, a breadth-first search over reversed links (Boost.Graph) gives
// each switch its distance; an output is usable when it leads one step nearer. In a fat tree these are all the up-down
// paths. Among the n usable outputs of a switch:
//   ECMP: hash(source, destination, flow, switch) mod n. Static hashing of few large flows collides: of n flows over n
//       links about 1 - 1/e of the links are used (balls into bins), the fullest carries several.
//   D-mod-k: (destination / divisor) mod n, where the divisor removes the digits already used below (Zahavi 2010): each
//       destination has one way down, so an all-to-all among equals never shares a link more than its end does.
//       Destinations are numbered leaf after leaf, so that the NICs of a leaf take all its cables, and those of one
//       node, which sit on different leaves, part ways above.
//   adaptive: depth-first over all usable paths for the smallest fullest link, cut where a prefix is already worse.
//   This
//       is the steady state of switches that know their queues, not a model of how they learn it.
//
// Leaf-to-leaf distances are kept; NICs hang off one leaf each, so they need no search of their own.
#include "hardware/network/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <limits>
#include <map>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

using Graph = boost::compressed_sparse_row_graph<boost::directedS>;
using Outputs = std::vector<std::int32_t>;

constexpr std::uint64_t mix(std::uint64_t x) {  // splitmix64's finalizer (Steele et al. 2014)
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

struct Router::State {
  const Topology& topology;
  RoutePolicy policy;
  std::uint64_t seed;
  Graph reversed;                                               // between switches, numbered from the first switch
  std::vector<std::vector<std::int32_t>> out;                   // links to other switches, by switch
  std::map<std::int32_t, std::vector<std::int32_t>> distances;  // by destination leaf: steps from each switch, -1: none
  std::map<std::int32_t, std::vector<Outputs>> usable;          // by destination leaf: outputs of each switch
  std::vector<double> load;          // seconds each link needs for what was routed (adaptive)
  std::vector<std::int32_t> number;  // of a NIC as a destination, by GPU
  // One destination after the other is the common order of requests.
  std::int32_t last_leaf = -1;
  std::vector<Outputs>* last_usable = nullptr;
  const std::vector<std::int32_t>* last_distances = nullptr;

  std::size_t local(std::int32_t vertex) const { return static_cast<std::size_t>(vertex - topology.first_switch); }

  const std::vector<std::int32_t>& towards(std::int32_t leaf) {
    if (leaf == last_leaf) return *last_distances;
    auto [at, fresh] = distances.try_emplace(leaf);
    if (fresh) {
      at->second.assign(out.size(), -1);
      at->second[local(leaf)] = 0;
      boost::breadth_first_search(
          reversed, local(leaf),
          boost::visitor(boost::make_bfs_visitor(boost::record_distances(
              boost::make_iterator_property_map(at->second.begin(), boost::get(boost::vertex_index, reversed)),
              boost::on_tree_edge()))));
      usable[leaf].resize(out.size());
    }
    last_leaf = leaf;
    last_distances = &at->second;
    last_usable = &usable[leaf];
    return at->second;
  }

  const Outputs& outputs(std::int32_t at, std::int32_t leaf) {
    const std::vector<std::int32_t>& distance = towards(leaf);
    Outputs& list = (*last_usable)[local(at)];
    if (list.empty()) {
      for (const std::int32_t link : out[local(at)]) {
        const std::int32_t to = topology.links[static_cast<std::size_t>(link)].to;
        if (distance[local(to)] >= 0 && distance[local(to)] + 1 == distance[local(at)]) list.push_back(link);
      }
    }
    return list;
  }

  double filled(std::int32_t link, double bytes) const {
    return load[static_cast<std::size_t>(link)] + bytes / topology.links[static_cast<std::size_t>(link)].bandwidth;
  }

  void search(std::int32_t at, std::int32_t leaf, double bytes, double worst, Outputs& prefix, double& best,
              Outputs& found) {
    if (at == leaf) {
      best = worst;
      found = prefix;
      return;
    }
    const Outputs choices = outputs(at, leaf);
    for (const std::int32_t link : choices) {
      const double fullest = std::max(worst, filled(link, bytes));
      if (fullest >= best) continue;
      prefix.push_back(link);
      search(topology.links[static_cast<std::size_t>(link)].to, leaf, bytes, fullest, prefix, best, found);
      prefix.pop_back();
    }
  }

  void across(std::int32_t from, std::int32_t to, std::uint64_t flow, double bytes, std::vector<std::int32_t>& path) {
    std::int32_t at = topology.leaf_of_nic[static_cast<std::size_t>(from)];
    const std::int32_t leaf = topology.leaf_of_nic[static_cast<std::size_t>(to)];
    if (policy == RoutePolicy::adaptive) {
      double best = std::numeric_limits<double>::infinity();
      Outputs prefix, found;
      search(at, leaf, bytes, 0.0, prefix, best, found);
      for (const std::int32_t link : found) load[static_cast<std::size_t>(link)] = filled(link, bytes);
      path.insert(path.end(), found.begin(), found.end());
      return;
    }
    const auto ends = static_cast<std::uint64_t>(from) << 32 | static_cast<std::uint64_t>(to);
    const std::uint64_t key = mix(mix(seed ^ ends) ^ flow);
    while (at != leaf) {
      const Outputs& choices = outputs(at, leaf);
      const std::uint64_t pick =
          policy == RoutePolicy::ecmp
              ? mix(key ^ static_cast<std::uint64_t>(at))
              : static_cast<std::uint64_t>(number[static_cast<std::size_t>(to)] /
                                           topology.vertices[static_cast<std::size_t>(at)].divisor);
      path.push_back(choices[pick % choices.size()]);
      at = topology.links[static_cast<std::size_t>(path.back())].to;
    }
  }

  void number_destinations() {
    std::vector<std::int32_t> attached(out.size(), 0);
    std::vector<std::int32_t> place;
    for (const std::int32_t leaf : topology.leaf_of_nic) place.push_back(attached[local(leaf)]++);
    const std::int32_t most = *std::max_element(attached.begin(), attached.end());
    std::vector<std::int32_t> before(out.size(), 0);  // leaves of lower number
    for (std::size_t i = 1; i < out.size(); ++i) before[i] = before[i - 1] + (attached[i - 1] > 0 ? 1 : 0);
    for (std::size_t gpu = 0; gpu < place.size(); ++gpu)
      number.push_back(before[local(topology.leaf_of_nic[gpu])] * most + place[gpu]);
  }

  bool works(std::int32_t link) const { return !topology.links[static_cast<std::size_t>(link)].failed; }

  bool connected(std::int32_t from, std::int32_t to) {
    if (!works(pcie_up(from)) || !works(nic_up(from)) || !works(nic_down(to)) || !works(pcie_down(to))) return false;
    const std::int32_t leaf = topology.leaf_of_nic[static_cast<std::size_t>(to)];
    return towards(leaf)[local(topology.leaf_of_nic[static_cast<std::size_t>(from)])] >= 0;
  }

  void nvlink(std::int32_t from, std::int32_t to, std::vector<std::int32_t>& path) const {
    if (from == to) return;
    if (!works(nvlink_out(from)) || !works(nvlink_in(to)))
      throw CannotCarry(fmt::format("no way from {} to {}: NVLink has failed", vertex_name(topology, from),
                                    vertex_name(topology, to)),
                        "topology", "keep the node's NVSwitch and its links");
    path.push_back(nvlink_out(from));
    path.push_back(nvlink_in(to));
  }

  void network(std::int32_t from, std::int32_t to, std::uint64_t flow, double bytes, std::vector<std::int32_t>& path) {
    path.push_back(pcie_up(from));
    path.push_back(nic_up(from));
    across(from, to, flow, bytes, path);
    path.push_back(nic_down(to));
    path.push_back(pcie_down(to));
  }

  // The NICs that carry a message between GPUs: the wanted ones, or those of another rail that works. What takes
  // another rail is spread over all of them by both nodes, so that neither a sender nor a receiver gives it all to one.
  std::pair<std::int32_t, std::int32_t> nics(std::int32_t from, std::int32_t to, Via via) {
    const std::int32_t g = topology.gpus_per_node;
    const std::int32_t here = from / g * g, there = to / g * g;
    if (via == Via::direct && connected(from, to)) return {from, to};
    if (connected(here + to % g, to)) return {here + to % g, to};
    std::vector<std::int32_t> rails;
    for (std::int32_t rail = 0; rail < g; ++rail) {
      if (connected(here + rail, there + rail)) rails.push_back(rail);
    }
    if (!rails.empty()) {
      const std::int32_t rail = rails[static_cast<std::size_t>(from + from / g + to / g) % rails.size()];
      return {here + rail, there + rail};
    }
    throw CannotCarry(fmt::format("no way from {} to {}: no rail joins the two nodes", vertex_name(topology, from),
                                  vertex_name(topology, to)),
                      "topology", "leave one plane or rail working");
  }
};

Router::Router(const Topology& topology, RoutePolicy policy, std::uint64_t seed)
    : state_(new State{topology, policy, mix(seed), {}, {}, {}, {}, {}, {}}) {
  const std::size_t switches = topology.vertices.size() - static_cast<std::size_t>(topology.first_switch);
  state_->out.resize(switches);
  state_->load.assign(topology.links.size(), 0.0);
  state_->number_destinations();
  std::vector<std::pair<std::size_t, std::size_t>> edges;
  for (std::size_t l = 6 * static_cast<std::size_t>(topology.gpus); l < topology.links.size(); ++l) {
    const Link& link = topology.links[l];
    if (link.failed) continue;
    state_->out[state_->local(link.from)].push_back(static_cast<std::int32_t>(l));
    edges.emplace_back(state_->local(link.to), state_->local(link.from));
  }
  state_->reversed = Graph(boost::edges_are_unsorted_multi_pass, edges.begin(), edges.end(), switches);
}

Router::~Router() = default;

bool Router::connected(std::int32_t from, std::int32_t to) { return state_->connected(from, to); }

void Router::route(std::int32_t from, std::int32_t to, Via via, std::uint64_t flow, double bytes,
                   std::vector<std::int32_t>& path) {
  const std::int32_t g = state_->topology.gpus_per_node;
  if (from / g == to / g) return state_->nvlink(from, to, path);
  const auto [first, last] = state_->nics(from, to, via);
  state_->nvlink(from, first, path);
  state_->network(first, last, flow, bytes, path);
  state_->nvlink(last, to, path);
}

void Router::route_network(std::int32_t from, std::int32_t to, std::uint64_t flow, double bytes,
                           std::vector<std::int32_t>& path) {
  if (from == to) return;
  if (state_->connected(from, to)) return state_->network(from, to, flow, bytes, path);
  // Separate planes, or a failed one: to a GPU of the node whose NIC reaches the destination.
  const auto [first, last] = state_->nics(from, to, Via::rail);
  state_->nvlink(from, first, path);
  if (first != last) state_->network(first, last, flow, bytes, path);
  state_->nvlink(last, to, path);
}

double path_latency(const Topology& topology, const std::vector<std::int32_t>& path) {
  double seconds = 0.0;
  for (const std::int32_t link : path) seconds += topology.links[static_cast<std::size_t>(link)].latency_s;
  return seconds;
}

std::vector<std::string> route_policy_names() { return {"ecmp", "destination-modulo", "adaptive"}; }

RoutePolicy route_policy(const std::string& name) {
  const std::vector<std::string> names = route_policy_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<RoutePolicy>(i);
  }
  throw base::UsageError(fmt::format("unknown routing '{}'", base::printable(name)), "--routing",
                         base::suggestion(name, names));
}

}  // namespace hourglass::hardware
