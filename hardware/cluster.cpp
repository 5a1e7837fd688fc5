#include "hardware/cluster.h"

#include "base/error.h"
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
  cluster.profile = fields.text("profile");
  require_sources(fields, {"sms", "bf16_TFLOPS", "fp8_TFLOPS", "memory_GiB", "memory_GBps", "gpus_per_node",
                           "nvlink_GBps", "nic_GBps", "gpus", "price_USD_per_gpu_hour"});
  fields.finish();
  return cluster;
}

}  // namespace hourglass::hardware
