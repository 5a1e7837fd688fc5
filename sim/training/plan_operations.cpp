#include "sim/training/plan_operations.h"

#include "base/json.h"

namespace hourglass::sim {

void add_operation_blocks(base::Json& document) {
  if (!document.is_object()) return;
  for (const char* block : {"reliability", "energy", "uncertainty", "prices_per_gpu_hour"}) {
    if (!document.contains(block)) document[block] = base::Json::object();
  }
}

double power_per_gpu(const Energy& energy, const std::string& gpu) {
  if (energy.power_per_gpu > 0.0) return energy.power_per_gpu;
  for (const char* hopper : {"H100", "H200", "H800"}) {
    if (gpu.find(hopper) != std::string::npos) return 10200.0 / 8.0;
  }
  return gpu.find("A100") != std::string::npos ? 6500.0 / 8.0 : 0.0;
}

}  // namespace hourglass::sim
