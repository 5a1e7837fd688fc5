#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "hardware/cluster.h"

// The cluster's wires as data: vertices (GPUs, NVSwitches, NICs, switches) and directed links with bandwidth and
// latency.
namespace hourglass::hardware {

// What a network cannot do, which only its wires show: no way between two GPUs, a fabric too small, ranks that do not
// fill nodes.
class CannotCarry : public base::Error {
 public:
  using Error::Error;
};

enum class VertexKind : std::uint8_t { gpu, nvswitch, nic, leaf, spine, core };
enum class LinkTier : std::uint8_t { nvlink, pcie, nic, fabric };  // fabric: between switches

struct Vertex {
  VertexKind kind = VertexKind::gpu;
  std::int32_t node = -1;    // GPUs, NVSwitches, NICs
  std::int32_t rail = -1;    // index of the GPU or NIC in its node; plane or rail of a switch, -1 if it serves all
  std::int32_t pod = -1;     // FT3
  std::int32_t index = 0;    // among the switches of its kind, plane, rail and pod
  std::int64_t divisor = 1;  // destination-modulo routing: output = destination / divisor modulo outputs
};

struct Link {
  std::int32_t from = 0, to = 0;  // vertices
  double bandwidth = 0.0;         // bytes/s
  double latency_s = 0.0;
  LinkTier tier = LinkTier::nvlink;
  std::int32_t parallel = 0;  // number among the links of the same two ends
  bool failed = false;
};

// A node is an NVLink domain. Its GPUs' NICs are on the rails by their place in the host: of one host a node, as many
// rails as GPUs a node.
struct Topology {
  FabricKind kind = FabricKind::three_layer;
  std::int32_t gpus = 0, nodes = 0, gpus_per_node = 0;
  std::int32_t hosts = 0, rails = 0;
  std::int32_t first_switch = 0;          // vertices from here on are leaves, spines and cores
  std::vector<Vertex> vertices;           // GPUs, then NVSwitches, NICs, switches
  std::vector<Link> links;                // six a GPU in the order of the functions below, then those between switches
  std::vector<std::int32_t> leaf_of_nic;  // vertex, by GPU
};

// Links of GPU g. "in" and "down" point to the GPU.
constexpr std::int32_t nvlink_out(std::int32_t gpu) { return 6 * gpu; }
constexpr std::int32_t nvlink_in(std::int32_t gpu) { return 6 * gpu + 1; }
constexpr std::int32_t pcie_up(std::int32_t gpu) { return 6 * gpu + 2; }
constexpr std::int32_t pcie_down(std::int32_t gpu) { return 6 * gpu + 3; }
constexpr std::int32_t nic_up(std::int32_t gpu) { return 6 * gpu + 4; }
constexpr std::int32_t nic_down(std::int32_t gpu) { return 6 * gpu + 5; }

// The first `gpus` GPUs of the cluster, in whole nodes and hosts. Throws Error if they are more than the cluster has, if a
// bandwidth is not positive, or if the fabric cannot be built from its switches.
Topology build_topology(const Cluster& cluster, std::int64_t gpus);

// The most GPUs that the fabric's kind joins with its switches; 0 if none.
std::int64_t most_gpus(const Cluster& cluster);

// Takes out what `name` names: a vertex ("plane3.leaf0", "node7.nic2", "spine4"), everything of a plane, rail, pod or
// node ("plane3"), or one cable ("plane0.leaf0-plane0.spine1#2", both directions). Throws Error if there is no such thing.
void fail(Topology& topology, const std::string& name);

std::string vertex_name(const Topology& topology, std::int32_t vertex);
std::string link_name(const Topology& topology, std::int32_t link);  // "plane0.leaf1->plane0.spine2#3"
std::string tier_name(LinkTier tier);
std::string fabric_name(FabricKind kind);

struct TopologySummary {
  std::int64_t endpoints = 0;  // NICs = GPUs
  std::int64_t leaves = 0, spines = 0, cores = 0;
  std::int64_t links = 0;  // cables between switches; each endpoint has one more
  std::int64_t failed_links = 0;
  double cost_usd = 0.0;
  double leaf_up_bandwidth = 0.0, leaf_down_bandwidth = 0.0;  // totals that still work, bytes/s
  double same_leaf_latency_s = 0.0, cross_leaf_latency_s = 0.0, nvlink_latency_s = 0.0;
  std::int64_t switches() const { return leaves + spines + cores; }
};
TopologySummary summarize(const Topology& topology, const Cluster& cluster);

// Graphviz: switches, and nodes as one vertex each; parallel cables as one edge with their number.
std::string topology_dot(const Topology& topology);
// The same drawn in layers: cores, spines, leaves, nodes.
std::string topology_svg(const Topology& topology);

}  // namespace hourglass::hardware
