#include "cli/network.h"

#include <fmt/format.h>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"

namespace hourglass::cli {

void add_network_options(Options& options) {
  options.text("cluster", "CLUSTER", "a name or a file", "h800");
  options.number<std::int64_t>("gpus", "N", "build only the first N GPUs of it");
  options.texts("fail", "NAME",
                "take out a plane, switch, NIC or cable: plane0, plane1.spine2, node0.nic3; may be repeated");
  options.texts("set", "KEY=VALUE", "override an input, e.g. cluster.fabric.kind=multi_rail; may be repeated");
}

NetworkInputs read_network(const Invocation& invocation, const Values& values, std::int64_t gpus) {
  NetworkInputs inputs;
  inputs.cluster_file = base::resolve(base::Config::cluster, values.text("cluster"));
  base::JsonFile file = base::load_json(inputs.cluster_file);
  inputs.provenance.argv = invocation.argv;
  inputs.provenance.inputs.push_back({inputs.cluster_file, file.text_hash});
  for (const std::string& assignment : overrides(values)) {
    if (!assignment.starts_with("cluster."))
      throw base::UsageError(fmt::format("'{}' does not begin with cluster.", base::printable(assignment)), "--set",
                             "write e.g. cluster.nic_GBps=25");
    base::apply_override(file.value, assignment.substr(8));
  }
  inputs.cluster = hardware::read_cluster(file.value, inputs.cluster_file);
  if (gpus == 0) gpus = inputs.cluster.gpus;
  if (values.has("gpus")) gpus = values.get<std::int64_t>("gpus");
  if (gpus > 1 << 20)
    throw base::Error(fmt::format("{} GPUs are too many to draw every wire of", gpus), "--gpus",
                      "take at most 1048576");
  inputs.topology = hardware::build_topology(inputs.cluster, gpus);
  if (values.has("fail")) {
    for (const std::string& name : values.texts("fail")) hardware::fail(inputs.topology, name);
  }
  return inputs;
}

}  // namespace hourglass::cli
