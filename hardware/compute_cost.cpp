// Time of one kernel: the larger of what the tensor cores and what HBM need, plus the launch.
//
// GEMM. A kernel cuts the output [m, n] in tiles of a x b and gives each SM whole tiles; with S SMs they run in
// ceil(tiles / S) waves, so the last wave may be nearly empty (wave quantisation) and a tile may hang over the edge of
// the matrix (tile quantisation). One tile costs
//     max(2 a b ceil(k/s) s / (P/S0 * e(a, b)), ceil(k/s) step) + overhead a b / 128^2,
//     e(a, b) = e0 / (1 + h (1/a + 1/b))
// where P/S0 is the peak of one SM, s the step of k, e0 the main-loop efficiency, and h the price of loading operands:
// a small tile loads more bytes a FLOP, and cannot hide the latency of a step of k. The epilogue stores the tile and
// does not shrink with k: that is why k = 512 is slow. The tile is the one that costs least of those that the cluster
// states, as library heuristics choose it. HBM bounds from below: each operand and the result once.
//
// Attention. FLOPs that are computed over an achieved rate; rows shorter than h do not amortise their start
// (FlashAttention-3, arXiv 2407.08608, shows the same shape of curve).
//
// Router. In the published H800 trace a router launches some forty kernels of 3 us each around its gate GEMM, converts
// its input to FP32, and sorts scores: that is 0.3 ms a layer, as long as a large GEMM. Frameworks differ here.
//
// Limits: no clock model beyond the fitted efficiency, no split-k, no L2 hits between kernels.
#include "hardware/compute_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The tensor-core time of the best tile, in seconds.
double best_tiling_seconds(const GemmTiles& tiles, const GemmShape& shape, const GemmClass& kernel, double flops_per_sm,
                           std::int64_t sms) {
  double best = std::numeric_limits<double>::infinity();
  const double k = static_cast<double>(ceil_div(shape.k, tiles.k_step) * tiles.k_step);
  for (const std::int64_t a : tiles.heights) {
    for (const std::int64_t b : tiles.widths) {
      if (a * b > tiles.largest) continue;
      const std::int64_t waves = ceil_div(shape.groups * ceil_div(shape.m, a) * ceil_div(shape.n, b), sms);
      const auto height = static_cast<double>(a), width = static_cast<double>(b);
      const double rate =
          flops_per_sm * kernel.main_loop_efficiency / (1.0 + kernel.operand_elements * (1.0 / height + 1.0 / width));
      const double main_loop =
          std::max(2.0 * height * width * k / rate, k / static_cast<double>(tiles.k_step) * kernel.k_step_s);
      best = std::min(
          best, static_cast<double>(waves) * (main_loop + kernel.tile_overhead_s * height * width / (128.0 * 128.0)));
    }
  }
  return best;
}

}  // namespace

GemmKernel gemm_kernel(const Profile& profile, const GemmShape& shape) {
  const bool grouped = shape.groups > 1;
  switch (shape.math) {
    case MathType::bf16:
      return grouped ? GemmKernel{"grouped_gemm_bf16", profile.grouped_gemm_bf16}
                     : GemmKernel{"gemm_bf16", profile.gemm_bf16};
    case MathType::fp8:
      return grouped ? GemmKernel{"grouped_gemm_fp8", profile.grouped_gemm_fp8}
                     : GemmKernel{"gemm_fp8", profile.gemm_fp8};
    case MathType::fp8_tensor:
      break;
  }
  return {"gemm_fp8_tensor", profile.gemm_fp8_tensor};
}

double gemm_seconds(const Cluster& cluster, const Profile& profile, const GemmShape& shape, Conditions conditions) {
  if (shape.m <= 0 || shape.n <= 0 || shape.k <= 0 || shape.groups <= 0) return 0.0;
  const bool fp8 = shape.math != MathType::bf16;
  const GemmClass& kernel = gemm_kernel(profile, shape).cost;
  const double peak = fp8 ? cluster.fp8_flops : cluster.bf16_flops;
  if (!has_math(cluster, shape.math) || peak <= 0.0 || kernel.main_loop_efficiency <= 0.0) {
    throw base::Error("no FP8 GEMM on this GPU", cluster.name, "set plan.precision to bf16, or choose an H100 or H800");
  }
  const std::int64_t sms = cluster.sms - conditions.communication_sms;
  const double flops_per_sm = peak / static_cast<double>(cluster.sms);
  double compute = best_tiling_seconds(cluster.gemm_tiles, shape, kernel, flops_per_sm, sms);
  if (shape.weight_gradient) compute *= kernel.weight_gradient_slowdown;
  const double input_bytes = fp8 ? 1.0 : 2.0;
  const auto g = static_cast<double>(shape.groups), m = static_cast<double>(shape.m), n = static_cast<double>(shape.n),
             k = static_cast<double>(shape.k);
  const double bytes = g * ((m * k + n * k) * input_bytes + m * n * shape.output_bytes);
  const double memory = bytes / (cluster.memory_bandwidth * profile.elementwise.efficiency);
  const double slowdown = !conditions.overlapped() ? 1.0
                          : shape.groups > 1       ? profile.in_situ.grouped_gemm_slowdown
                                                   : profile.in_situ.gemm_slowdown;
  return kernel.launch_s + std::max(compute, memory) * slowdown;
}

double attention_seconds(const Cluster& cluster, const Profile& profile, double computed_flops, std::int64_t kv_length,
                         bool backward, Conditions conditions) {
  if (computed_flops <= 0.0) return 0.0;
  const AttentionClass& kernel = profile.attention;
  const double efficiency = (backward ? kernel.backward_efficiency : kernel.forward_efficiency) /
                            (1.0 + kernel.half_length / static_cast<double>(std::max<std::int64_t>(kv_length, 1)));
  const double slowdown = conditions.overlapped() ? profile.in_situ.attention_slowdown : 1.0;
  return kernel.launch_s + computed_flops / (cluster.bf16_flops * efficiency) * slowdown;
}

double router_seconds(const Cluster& cluster, const Profile& profile, double input_bytes, double scores, bool backward,
                      Conditions conditions) {
  const RouterClass& kernel = profile.router;
  const double slowdown = conditions.overlapped() ? profile.in_situ.memory_slowdown : 1.0;
  const double choice = backward ? 0.0 : scores * kernel.choice_s_per_score;
  return kernel.launch_s + (input_bytes / (cluster.memory_bandwidth * kernel.efficiency) + choice) * slowdown;
}

double memory_seconds(const Cluster& cluster, const Profile& profile, const MemoryClass& kernel, double bytes,
                      Conditions conditions) {
  const double slowdown = conditions.overlapped() ? profile.in_situ.memory_slowdown : 1.0;
  return kernel.launch_s + bytes / (cluster.memory_bandwidth * kernel.efficiency) * slowdown;
}

}  // namespace hourglass::hardware
