// Drawings of a topology: Graphviz text, and an SVG in layers from cores down to nodes. A node's GPUs and NICs are one
// vertex, parallel cables one edge with their number; what has failed is dashed.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/svg_canvas.h"
#include "hardware/network/topology.h"

namespace hourglass::hardware {

namespace {

struct Edge {
  int cables = 0, failed = 0;
};

struct Drawing {
  std::vector<std::vector<std::string>> layers{4};            // cores, spines, leaves, nodes
  std::map<std::pair<std::string, std::string>, Edge> edges;  // upper, lower
};

Drawing drawing_of(const Topology& topology) {
  Drawing drawing;
  for (std::size_t v = static_cast<std::size_t>(topology.first_switch); v < topology.vertices.size(); ++v) {
    const VertexKind kind = topology.vertices[v].kind;
    const std::size_t layer = kind == VertexKind::core ? 0 : kind == VertexKind::spine ? 1 : 2;
    drawing.layers[layer].push_back(vertex_name(topology, static_cast<std::int32_t>(v)));
  }
  for (std::int32_t node = 0; node < topology.nodes; ++node) drawing.layers[3].push_back(fmt::format("node{}", node));
  for (const Link& link : topology.links) {
    const Vertex& from = topology.vertices[static_cast<std::size_t>(link.from)];
    const Vertex& to = topology.vertices[static_cast<std::size_t>(link.to)];
    if (link.tier < LinkTier::nic || from.kind > to.kind) continue;  // each cable once, upwards
    const std::string lower =
        link.tier == LinkTier::nic ? fmt::format("node{}", from.node) : vertex_name(topology, link.from);
    Edge& edge = drawing.edges[{vertex_name(topology, link.to), lower}];
    ++edge.cables;
    edge.failed += link.failed;
  }
  return drawing;
}

}  // namespace

std::string topology_dot(const Topology& topology) {
  const Drawing drawing = drawing_of(topology);
  std::string text = "graph topology {\n  rankdir=TB;\n  node [shape=box];\n";
  for (const auto& layer : drawing.layers) {
    if (layer.empty()) continue;
    text += "  { rank=same;";
    for (const std::string& name : layer) text += fmt::format(" \"{}\";", name);
    text += " }\n";
  }
  for (const auto& [ends, edge] : drawing.edges) {
    std::string attributes = edge.cables > 1 ? fmt::format("label=\"{}\"", edge.cables) : "";
    if (edge.failed > 0) attributes += fmt::format("{}style=dashed,color=red", attributes.empty() ? "" : ",");
    text += fmt::format("  \"{}\" -- \"{}\"{};\n", ends.first, ends.second,
                        attributes.empty() ? "" : " [" + attributes + "]");
  }
  return text + "}\n";
}

std::string topology_svg(const Topology& topology) {
  const Drawing drawing = drawing_of(topology);
  constexpr double box = 84.0, height = 120.0;
  std::size_t widest = 1;
  for (const auto& layer : drawing.layers) widest = std::max(widest, layer.size());
  const double width = box * static_cast<double>(widest);
  std::map<std::string, std::pair<double, double>> place;
  double y = 30.0;
  for (const auto& layer : drawing.layers) {
    if (layer.empty()) continue;
    for (std::size_t i = 0; i < layer.size(); ++i)
      place[layer[i]] = {width * (static_cast<double>(i) + 0.5) / static_cast<double>(layer.size()), y};
    y += height;
  }
  base::SvgCanvas canvas({width, y - height + 30.0, 9, "", "", false});
  for (const auto& [ends, edge] : drawing.edges) {
    const auto [ax, ay] = place[ends.first];
    const auto [bx, by] = place[ends.second];
    const std::string tip =
        fmt::format("{} - {}: {} cables, {} failed", ends.first, ends.second, edge.cables, edge.failed);
    const auto draw = [&, ax = ax, ay = ay, bx = bx, by = by](base::SvgAttributes more) {
      canvas.line({ax, 1}, {ay + 9.0, 1}, {bx, 1}, {by - 9.0, 1}, more, tip);
    };
    if (edge.failed > 0)
      draw({{"stroke", "#c00"}, {"stroke-width", "0.6"}, {"stroke-dasharray", "4 3"}});
    else
      draw({{"stroke", "#888"}, {"stroke-width", "0.6"}});
  }
  for (const auto& [name, at] : place) {
    canvas
        .rect({at.first - box / 2.0 + 2.0, 1}, {at.second - 9.0, 1}, {box - 4.0, 0}, "18",
              {{"rx", "3"}, {"fill", "#eef"}, {"stroke", "#446"}})
        .beside()
        .text({at.first, 1}, {at.second + 3.0, 1}, name, {{"text-anchor", "middle"}});
  }
  return std::move(canvas).take();
}

}  // namespace hourglass::hardware
