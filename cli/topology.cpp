#include "cli/network.h"
#include "reports/network.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int topology(const Invocation& invocation) {
  po::options_description options("options");
  add_network_options(options);
  add_format(options, "text (default), json, dot or svg");
  po::variables_map values;
  const Usage usage = {
      "hourglass topology [options]", "The network of a cluster: switches, links, cost and latency; or a drawing.", {}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, {"text", "json", "dot", "svg"});
  const NetworkInputs inputs = read_network(invocation, values, 0);
  const hardware::TopologySummary summary = hardware::summarize(inputs.topology, inputs.cluster);
  if (format == "text") write_out(reports::topology_text(inputs.topology, summary, inputs.cluster.name));
  if (format == "json")
    write_out(reports::topology_json(inputs.topology, summary, inputs.cluster.name, inputs.provenance).dump(2) + "\n");
  if (format == "dot") write_out(hardware::topology_dot(inputs.topology));
  if (format == "svg") write_out(hardware::topology_svg(inputs.topology));
  return 0;
}

}  // namespace hourglass::cli
