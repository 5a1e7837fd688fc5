#include "cli/network.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::cli {

namespace po = boost::program_options;

void add_network_options(po::options_description& options) {
  options.add_options()(
      "cluster", po::value<std::string>()->default_value("configs/clusters/h800.json")->value_name("FILE"),
      "the cluster")("gpus", po::value<std::int64_t>()->value_name("N"), "build only the first N GPUs of it")(
      "fail", po::value<std::vector<std::string>>()->composing()->value_name("NAME"),
      "take out a plane, switch, NIC or cable: plane0, plane1.spine2, node0.nic3; may be repeated")(
      "set", po::value<std::vector<std::string>>()->composing()->value_name("KEY=VALUE"),
      "override an input, e.g. cluster.fabric.kind=multi_rail; may be repeated");
}

NetworkInputs read_network(const Invocation& invocation, const po::variables_map& values, std::int64_t gpus) {
  NetworkInputs inputs;
  inputs.cluster_file = values["cluster"].as<std::string>();
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
  if (values.count("gpus") > 0) gpus = values["gpus"].as<std::int64_t>();
  if (gpus > 1 << 20)
    throw base::Error(fmt::format("{} GPUs are too many to draw every wire of", gpus), "--gpus",
                      "take at most 1048576");
  inputs.topology = hardware::build_topology(inputs.cluster, gpus);
  if (values.count("fail") > 0) {
    for (const std::string& name : values["fail"].as<std::vector<std::string>>()) hardware::fail(inputs.topology, name);
  }
  return inputs;
}

}  // namespace hourglass::cli
