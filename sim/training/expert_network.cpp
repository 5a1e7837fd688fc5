// The closed form of hardware/network_cost.cpp prices the all-to-all of one balanced group with the wires to itself.
// Here the same kernels run as flows (hardware/network/moe_traffic.cpp): all expert-parallel groups of the plan at once, over
// the plan's routing policy and what has failed, with tokens drawn from skewed expert loads if asked. The ratio to
// the flow time of one balanced group under switches that nobody shares is what contention and imbalance cost, and
// multiplies the closed form; balanced groups on a sound network give 1.
//
// All groups dispatch at the same moment, which is the worst case: with a pipeline, stages are out of step. Every group
// has the same routing. Groups that are spread over nodes (tensor or context parallelism inside them) are refused: the
// GPUs of a group are taken to be neighbours.
#include "sim/training/expert_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "hardware/network/moe_traffic.h"

namespace hourglass::sim {

namespace {

constexpr std::size_t shown_links = 5;

hardware::MoeRouting routing_of(const Inputs& in, const PlanNetwork& network) {
  const model::MixtureOfExperts& moe = *model::experts_of(in.model);
  const std::int64_t ranks = in.plan.parallel.expert, per_node = std::min(ranks, in.cluster.nvlink_domain);
  hardware::MoeRouting routing;
  routing.ranks = ranks;
  routing.ranks_per_node = per_node;
  routing.tokens = in.plan.micro_batch.sequences * in.plan.micro_batch.sequence_length /
                   (in.plan.parallel.tensor * in.plan.parallel.context);
  routing.top_k = moe.experts_per_token;
  // Groups of experts are nodes where there are as many; a limit on groups is then one on nodes.
  const std::int64_t nodes = ranks / per_node;
  routing.nodes_per_token = moe.groups > 1 ? std::min(nodes, moe.groups_per_token) : 0;
  if (!network.expert_loads.empty() && network.expert_loads.size() != static_cast<std::size_t>(moe.routed_experts)) {
    throw base::Error(fmt::format("there are {} loads for {} experts", network.expert_loads.size(), moe.routed_experts),
                      in.plan.name + " /network/expert_loads", "give one load an expert");
  }
  routing.loads = !network.expert_loads.empty() ? network.expert_loads
                  : network.expert_skew > 0.0   ? hardware::log_normal_loads(moe.routed_experts, network.expert_skew,
                                                                             static_cast<std::uint64_t>(network.seed))
                                                : hardware::uniform_loads(moe.routed_experts);
  return routing;
}

// The cluster with switches so large that a group's NICs of one rail hang off one of them: nothing but its own NICs and
// NVLink limits a group there, as in the closed form.
hardware::Cluster one_leaf(hardware::Cluster cluster, std::int64_t ranks) {
  cluster.fabric.kind = hardware::FabricKind::multi_plane;
  cluster.fabric.oversubscription = 1.0;
  cluster.fabric.switch_ports = std::max(cluster.fabric.switch_ports, 2 * ranks);
  return cluster;
}

std::vector<HotLink> hottest_links(const hardware::Topology& topology, const hardware::MoeTime& time) {
  std::vector<HotLink> links;
  for (const hardware::LinkUse& use : time.transfer.hottest) {
    if (links.size() < shown_links)
      links.push_back({hardware::link_name(topology, use.link), use.bytes, use.utilization});
  }
  return links;
}

}  // namespace

hardware::Conditions conditions_of(const ExpertNetwork* network, std::int64_t communication_sms) {
  if (network == nullptr) return {communication_sms};
  return {communication_sms, network->dispatch_factor, network->combine_factor, network->imbalance};
}

ExpertNetwork expert_network(const Inputs& in) {
  const PlanNetwork& network = *in.plan.network;
  if (in.plan.parallel.expert_tensor > 1) {
    throw hardware::CannotCarry("flows of experts split over GPUs are not modelled", in.plan.name + " /network",
                                "leave out network, or set expert_tensor_parallel to 1");
  }
  hardware::Topology topology = hardware::build_topology(in.cluster, in.plan.gpus);
  for (const std::string& name : network.failed) hardware::fail(topology, name);
  const hardware::MoeRouting routing = routing_of(in, network);
  const hardware::MoeTokens uniform = hardware::expected_tokens(routing);
  const hardware::MoeTokens tokens = network.expert_skew > 0.0 || !network.expert_loads.empty()
                                         ? hardware::draw_tokens(routing, static_cast<std::uint64_t>(network.seed))
                                         : uniform;
  const hardware::MoeParameters parameters = hardware::moe_parameters(in.profile);
  hardware::MoeShape shape;
  shape.hidden = in.model.hidden;
  shape.sms = in.plan.communication_sms;
  shape.fp8_dispatch = in.plan.precision == model::Precision::fp8_block;
  const std::int64_t groups = in.plan.gpus / routing.ranks;
  const hardware::Topology unshared = hardware::build_topology(one_leaf(in.cluster, routing.ranks), routing.ranks);
  ExpertNetwork result;
  for (const hardware::MoeStep step : {hardware::MoeStep::dispatch, hardware::MoeStep::combine}) {
    const auto alone = hardware::moe_time(unshared, hardware::RoutePolicy::destination_modulo, uniform, shape,
                                          hardware::MoeKernel::normal, step, parameters);
    const auto together = hardware::moe_time(topology, network.routing, tokens, shape, hardware::MoeKernel::normal,
                                             step, parameters, groups);
    const double factor = together.transfer.seconds / alone.transfer.seconds;
    if (step == hardware::MoeStep::combine) {
      result.combine_factor = factor;
      continue;
    }
    result.dispatch_factor = factor;
    result.imbalance = together.imbalance;
    result.dispatch_nvlink_bytes = together.rank_nvlink_bytes;
    result.dispatch_nic_bytes = together.rank_nic_bytes;
    result.hottest = hottest_links(topology, together);
    result.cells = hardware::link_cells(topology, together.transfer.utilization);
  }
  return result;
}

}  // namespace hourglass::sim
