#include "hardware/cluster.h"

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace hourglass::hardware {

namespace {

// A constant nobody can check is worth nothing: each needs an entry under "sources".
void require_sources(base::Fields& fields, const std::vector<std::string>& constants) {
  base::Fields sources = fields.object("sources");
  for (const std::string& key : constants) {
    if (!fields.has(key)) continue;
    if (sources.text(key).empty()) sources.fail(key, "the citation is empty", "say where the figure comes from");
  }
  sources.finish();
}

Fabric read_fabric(base::Fields fields) {
  Fabric fabric;
  const std::string kind = fields.choice("kind", {"multi_plane", "multi_rail", "three_layer"});
  if (kind == "multi_plane") fabric.kind = FabricKind::multi_plane;
  if (kind == "multi_rail") fabric.kind = FabricKind::multi_rail;
  fabric.switch_ports = fields.integer_or("switch_ports", fabric.switch_ports, 2, 1024);
  fabric.oversubscription = fields.number_or("oversubscription", fabric.oversubscription, 1.0, 64.0);
  fabric.pcie_bandwidth = fields.number_or("pcie_GBps", fabric.pcie_bandwidth / base::giga, 1e-3, 1e6) * base::giga;
  const auto latency = [&](const char* key, double& value) {
    value = fields.number_or(key, value / base::micro, 0.0, 1e6) * base::micro;
  };
  latency("endpoint_latency_us", fabric.endpoint_latency_s);
  latency("hop_latency_us", fabric.hop_latency_s);
  latency("nvlink_latency_us", fabric.nvlink_latency_s);
  fabric.switch_usd = fields.number_or("switch_USD", fabric.switch_usd, 0.0, 1e9);
  fabric.link_usd = fields.number_or("link_USD", fabric.link_usd, 0.0, 1e9);
  fabric.endpoint_usd = fields.number_or("endpoint_USD", fabric.endpoint_usd, 0.0, 1e9);
  fields.finish();
  return fabric;
}

}  // namespace

Cluster read_cluster(const base::Json& document, const std::string& file) {
  base::Fields fields(document, file);
  Cluster cluster;
  cluster.name = fields.text("name");
  cluster.gpu = fields.text("gpu");
  cluster.sms = fields.integer("sms", 1, 10000);
  cluster.bf16_flops = fields.number("bf16_TFLOPS", 1e-3, 1e6) * base::tera;
  cluster.fp8_flops = fields.number_or("fp8_TFLOPS", 0.0, 0.0, 1e6) * base::tera;
  cluster.memory_bytes = fields.number("memory_GiB", 1.0, 1e6) * base::gibi;
  cluster.memory_bandwidth = fields.number("memory_GBps", 1.0, 1e6) * base::giga;
  cluster.gpus_per_node = fields.integer("gpus_per_node", 1, 1024);
  cluster.nvlink_bandwidth = fields.number("nvlink_GBps", 1e-3, 1e6) * base::giga;
  cluster.nic_bandwidth = fields.number("nic_GBps", 1e-3, 1e6) * base::giga;
  cluster.gpus = fields.integer("gpus", 1, 10'000'000);
  cluster.price_per_gpu_hour = fields.number("price_USD_per_gpu_hour", 0.0, 1e6);
  cluster.host_launch_s = fields.number_or("host_launch_us", 0.0, 0.0, 1e4) * base::micro;
  if (fields.has("fabric")) cluster.fabric = read_fabric(fields.object("fabric"));
  cluster.profile = fields.text("profile");
  require_sources(fields, {"sms", "bf16_TFLOPS", "fp8_TFLOPS", "memory_GiB", "memory_GBps", "gpus_per_node",
                           "nvlink_GBps", "nic_GBps", "gpus", "price_USD_per_gpu_hour", "host_launch_us", "fabric"});
  fields.finish();
  return cluster;
}

}  // namespace hourglass::hardware
