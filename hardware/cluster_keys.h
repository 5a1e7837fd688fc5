#pragma once

// The keys of a cluster file, each described once (base/describe.h says how); reading, the schema and the reference
// derive from it.
#include "base/describe.h"
#include "hardware/cluster.h"

namespace hourglass::hardware {

// A cluster as its file states it: where a host is one NVLink domain, `gpus_per_node` is the word for both.
struct ClusterFile : Cluster {
  std::int64_t gpus_per_node = 0;
};

template <class V>
void describe(V& v, GemmTiles& t) {
  v.required("heights", t.heights, base::range(1, 65536), "of a tile, in rows of the output");
  v.required("widths", t.widths, base::range(1, 65536), "of a tile, in columns of the output");
  v.required("largest", t.largest, base::range(1, 1e9), "elements of a tile: what the accumulators hold");
  v.required("k_step", t.k_step, base::range(1, 65536), "elements of k that a tile takes at a time");
}

template <class V>
void describe(V& v, Fabric& f) {
  const base::Plain latency =
      base::range(0.0, 1e6, base::unit::us).from("table 5 of Insights into DeepSeek-V3, arXiv 2505.09343");
  const base::Plain price =
      base::range(0.0, 1e9, base::unit::USD).from("table 3 of Insights into DeepSeek-V3, arXiv 2505.09343");
  v.required("kind", f.kind, base::choice({"multi_plane", "multi_rail", "three_layer"}),
             "a two-layer fat tree for each rail, one for all rails, or pods under a layer of cores");
  v.optional("switch_ports", f.switch_ports, base::range(2, 1024), "ports of a switch");
  v.optional("oversubscription", f.oversubscription, base::range(1.0, 64.0), "ports down over ports up at a leaf");
  v.optional("pcie_GBps", f.pcie_bandwidth, base::range(1e-3, 1e6, base::unit::GBps).from("PCIe 5.0 x16"),
             "GPU to NIC, one direction");
  v.optional("endpoint_latency_us", f.endpoint_latency_s, latency, "both ends of a message, without switches");
  v.optional("hop_latency_us", f.hop_latency_s, latency, "of a switch");
  v.optional("nvlink_latency_us", f.nvlink_latency_s, latency, "GPU to GPU inside an NVLink domain");
  v.optional("switch_USD", f.switch_usd, price, "a switch");
  v.optional("link_USD", f.link_usd, price, "a cable between switches");
  v.optional("endpoint_USD", f.endpoint_usd, price, "a NIC and its cable");
}

template <class V>
void describe(V& v, ClusterFile& c) {
  v.required("name", c.name, "of the cluster");
  v.required("gpu", c.gpu, "what GPUs it has");
  v.required("sms", c.sms, base::range(1, 10000).cited(), "streaming multiprocessors of a GPU");
  v.required("bf16_TFLOPS", c.bf16_flops, base::range(1e-3, 1e6, base::unit::TFLOPS).cited(),
             "dense tensor-core peak of a GPU");
  v.optional("fp8_TFLOPS", c.fp8_flops, base::range(0.0, 1e6, base::unit::TFLOPS).cited().otherwise("no FP8"),
             "the same in FP8; 0: no FP8");
  v.optional("math_types", c.math_types,
             base::choice({"bf16", "fp8_block", "fp8_tensor"})
                 .cited()
                 .otherwise("bf16, and both FP8 where fp8_TFLOPS is given"),
             "what the tensor cores multiply");
  v.optional("gemm_tiles", c.gemm_tiles,
             base::block().cited().from("DeepGEMM's candidates on Hopper").otherwise("Hopper's"),
             "the tiles that GEMM kernels choose among");
  v.required("memory_GiB", c.memory_bytes, base::range(1.0, 1e6, base::unit::GiB).cited(), "HBM of a GPU");
  v.required("memory_GBps", c.memory_bandwidth, base::range(1.0, 1e6, base::unit::GBps).cited(), "its peak bandwidth");
  v.optional("gpus_per_node", c.gpus_per_node,
             base::range(1, 1024).cited().otherwise("nvlink_domain and gpus_per_host"),
             "GPUs of a host whose GPUs are one NVLink domain");
  v.optional("nvlink_domain", c.nvlink_domain, base::range(1, 1024).cited().otherwise("gpus_per_node"),
             "GPUs that reach each other over NVLink");
  v.optional("gpus_per_host", c.gpus_per_host, base::range(1, 1024).cited().otherwise("gpus_per_node"),
             "GPUs of a host: they fail, are spared and bought together");
  v.required("nvlink_GBps", c.nvlink_bandwidth, base::range(1e-3, 1e6, base::unit::GBps).cited(),
             "NVLink of a GPU, one direction");
  v.required("nic_GBps", c.nic_bandwidth, base::range(1e-3, 1e6, base::unit::GBps).cited(),
             "a GPU's share of its host's NICs, one direction");
  v.required("gpus", c.gpus, base::range(1, 10'000'000).cited(), "how many there are; a plan may use fewer");
  v.required("price_USD_per_gpu_hour", c.price_per_gpu_hour, base::range(0.0, 1e6, base::unit::USD).cited(),
             "of a GPU for an hour");
  v.optional("power_W_per_gpu", c.power_per_gpu, base::range(1.0, 1e5, base::unit::W).cited().otherwise("not known"),
             "of a GPU with its share of the host");
  v.optional("host_launch_us", c.host_launch_s, base::range(0.0, 1e4, base::unit::us).cited(),
             "of the host to issue one kernel; 0: not modelled");
  v.optional("fabric", c.fabric, base::block().cited().otherwise("three layers of 64-port switches"),
             "how the NICs are joined");
  v.required("profile", c.profile, "measured on this GPU, a name under configs/profiles");
  v.sources(c.sources);
}

// What keys must fulfil together.
void check(const GemmTiles& tiles, const base::Fields& fields);
void check(const ClusterFile& cluster, const base::Fields& fields);

}  // namespace hourglass::hardware
