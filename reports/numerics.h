#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"
#include "kernels/math/numerics.h"

namespace hourglass::reports {

// A linear layer by the profile: in BF16, in block-scaled FP8 (partial sums promoted every 128), in FP8 with one scale
// for a tensor and no promotion (0: not in the profile), and the quantisation of its input.
struct PrecisionRow {
  std::string name;
  std::int64_t m = 0, n = 0, k = 0;
  double bf16_s = 0.0, fp8_s = 0.0, fp8_tensor_s = 0.0, quantize_s = 0.0;
  double gain_alone() const { return bf16_s / fp8_s; }
  double gain() const { return bf16_s / (fp8_s + quantize_s); }
};

struct NumericsReport {
  std::int64_t outputs = 0;
  int significant_bits = 14;
  std::string data;  // "normal" or "uniform"
  std::vector<kernels::AccumulationRow> accumulation;
  std::vector<kernels::ScalingRow> scaling;
  std::string gpu, profile;
  std::vector<PrecisionRow> precision;
};

std::string numerics_text(const NumericsReport& report);
base::Json numerics_json(const NumericsReport& report, const base::Provenance& provenance);
// Two panels: the accumulation error over the promotion interval, and the throughput of each layer.
std::string numerics_svg(const NumericsReport& report);

}  // namespace hourglass::reports
