#pragma once

#include <cstdint>

#include "hardware/cluster.h"
#include "hardware/profile.h"

// Seconds of one kernel on one GPU. Shapes in, seconds out: what the kernel is for is not known here.
namespace hourglass::hardware {

// Under which a kernel runs: alone on the GPU, or beside communication kernels that hold `communication_sms`; and what
// the expert-parallel groups of a plan make of balanced routing on a network of their own, which 1 stands for.
struct Conditions {
  std::int64_t communication_sms = 0;
  double dispatch_factor = 1.0, combine_factor = 1.0;  // on the time of the all-to-alls: shared links, skewed routing
  double imbalance = 1.0;                              // rows of the fullest GPU's experts over the mean
  bool overlapped() const { return communication_sms > 0; }
};

// `groups` independent products [m, k] x [k, n] in one launch (1: a plain GEMM). Bytes an element of input and output.
struct GemmShape {
  std::int64_t groups = 1, m = 0, n = 0, k = 0;
  MathType math = MathType::bf16;
  double output_bytes = 2.0;
  bool weight_gradient = false;
};
// The class of the profile that prices such a GEMM, and its name.
struct GemmKernel {
  const char* name;
  const GemmClass& cost;
};
GemmKernel gemm_kernel(const Profile& profile, const GemmShape& shape);
// Throws base::Error if the GPU or the profile has no such math type.
double gemm_seconds(const Cluster& cluster, const Profile& profile, const GemmShape& shape, Conditions conditions);

// `computed_flops` after causal masking; kv_length sets how much of the start-up of a row is amortised.
double attention_seconds(const Cluster& cluster, const Profile& profile, double computed_flops, std::int64_t kv_length,
                         bool backward, Conditions conditions);

// Without the gate's GEMM. `input_bytes`: read in BF16 and written in FP32; `scores`: tokens x experts.
double router_seconds(const Cluster& cluster, const Profile& profile, double input_bytes, double scores, bool backward,
                      Conditions conditions);

double memory_seconds(const Cluster& cluster, const Profile& profile, const MemoryClass& kernel, double bytes,
                      Conditions conditions);

}  // namespace hourglass::hardware
