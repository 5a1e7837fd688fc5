#include "hardware/cluster_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::hardware {

namespace {

void check_nodes(const ClusterFile& c, const base::Fields& fields) {
  if (c.gpus_per_node == 0) {
    if (c.nvlink_domain == 0 && c.gpus_per_host == 0) fields.fail("gpus_per_node", "is missing", "add it");
    if (c.nvlink_domain == 0) fields.fail("nvlink_domain", "is missing beside gpus_per_host", "add it");
    if (c.gpus_per_host == 0) fields.fail("gpus_per_host", "is missing beside nvlink_domain", "add it");
    if (c.nvlink_domain % c.gpus_per_host != 0 && c.gpus_per_host % c.nvlink_domain != 0) {
      fields.fail("nvlink_domain",
                  fmt::format("{} GPUs on NVLink are no whole hosts of {}", c.nvlink_domain, c.gpus_per_host),
                  "give a multiple or a divisor of gpus_per_host");
    }
    return;
  }
  for (const auto& [key, value] : {std::pair{"nvlink_domain", c.nvlink_domain}, {"gpus_per_host", c.gpus_per_host}}) {
    if (value != 0 && value != c.gpus_per_node) {
      fields.fail(key, fmt::format("{} contradicts gpus_per_node = {}", value, c.gpus_per_node),
                  "where the two differ, leave out gpus_per_node");
    }
  }
}

}  // namespace

void check(const GemmTiles& t, const base::Fields& fields) {
  const auto smallest = [](const std::vector<std::int64_t>& sizes) {
    return sizes.empty() ? 0 : *std::min_element(sizes.begin(), sizes.end());
  };
  if (t.heights.empty() || t.widths.empty()) fields.fail("heights", "there is no tile", "give heights and widths");
  if (smallest(t.heights) * smallest(t.widths) > t.largest)
    fields.fail("largest", fmt::format("no tile has at most {} elements", t.largest), "raise it");
}

void check(const ClusterFile& c, const base::Fields& fields) {
  check_nodes(c, fields);
  if (!c.sources.contains("math_types")) return;
  if (!has_math(c, MathType::bf16)) fields.fail("math_types", "bf16 is not among them", "add it");
  if (c.fp8_flops <= 0.0 && (has_math(c, MathType::fp8) || has_math(c, MathType::fp8_tensor)))
    fields.fail("math_types", "there is FP8 among them, but no fp8_TFLOPS", "add it");
}

std::vector<MathType> every_math_type() { return {MathType::bf16, MathType::fp8, MathType::fp8_tensor}; }

bool has_math(const Cluster& cluster, MathType math) {
  return std::find(cluster.math_types.begin(), cluster.math_types.end(), math) != cluster.math_types.end();
}

Cluster read_cluster(const base::Json& document, const std::string& file) {
  base::Fields fields(document, file);
  ClusterFile read;
  base::read_described(fields, read);
  if (read.gpus_per_node > 0) read.nvlink_domain = read.gpus_per_host = read.gpus_per_node;
  if (!read.sources.contains("math_types") && read.fp8_flops <= 0.0) read.math_types = {MathType::bf16};
  return read;
}

std::vector<base::DescribedKey> cluster_keys() { return base::keys_of<ClusterFile>(); }

}  // namespace hourglass::hardware
