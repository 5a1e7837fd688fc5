#include "hardware/network/link_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace hourglass::hardware {

namespace {

const char* name_of(VertexKind kind) {
  constexpr const char* names[] = {"GPU", "NVSwitch", "NIC", "leaf", "spine", "core"};
  return names[static_cast<std::size_t>(kind)];
}

// The end nearer to the GPU says where a link is: its index in the node, its plane or rail, or its pod.
std::pair<int, std::string> place_of(const Topology& topology, const Vertex& from, const Vertex& to) {
  const Vertex& near = from.kind < to.kind ? from : to;
  const char* part = topology.kind == FabricKind::multi_plane ? "plane" : "rail";
  if (near.rail >= 0) return {near.rail, fmt::format("{} {}", part, near.rail)};
  if (near.pod >= 0) return {near.pod, fmt::format("pod {}", near.pod)};
  return {0, "all"};
}

}  // namespace

std::vector<LinkCell> link_cells(const Topology& topology, const std::vector<double>& utilization) {
  std::map<std::tuple<VertexKind, VertexKind, VertexKind, int>, LinkCell> cells;  // near, far, from, place
  for (std::size_t l = 0; l < topology.links.size(); ++l) {
    const Link& link = topology.links[l];
    const Vertex &from = topology.vertices[static_cast<std::size_t>(link.from)],
                 &to = topology.vertices[static_cast<std::size_t>(link.to)];
    const auto [place, name] = place_of(topology, from, to);
    const std::tuple key(std::min(from.kind, to.kind), std::max(from.kind, to.kind), from.kind, place);
    LinkCell& cell = cells[key];
    if (cell.links++ == 0) {
      cell.kind = fmt::format("{} to {}", name_of(from.kind), name_of(to.kind));
      cell.place = name;
    }
    if (link.failed) {
      ++cell.failed;
      continue;
    }
    const bool first = cell.links - cell.failed == 1;
    cell.least = first ? utilization[l] : std::min(cell.least, utilization[l]);
    cell.most = std::max(cell.most, utilization[l]);
    cell.mean += utilization[l];
  }
  std::vector<LinkCell> out;
  for (auto& [key, cell] : cells) {
    if (cell.links > cell.failed) cell.mean /= static_cast<double>(cell.links - cell.failed);
    out.push_back(std::move(cell));
  }
  return out;
}

}  // namespace hourglass::hardware
