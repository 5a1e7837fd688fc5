#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/network.h"
#include "reports/network.h"

namespace hourglass::cli {

namespace {

int table(const Invocation& invocation, const Values& values, const std::string& format) {
  NetworkInputs inputs = read_network(invocation, values, 1);
  std::vector<reports::FabricRow> rows;
  for (const auto kind :
       {hardware::FabricKind::multi_rail, hardware::FabricKind::multi_plane, hardware::FabricKind::three_layer}) {
    hardware::Cluster cluster = inputs.cluster;
    cluster.fabric.kind = kind;
    cluster.gpus = hardware::most_gpus(cluster);
    if (cluster.gpus < 1 || cluster.gpus > 1 << 20)
      throw base::Error(fmt::format("the largest {} joins {} GPUs", hardware::fabric_name(kind), cluster.gpus),
                        "--table", "take switches for 1 to 1048576, e.g. of 64 ports");
    rows.push_back(
        {hardware::fabric_name(kind), hardware::summarize(hardware::build_topology(cluster, cluster.gpus), cluster)});
  }
  if (format == "dot" || format == "svg")
    throw base::UsageError("a table is not drawn", "--format", "take text, json, csv, jsonl or markdown");
  write_result(format, {[&] { return reports::fabrics_text(rows, inputs.cluster.fabric.switch_ports); },
                        [&] { return reports::fabrics_json(rows, inputs.provenance); },
                        {"fabrics"}});
  return 0;
}

}  // namespace

int topology(const Invocation& invocation) {
  Options options;
  add_network_options(options);
  options.flag("table", "the largest fabric of each kind that the cluster's switches make, side by side");
  add_result_format(options, {"dot", "svg"});
  Values values;
  const Usage usage = {
      "hourglass topology [options]", "The network of a cluster: switches, links, cost and latency; or a drawing.", {}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats({"dot", "svg"}));
  if (values.has("table")) return table(invocation, values, format);
  const NetworkInputs inputs = read_network(invocation, values, 0);
  const hardware::TopologySummary summary = hardware::summarize(inputs.topology, inputs.cluster);
  write_result(
      format, {[&] { return reports::topology_text(inputs.topology, summary, inputs.cluster.name); },
               [&] { return reports::topology_json(inputs.topology, summary, inputs.cluster.name, inputs.provenance); },
               {""},
               {{"dot", [&] { return hardware::topology_dot(inputs.topology); }},
                {"svg", [&] { return hardware::topology_svg(inputs.topology); }}}});
  return 0;
}

}  // namespace hourglass::cli
