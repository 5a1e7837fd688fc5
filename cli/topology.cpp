#include "cli/network.h"
#include "reports/network.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int topology(const Invocation& invocation) {
  po::options_description options("options");
  add_network_options(options);
  add_result_format(options, {"dot", "svg"});
  po::variables_map values;
  const Usage usage = {
      "hourglass topology [options]", "The network of a cluster: switches, links, cost and latency; or a drawing.", {}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats({"dot", "svg"}));
  const NetworkInputs inputs = read_network(invocation, values, 0);
  const hardware::TopologySummary summary = hardware::summarize(inputs.topology, inputs.cluster);
  if (format == "dot" || format == "svg") {
    write_out(format == "dot" ? hardware::topology_dot(inputs.topology) : hardware::topology_svg(inputs.topology));
  } else if (format == "text") {
    write_out(reports::topology_text(inputs.topology, summary, inputs.cluster.name));
  } else {
    const base::Json document =
        reports::topology_json(inputs.topology, summary, inputs.cluster.name, inputs.provenance);
    write_result(format, document, document);
  }
  return 0;
}

}  // namespace hourglass::cli
