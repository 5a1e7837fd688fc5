// Fat trees from switches of k ports, and what they cost.
//
// A node holds g GPUs on an NVSwitch; each GPU has its own NIC, and the NICs of the i-th GPUs of all hosts are rail i. A
// leaf of an s:1 over-subscribed tree uses k s/(1+s) ports down and the rest up (k/2 and k/2 without
// over-subscription).
//
//   two layers: every leaf reaches every spine. L leaves with u uplinks need S spines such that L ceil(u/S) <= k;
//   uplink j goes
//       to spine j mod S, so u/S cables run in parallel. MPFT builds one such tree a rail (plane), MRFT one tree over
//       all. Largest without over-subscription: k^2/2 endpoints, 3k/2 switches, k^2/2 cables between switches.
//   three layers (Leiserson's fat tree as Al-Fares et al., SIGCOMM 2008, build it): pods of k/2 leaves and u spines;
//   spine j
//       of every pod reaches the cores of group j. Largest: k^3/4 endpoints, 5k^2/4 switches, k^3/2 cables.
//
// With k = 64 these are the rows of table 3 of "Insights into DeepSeek-V3" (ISCA'25): FT2 2048 endpoints, 96 switches,
// 2048 links; MPFT 16384, 768, 16384; FT3 65536, 5120, 131072. (Its links are those between switches.)
//
// Cost = switches x a + cables between switches x b + endpoints x c. a is Slim Fly's price of a router of k ports
// (Besta and Hoefler, SC'14: 350.4 k - 892.3 USD), whose method the paper says it follows; b and c follow from the
// table's FT2 and FT3. The table's Slim Fly and dragonfly rows, which the three did not see, come out within 1 %
// (tests/hardware).
//
// Failure: a link is marked, never removed, so that ids stay.
#include "hardware/network/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

struct Builder {
  const Cluster& cluster;
  Topology& topology;
  std::int64_t down = 0, up = 0;  // ports of a leaf

  std::int32_t add(VertexKind kind, std::int32_t rail, std::int32_t pod, std::int64_t index, std::int64_t divisor) {
    topology.vertices.push_back({kind, -1, rail, pod, static_cast<std::int32_t>(index), divisor});
    return static_cast<std::int32_t>(topology.vertices.size()) - 1;
  }

  void connect(std::int32_t a, std::int32_t b, double bandwidth, double there_s, double back_s, LinkTier tier,
               std::int64_t parallel = 0) {
    topology.links.push_back({a, b, bandwidth, there_s, tier, static_cast<std::int32_t>(parallel), false});
    topology.links.push_back({b, a, bandwidth, back_s, tier, static_cast<std::int32_t>(parallel), false});
  }

  void cable(std::int32_t lower, std::int32_t upper, std::int64_t parallel) {
    const double hop = cluster.fabric.hop_latency_s;
    connect(lower, upper, cluster.nic_bandwidth, hop, hop, LinkTier::fabric, parallel);
  }

  // Every lower switch to every upper switch of a layer: uplink j to upper switch j mod S, with the fewest switches
  // that have the ports. `count` lower switches of `uplinks` each. Returns S, or 0 if k ports are not enough.
  std::int64_t uppers_needed(std::int64_t count, std::int64_t uplinks) const {
    const std::int64_t ports = cluster.fabric.switch_ports;
    for (std::int64_t uppers = (count * uplinks + ports - 1) / ports; uppers <= uplinks; ++uppers) {
      if (count * ((uplinks + uppers - 1) / uppers) <= ports) return uppers;
    }
    return 0;
  }

  void join(const std::vector<std::int32_t>& lowers, const std::vector<std::int32_t>& uppers, std::int64_t uplinks) {
    const auto count = static_cast<std::int64_t>(uppers.size());
    for (const std::int32_t lower : lowers) {
      for (std::int64_t j = 0; j < uplinks; ++j) cable(lower, uppers[static_cast<std::size_t>(j % count)], j / count);
    }
  }

  void endpoints() {
    const Fabric& fabric = cluster.fabric;
    const std::int32_t g = topology.gpus_per_node;
    for (std::int32_t gpu = 0; gpu < topology.gpus; ++gpu)
      topology.vertices.push_back({VertexKind::gpu, gpu / g, gpu % g, -1, 0, 1});
    for (std::int32_t node = 0; node < topology.nodes; ++node)
      topology.vertices.push_back({VertexKind::nvswitch, node, -1, -1, 0, 1});
    for (std::int32_t gpu = 0; gpu < topology.gpus; ++gpu)
      topology.vertices.push_back({VertexKind::nic, gpu / g, gpu % g, -1, 0, 1});
    topology.first_switch = static_cast<std::int32_t>(topology.vertices.size());
    topology.leaf_of_nic.assign(static_cast<std::size_t>(topology.gpus), -1);
    topology.links.resize(6 * static_cast<std::size_t>(topology.gpus));
    for (std::int32_t gpu = 0; gpu < topology.gpus; ++gpu) {
      const std::int32_t nvswitch = topology.gpus + gpu / g;
      const std::int32_t nic = topology.gpus + topology.nodes + gpu;
      const double half = fabric.nvlink_latency_s / 2.0;
      Link* link = &topology.links[6 * static_cast<std::size_t>(gpu)];
      link[0] = {gpu, nvswitch, cluster.nvlink_bandwidth, half, LinkTier::nvlink, 0, false};
      link[1] = {nvswitch, gpu, cluster.nvlink_bandwidth, half, LinkTier::nvlink, 0, false};
      link[2] = {gpu, nic, fabric.pcie_bandwidth, 0.0, LinkTier::pcie, 0, false};
      link[3] = {nic, gpu, fabric.pcie_bandwidth, 0.0, LinkTier::pcie, 0, false};
    }
  }

  // The NICs of one rail of hosts [begin, end) to a leaf.
  void attach(std::int32_t leaf, std::int32_t rail, std::int64_t begin, std::int64_t end) {
    const double half = cluster.fabric.endpoint_latency_s / 2.0;
    for (std::int64_t host = begin; host < end; ++host) {
      const auto gpu = static_cast<std::int32_t>(host * topology.rails + rail);
      const std::int32_t nic = topology.gpus + topology.nodes + gpu;
      const double hop = cluster.fabric.hop_latency_s;
      topology.links[static_cast<std::size_t>(nic_up(gpu))] = {
          nic, leaf, cluster.nic_bandwidth, half + hop, LinkTier::nic, 0, false};
      topology.links[static_cast<std::size_t>(nic_down(gpu))] = {leaf, nic,  cluster.nic_bandwidth, half, LinkTier::nic,
                                                                 0,    false};
      topology.leaf_of_nic[static_cast<std::size_t>(gpu)] = leaf;
    }
  }

  // Leaves of one rail for hosts [begin, end), appended to `leaves`.
  void rail_leaves(std::int32_t rail, std::int32_t pod, std::int64_t begin, std::int64_t end,
                   std::vector<std::int32_t>& leaves) {
    for (std::int64_t host = begin, index = 0; host < end; host += down, ++index) {
      leaves.push_back(add(VertexKind::leaf, rail, pod, index, 1));
      attach(leaves.back(), rail, host, std::min(host + down, end));
    }
  }

  [[noreturn]] void too_large() const {
    throw CannotCarry(fmt::format("{} GPUs do not fit: {} with {}-port switches at {}:1 joins at most {}",
                                  topology.gpus, fabric_name(cluster.fabric.kind), cluster.fabric.switch_ports,
                                  cluster.fabric.oversubscription, most_gpus(cluster)),
                      "fabric", "take larger switches, more layers (three_layer), or fewer GPUs");
  }

  void two_layers(std::int32_t plane, const std::vector<std::int32_t>& leaves) {
    if (leaves.size() == 1) return;
    const std::int64_t spines = uppers_needed(static_cast<std::int64_t>(leaves.size()), up);
    if (spines == 0) too_large();
    std::vector<std::int32_t> uppers;
    for (std::int64_t s = 0; s < spines; ++s) uppers.push_back(add(VertexKind::spine, plane, -1, s, spines));
    join(leaves, uppers, up);
  }

  void multi_plane() {
    for (std::int32_t rail = 0; rail < topology.rails; ++rail) {
      std::vector<std::int32_t> leaves;
      rail_leaves(rail, -1, 0, topology.hosts, leaves);
      two_layers(rail, leaves);
    }
  }

  void multi_rail() {
    std::vector<std::int32_t> leaves;
    for (std::int32_t rail = 0; rail < topology.rails; ++rail) rail_leaves(rail, -1, 0, topology.hosts, leaves);
    two_layers(-1, leaves);
  }

  void three_layers() {
    const std::int64_t ports = cluster.fabric.switch_ports, half = ports / 2;
    const std::int64_t leaves_a_rail = half / topology.rails;
    if (leaves_a_rail == 0)
      throw CannotCarry(fmt::format("{} NICs a node do not fit a pod of {} leaves", topology.rails, half), "fabric",
                        "take switches of more ports, or multi_plane");
    const std::int64_t pod_hosts = leaves_a_rail * down;
    const std::int64_t pods = (topology.hosts + pod_hosts - 1) / pod_hosts;
    if (pods > ports) too_large();
    const std::int64_t cores = pods > 1 ? uppers_needed(pods, half) : 0;
    std::vector<std::vector<std::int32_t>> group(static_cast<std::size_t>(up));  // spine j of every pod
    for (std::int32_t pod = 0; pod < pods; ++pod) {
      const std::int64_t begin = pod * pod_hosts, end = std::min<std::int64_t>(begin + pod_hosts, topology.hosts);
      std::vector<std::int32_t> leaves, spines;
      for (std::int32_t rail = 0; rail < topology.rails; ++rail) rail_leaves(rail, pod, begin, end, leaves);
      for (std::int64_t s = 0; s < up; ++s) {
        spines.push_back(add(VertexKind::spine, -1, pod, s, up));
        group[static_cast<std::size_t>(s)].push_back(spines.back());
      }
      join(leaves, spines, up);
    }
    for (std::size_t s = 0; s < group.size() && cores > 0; ++s) {
      std::vector<std::int32_t> uppers;
      for (std::int64_t c = 0; c < cores; ++c)
        uppers.push_back(add(VertexKind::core, -1, static_cast<std::int32_t>(s), c, up * cores));
      join(group[s], uppers, half);
    }
  }
};

void check(const Cluster& cluster, std::int64_t gpus) {
  if (gpus < 1 || gpus > cluster.gpus) {
    throw base::Error(fmt::format("{} GPUs are asked for, the cluster has {}", gpus, cluster.gpus), cluster.name,
                      "take a smaller group, or raise \"gpus\"");
  }
  const auto positive = [&](double bandwidth, const char* what) {
    if (!(bandwidth > 0.0))
      throw base::Error(fmt::format("{} is {} bytes/s: nothing can be sent", what, bandwidth), cluster.name,
                        "give it a bandwidth");
  };
  positive(cluster.nvlink_bandwidth, "the bandwidth of NVLink");
  positive(cluster.nic_bandwidth, "the bandwidth of a NIC");
  positive(cluster.fabric.pcie_bandwidth, "the bandwidth of PCIe");
}

// Down and up.
std::pair<std::int64_t, std::int64_t> leaf_ports(const Fabric& fabric) {
  const auto up = static_cast<std::int64_t>(static_cast<double>(fabric.switch_ports) / (1.0 + fabric.oversubscription));
  return {
      std::min(fabric.switch_ports - up, static_cast<std::int64_t>(static_cast<double>(up) * fabric.oversubscription)),
      up};
}

}  // namespace

std::int64_t most_gpus(const Cluster& cluster) {
  const std::int64_t ports = cluster.fabric.switch_ports, down = leaf_ports(cluster.fabric).first;
  switch (cluster.fabric.kind) {
    case FabricKind::multi_plane:
      return down * ports * cluster.gpus_per_host;
    case FabricKind::multi_rail:
      return down * ports;
    case FabricKind::three_layer:
      return ports / 2 / cluster.gpus_per_host * cluster.gpus_per_host * down * ports;
  }
  return 0;
}

Topology build_topology(const Cluster& cluster, std::int64_t gpus) {
  check(cluster, gpus);
  Topology topology;
  topology.kind = cluster.fabric.kind;
  topology.gpus_per_node = static_cast<std::int32_t>(cluster.nvlink_domain);
  topology.rails = static_cast<std::int32_t>(cluster.gpus_per_host);
  // Whole domains of whole hosts, or the other way round: one is a multiple of the other.
  const std::int64_t whole = std::max(cluster.nvlink_domain, cluster.gpus_per_host);
  topology.gpus = static_cast<std::int32_t>((gpus + whole - 1) / whole * whole);
  topology.nodes = topology.gpus / topology.gpus_per_node;
  topology.hosts = topology.gpus / topology.rails;
  Builder builder{cluster, topology};
  const Fabric& fabric = cluster.fabric;
  std::tie(builder.down, builder.up) = leaf_ports(fabric);
  if (builder.up < 1 || builder.down < 1) {
    throw CannotCarry(fmt::format("a switch of {} ports leaves none up at {}:1: nothing can be routed",
                                  fabric.switch_ports, fabric.oversubscription),
                      "fabric", "lower \"oversubscription\" or raise \"switch_ports\"");
  }
  builder.endpoints();
  switch (fabric.kind) {
    case FabricKind::multi_plane:
      builder.multi_plane();
      break;
    case FabricKind::multi_rail:
      builder.multi_rail();
      break;
    case FabricKind::three_layer:
      builder.three_layers();
      break;
  }
  return topology;
}

std::string vertex_name(const Topology& topology, std::int32_t vertex) {
  const Vertex& v = topology.vertices[static_cast<std::size_t>(vertex)];
  const std::string rail = topology.kind == FabricKind::multi_plane ? "plane" : "rail";
  std::string prefix;
  if (v.pod >= 0 && v.kind != VertexKind::core) prefix = fmt::format("pod{}.", v.pod);
  if (v.rail >= 0 && v.kind >= VertexKind::leaf) prefix += fmt::format("{}{}.", rail, v.rail);
  switch (v.kind) {
    case VertexKind::gpu:
      return fmt::format("node{}.gpu{}", v.node, v.rail);
    case VertexKind::nvswitch:
      return fmt::format("node{}.nvswitch", v.node);
    case VertexKind::nic:
      return fmt::format("node{}.nic{}", v.node, v.rail);
    case VertexKind::leaf:
      return fmt::format("{}leaf{}", prefix, v.index);
    case VertexKind::spine:
      return fmt::format("{}spine{}", prefix, v.index);
    case VertexKind::core:
      return fmt::format("core{}.{}", v.pod, v.index);
  }
  return "";
}

std::string link_name(const Topology& topology, std::int32_t link) {
  const Link& l = topology.links[static_cast<std::size_t>(link)];
  std::string name = vertex_name(topology, l.from) + "->" + vertex_name(topology, l.to);
  if (l.tier == LinkTier::fabric) name += fmt::format("#{}", l.parallel);
  return name;
}

std::string tier_name(LinkTier tier) {
  constexpr const char* names[] = {"nvlink", "pcie", "nic", "fabric"};
  return names[static_cast<std::size_t>(tier)];
}

std::string fabric_name(FabricKind kind) {
  constexpr const char* names[] = {"multi_plane", "multi_rail", "three_layer"};
  return names[static_cast<std::size_t>(kind)];
}

void fail(Topology& topology, const std::string& name) {
  bool found = false;
  const auto covers = [&](const std::string& whole) { return whole == name || whole.starts_with(name + "."); };
  std::vector<bool> out(topology.vertices.size());
  for (std::size_t v = 0; v < out.size(); ++v) out[v] = covers(vertex_name(topology, static_cast<std::int32_t>(v)));
  const std::size_t dash = name.find('-');
  for (std::size_t l = 0; l < topology.links.size(); ++l) {
    Link& link = topology.links[l];
    bool hit = out[static_cast<std::size_t>(link.from)] || out[static_cast<std::size_t>(link.to)];
    if (!hit && dash != std::string::npos && dash > 0) {
      const std::string a = vertex_name(topology, link.from), b = vertex_name(topology, link.to);
      const std::string tail = link.tier == LinkTier::fabric ? fmt::format("#{}", link.parallel) : "";
      hit = a + "-" + b + tail == name || b + "-" + a + tail == name;
    }
    if (hit) link.failed = found = true;
  }
  if (!found) {
    throw CannotCarry(fmt::format("there is no '{}' in this topology", base::printable(name)), "--fail",
                      "name a switch (as in `hourglass topology --format dot`), plane0, node0.nic1, or a cable a-b#0");
  }
}

TopologySummary summarize(const Topology& topology, const Cluster& cluster) {
  TopologySummary summary;
  summary.endpoints = topology.gpus;
  for (const Vertex& vertex : topology.vertices) {
    summary.leaves += vertex.kind == VertexKind::leaf;
    summary.spines += vertex.kind == VertexKind::spine;
    summary.cores += vertex.kind == VertexKind::core;
  }
  for (const Link& link : topology.links) {
    const Vertex& from = topology.vertices[static_cast<std::size_t>(link.from)];
    const Vertex& to = topology.vertices[static_cast<std::size_t>(link.to)];
    if (link.tier == LinkTier::fabric && from.kind < to.kind) ++summary.links;
    if (link.failed) ++summary.failed_links;
    if (link.failed) continue;
    if (from.kind == VertexKind::leaf && to.kind == VertexKind::spine) summary.leaf_up_bandwidth += link.bandwidth;
    if (from.kind == VertexKind::nic && to.kind == VertexKind::leaf) summary.leaf_down_bandwidth += link.bandwidth;
  }
  summary.failed_links /= 2;
  const Fabric& fabric = cluster.fabric;
  summary.cost_usd = static_cast<double>(summary.switches()) * fabric.switch_usd +
                     static_cast<double>(summary.links) * fabric.link_usd +
                     static_cast<double>(summary.endpoints) * fabric.endpoint_usd;
  summary.same_leaf_latency_s = fabric.endpoint_latency_s + fabric.hop_latency_s;
  summary.cross_leaf_latency_s = summary.same_leaf_latency_s + 2.0 * fabric.hop_latency_s;
  summary.nvlink_latency_s = fabric.nvlink_latency_s;
  return summary;
}

}  // namespace hourglass::hardware
