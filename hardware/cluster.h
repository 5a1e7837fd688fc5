#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"

namespace hourglass::hardware {

// A homogeneous cluster: one kind of GPU, nodes with an all-to-all NVLink switch, one or more NICs a node. SI units.
// Every constant carries a citation in the file; `read_cluster` refuses one without.
struct Cluster {
  std::string name;
  std::string gpu;  // "H800 SXM5"
  std::int64_t sms = 0;
  double bf16_flops = 0.0;        // dense tensor-core peak, FLOP/s
  double fp8_flops = 0.0;         // 0: no FP8 tensor cores (A100)
  double memory_bytes = 0.0;      // HBM a GPU
  double memory_bandwidth = 0.0;  // HBM peak, bytes/s
  std::int64_t gpus_per_node = 0;
  double nvlink_bandwidth = 0.0;    // a GPU, one direction, peak, bytes/s
  double nic_bandwidth = 0.0;       // a GPU's share of the node's NICs, one direction, peak, bytes/s
  std::int64_t gpus = 0;            // how many there are; a plan may use fewer
  double price_per_gpu_hour = 0.0;  // USD
  std::string profile;              // the profile measured on this GPU, a name under configs/profiles
};

// `document` is a parsed configs/clusters/*.json; `file` is named in errors.
Cluster read_cluster(const base::Json& document, const std::string& file);

}  // namespace hourglass::hardware
