#include "reports/network.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/units.h"
#include "reports/json.h"

namespace hourglass::reports {

namespace {

using hardware::LinkTier;
constexpr LinkTier tiers[] = {LinkTier::nvlink, LinkTier::pcie, LinkTier::nic, LinkTier::fabric};

std::string bottleneck_name(const hardware::Topology& topology, const hardware::Transfer& transfer) {
  return transfer.bottleneck < 0 ? "none" : hardware::link_name(topology, transfer.bottleneck);
}

}  // namespace

std::string topology_text(const hardware::Topology& topology, const hardware::TopologySummary& summary,
                          const std::string& cluster) {
  const auto endpoints = static_cast<double>(summary.endpoints);
  std::string text = fmt::format("{}: {} GPUs in {} nodes of {}, {} fabric\n\n", cluster, topology.gpus, topology.nodes,
                                 topology.gpus_per_node, hardware::fabric_name(topology.kind));
  text += fmt::format("  switches            {:>10}   {} leaves, {} spines, {} cores\n", summary.switches(),
                      summary.leaves, summary.spines, summary.cores);
  text += fmt::format("  links               {:>10}   between switches; {} more to endpoints\n", summary.links,
                      summary.endpoints);
  if (summary.failed_links > 0) text += fmt::format("  failed links        {:>10}\n", summary.failed_links);
  text += fmt::format("  cost                {:>10.1f} M$ ({:.2f} k$ an endpoint)\n", summary.cost_usd / base::mega,
                      summary.cost_usd / base::kilo / endpoints);
  text += fmt::format("  NICs to leaves      {:>10.1f} TB/s\n", summary.leaf_down_bandwidth / base::tera);
  if (summary.links > 0)
    text += fmt::format("  leaves to spines    {:>10.1f} TB/s\n", summary.leaf_up_bandwidth / base::tera);
  text += fmt::format("  latency             {:>10.2f} us under one leaf, {:.2f} us across, {:.2f} us over NVLink\n",
                      summary.same_leaf_latency_s / base::micro, summary.cross_leaf_latency_s / base::micro,
                      summary.nvlink_latency_s / base::micro);
  return text;
}

base::Json topology_json(const hardware::Topology& topology, const hardware::TopologySummary& summary,
                         const std::string& cluster, const base::Provenance& provenance) {
  base::Json out = heading(provenance);
  out["cluster"] = cluster;
  out["fabric"] = hardware::fabric_name(topology.kind);
  out["gpus"] = topology.gpus;
  out["nodes"] = topology.nodes;
  out["endpoints"] = summary.endpoints;
  out["switches"] = {
      {"total", summary.switches()}, {"leaves", summary.leaves}, {"spines", summary.spines}, {"cores", summary.cores}};
  out["links"] = summary.links;
  out["failed_links"] = summary.failed_links;
  out["cost_usd"] = summary.cost_usd;
  out["cost_per_endpoint_usd"] = summary.cost_usd / static_cast<double>(summary.endpoints);
  out["nics_to_leaves_GBps"] = summary.leaf_down_bandwidth / base::giga;
  out["leaves_to_spines_GBps"] = summary.leaf_up_bandwidth / base::giga;
  out["latency_us"] = {{"same_leaf", summary.same_leaf_latency_s / base::micro},
                       {"cross_leaf", summary.cross_leaf_latency_s / base::micro},
                       {"nvlink", summary.nvlink_latency_s / base::micro}};
  return out;
}

std::string fabrics_text(const std::vector<FabricRow>& rows, std::int64_t switch_ports) {
  std::string text = fmt::format("largest fabrics of {}-port switches\n\n", switch_ports);
  text += fmt::format("  {:<12} {:>9} {:>9} {:>9} {:>9} {:>15}\n", "fabric", "endpoints", "switches", "links", "M$",
                      "k$ an endpoint");
  for (const FabricRow& row : rows) {
    const hardware::TopologySummary& s = row.summary;
    text += fmt::format("  {:<12} {:>9} {:>9} {:>9} {:>9.1f} {:>15.2f}\n", row.fabric, s.endpoints, s.switches(),
                        s.links, s.cost_usd / base::mega, s.cost_usd / base::kilo / static_cast<double>(s.endpoints));
  }
  return text;
}

base::Json fabrics_json(const std::vector<FabricRow>& rows, const base::Provenance& provenance) {
  base::Json out = heading(provenance);
  out["fabrics"] = base::Json::array();
  for (const FabricRow& row : rows) {
    out["fabrics"].push_back({{"fabric", row.fabric},
                              {"endpoints", row.summary.endpoints},
                              {"switches", row.summary.switches()},
                              {"links", row.summary.links},
                              {"cost_usd", row.summary.cost_usd}});
  }
  return out;
}

std::string collective_text(const hardware::Topology& topology, const CollectiveReport& report) {
  const hardware::Transfer& transfer = report.transfer;
  std::string text = fmt::format("{} ({}, {} routing), {} GPUs, {:.0f} bytes{}\n\n", report.name, report.algorithm,
                                 report.routing, report.ranks, report.bytes, report.moe ? " a token" : "");
  text += fmt::format("  time                {:>12.1f} us\n", transfer.seconds / base::micro);
  if (report.moe) {
    text += fmt::format("  logical bandwidth   {:>12.1f} GB/s   as DeepEP counts it\n",
                        report.moe_time.logical_bandwidth / base::giga);
    text += fmt::format("  on the wires        {:>12.2f} MB NVLink, {:.2f} MB NIC a GPU\n",
                        report.moe_time.rank_nvlink_bytes / base::mega, report.moe_time.rank_nic_bytes / base::mega);
    text += fmt::format("  imbalance           {:>12.3f}   fullest rank over the mean\n", report.moe_time.imbalance);
    if (report.sms > 0) text += fmt::format("  SMs                 {:>12}   {} channels\n", report.sms, report.sms / 2);
    if (report.moe_time.notify_s > 0.0)
      text += fmt::format("  notify              {:>12.1f} us   before it, not in the time\n",
                          report.moe_time.notify_s / base::micro);
  } else {
    text += fmt::format("  algorithm bandwidth {:>12.1f} GB/s\n", report.algorithm_bandwidth / base::giga);
    text += fmt::format("  bus bandwidth       {:>12.1f} GB/s\n", report.bus_bandwidth / base::giga);
  }
  for (const LinkTier tier : tiers) {
    text += fmt::format("  {:<19} {:>12.3f} GB over all links\n", hardware::tier_name(tier),
                        transfer.tier_bytes[static_cast<std::size_t>(tier)] / base::giga);
  }
  text += fmt::format("  bottleneck          {} ({:.3f} GB, busy {:.0f} % of the time)\n",
                      bottleneck_name(topology, transfer), transfer.bottleneck_bytes / base::giga,
                      transfer.bottleneck_utilization * 100.0);
  return text;
}

base::Json collective_json(const hardware::Topology& topology, const CollectiveReport& report,
                           const base::Provenance& provenance) {
  const hardware::Transfer& transfer = report.transfer;
  base::Json out = heading(provenance);
  out["collective"] = report.name;
  out["algorithm"] = report.algorithm;
  out["routing"] = report.routing;
  out["ranks"] = report.ranks;
  out[report.moe ? "bytes_a_token" : "bytes"] = report.bytes;
  out["time_s"] = transfer.seconds;
  if (report.moe) {
    out["logical_bandwidth_GBps"] = report.moe_time.logical_bandwidth / base::giga;
    out["nvlink_bytes_a_gpu"] = report.moe_time.rank_nvlink_bytes;
    out["nic_bytes_a_gpu"] = report.moe_time.rank_nic_bytes;
    out["imbalance"] = report.moe_time.imbalance;
    out["sms"] = report.sms;
    out["notify_s"] = report.moe_time.notify_s;
  } else {
    out["algorithm_bandwidth_GBps"] = report.algorithm_bandwidth / base::giga;
    out["bus_bandwidth_GBps"] = report.bus_bandwidth / base::giga;
  }
  base::Json bytes = base::Json::object();
  for (const LinkTier tier : tiers)
    bytes[hardware::tier_name(tier)] = transfer.tier_bytes[static_cast<std::size_t>(tier)];
  out["tier_bytes"] = bytes;
  out["flows"] = transfer.flows;
  out["bottleneck"] = {{"link", bottleneck_name(topology, transfer)},
                       {"bytes", transfer.bottleneck_bytes},
                       {"utilization", transfer.bottleneck_utilization}};
  return out;
}

}  // namespace hourglass::reports
