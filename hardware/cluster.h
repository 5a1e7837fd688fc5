#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fields.h"

namespace hourglass::base {
struct DescribedKey;
}

namespace hourglass::hardware {

// How the NICs are joined (hardware/network/topology.h builds it). Each GPU has its own NIC; NICs of one index form a rail.
//   multi_plane: a separate two-layer fat tree a rail (MPFT; Insights into DeepSeek-V3, ISCA'25, section 5.1)
//   multi_rail:  one two-layer fat tree; each leaf serves one rail, all leaves share the spines (MRFT)
//   three_layer: pods of leaves and spines under a layer of cores (FT3)
enum class FabricKind : std::uint8_t { multi_plane, multi_rail, three_layer };

// Latencies reproduce table 5 of the same paper for 64 bytes over InfiniBand: 2.8 us under one leaf, 3.7 us across
// leaves (two switches more), 3.33 us over NVLink. Unit costs: hardware/network/topology.cpp says where they come from.
struct Fabric {
  FabricKind kind = FabricKind::three_layer;
  std::int64_t switch_ports = 64;
  double oversubscription = 1.0;        // ports down : ports up at a leaf
  double pcie_bandwidth = 64e9;         // GPU to NIC, one direction: PCIe 5.0 x16, 32 GT/s x 16 lanes
  double endpoint_latency_s = 2.35e-6;  // both ends of a message together, without switches
  double hop_latency_s = 0.45e-6;       // a switch
  double nvlink_latency_s = 3.33e-6;    // GPU to GPU inside an NVLink domain
  double switch_usd = 21533.0, link_usd = 2425.0, endpoint_usd = 956.0;
};

// What tensor cores multiply. fp8: block-scaled, partial sums promoted every 128 elements of k; fp8_tensor: one scale
// for the whole tensor.
enum class MathType : std::uint8_t { bf16, fp8, fp8_tensor };
std::vector<MathType> every_math_type();

// The tiles that GEMM kernels for this GPU choose among: heights x widths, as large as the accumulators allow, in steps
// of k.
struct GemmTiles {
  std::vector<std::int64_t> heights = {64, 128, 256};
  std::vector<std::int64_t> widths = {16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256};
  std::int64_t largest = 128 * 256;  // elements
  std::int64_t k_step = 128;
};

// A homogeneous cluster: one kind of GPU, hosts of GPUs with a NIC each, and domains of GPUs around an NVLink switch. A
// host has one domain in most machines; a rack of GB200s is one domain of many hosts. What a message crosses asks for
// the domain; what is bought, breaks and draws power is a host. SI units. Every constant carries a citation in the
// file; `read_cluster` refuses one without.
struct Cluster {
  std::string name;
  std::string gpu;  // "H800 SXM5"
  std::int64_t sms = 0;
  double bf16_flops = 0.0;  // dense tensor-core peak, FLOP/s
  double fp8_flops = 0.0;   // 0: no FP8 tensor cores (A100)
  std::vector<MathType> math_types = every_math_type();
  GemmTiles gemm_tiles;
  double memory_bytes = 0.0;       // HBM a GPU
  double memory_bandwidth = 0.0;   // HBM peak, bytes/s
  std::int64_t nvlink_domain = 0;  // GPUs that reach each other over NVLink
  std::int64_t gpus_per_host = 0;
  double nvlink_bandwidth = 0.0;    // a GPU, one direction, peak, bytes/s
  double nic_bandwidth = 0.0;       // a GPU's share of its host's NICs, one direction, peak, bytes/s
  std::int64_t gpus = 0;            // how many there are; a plan may use fewer
  double price_per_gpu_hour = 0.0;  // USD
  double power_per_gpu = 0.0;       // W, with its share of the host; 0: not known
  double host_launch_s = 0.0;       // of the host to issue one kernel; 0: not modelled
  Fabric fabric;
  std::string profile;                         // the profile measured on this GPU, a name or a path (base/configs.h)
  std::map<std::string, std::string> sources;  // of each constant, by its key in the file
};

bool has_math(const Cluster& cluster, MathType math);

// `document` is a parsed configs/clusters/*.json; `file` is named in errors.
Cluster read_cluster(const base::Json& document, const std::string& file);

// What a cluster file may hold: as a JSON schema, and as a section of the reference.
std::vector<base::DescribedKey> cluster_keys();

}  // namespace hourglass::hardware
