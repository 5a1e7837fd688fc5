#include "sim/training/plan_operations.h"

#include "base/json.h"

namespace hourglass::sim {

void add_operation_blocks(base::Json& document) {
  if (!document.is_object()) return;
  for (const char* block : {"reliability", "energy", "uncertainty", "prices_per_gpu_hour"}) {
    if (!document.contains(block)) document[block] = base::Json::object();
  }
}

double power_per_gpu(const Energy& energy, const hardware::Cluster& cluster) {
  return energy.power_per_gpu > 0.0 ? energy.power_per_gpu : cluster.power_per_gpu;
}

}  // namespace hourglass::sim
