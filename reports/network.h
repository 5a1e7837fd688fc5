#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"
#include "hardware/network/collectives.h"
#include "hardware/network/moe_traffic.h"

// How a topology, a collective and a MoE all-to-all are told.
namespace hourglass::reports {

struct CollectiveReport {
  std::string name, algorithm, routing;
  std::int64_t ranks = 0;
  double bytes = 0.0;  // of the collective; of one token for the MoE steps
  hardware::Transfer transfer;
  double algorithm_bandwidth = 0.0, bus_bandwidth = 0.0;
  bool moe = false;
  hardware::MoeTime moe_time;  // where `moe`
  std::int64_t sms = 0;        // that the kernels hold; 0: none, the NICs do the work
};

std::string topology_text(const hardware::Topology& topology, const hardware::TopologySummary& summary,
                          const std::string& cluster);
base::Json topology_json(const hardware::Topology& topology, const hardware::TopologySummary& summary,
                         const std::string& cluster, const base::Provenance& provenance);
// Fabrics side by side.
struct FabricRow {
  std::string fabric;
  hardware::TopologySummary summary;
};
std::string fabrics_text(const std::vector<FabricRow>& rows, std::int64_t switch_ports);
base::Json fabrics_json(const std::vector<FabricRow>& rows, const base::Provenance& provenance);
std::string collective_text(const hardware::Topology& topology, const CollectiveReport& report);
base::Json collective_json(const hardware::Topology& topology, const CollectiveReport& report,
                           const base::Provenance& provenance);

}  // namespace hourglass::reports
