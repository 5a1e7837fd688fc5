#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/fields.h"

namespace hourglass::base {
struct DescribedKey;
}

namespace hourglass::hardware {

// How far real kernels stay from the data sheet, per operator class: read from configs/profiles/*.json, fitted from
// measurements. A profile knows nothing of models or schedules. Each class states its origin and source.
enum class Origin : std::uint8_t { measured, fitted, transferred, assumed };
const char* name_of(Origin origin);

// Predicted / measured - 1 at 10, 50 and 90 %.
struct Quantiles : std::array<double, 3> {};

// What a class's figures rest on.
struct Basis {
  Origin origin = Origin::assumed;
  std::string source;
  // One standard deviation of the class's cost as a whole, relative: how wrong a sum over its kernels may be. The
  // planner's range comes from it.
  double relative_error = 0.0;
  Quantiles residual_quantiles = {};  // held out; all 0: the class was not fitted to samples
};

// One GEMM kernel family (compute_cost.h has the formula).
struct GemmClass {
  double main_loop_efficiency = 0.0;  // of the tensor-core peak, for an infinitely large tile
  double operand_elements = 0.0;      // h: a tile a x b runs at main_loop_efficiency / (1 + h (1/a + 1/b))
  double tile_overhead_s = 0.0;       // epilogue of a tile of 128 x 128 on one SM; others by their area
  double k_step_s = 0.0;  // least time of 128 elements of k in one tile: latency that a small tile cannot hide
  double launch_s = 0.0;
  double call_s = 0.0;                    // what timing around a call adds to the kernel's own time; no part of a step
  double weight_gradient_slowdown = 1.0;  // accumulation into FP32 gradients, transposed operands
  Basis basis;
};

struct AttentionClass {
  double forward_efficiency = 0.0;  // of the BF16 peak, on the FLOPs computed (causal: half)
  double backward_efficiency = 0.0;
  double half_length = 0.0;  // h: rate is efficiency / (1 + h / kv_length)
  double launch_s = 0.0;
  Basis basis;
};

// Memory-bound kernels: launch + bytes / (efficiency * HBM peak).
struct MemoryClass {
  double efficiency = 0.0;
  double launch_s = 0.0;
  Basis basis;
};

// A router beside its gate GEMM: the conversion of its input, the choice of experts, and many kernels too short to
// list.
struct RouterClass {
  double efficiency = 0.0;          // of HBM, converting the input to FP32
  double choice_s_per_score = 0.0;  // forward: choosing groups and experts, for each token and expert
  double launch_s = 0.0;            // of all its short kernels together
  Basis basis;
};

// One tier of the network: startup + bytes / (efficiency * link peak); collectives pay `step_s` each algorithmic step.
// Collectives have a second, low-latency protocol where `low_latency_efficiency` > 0 (NCCL's LL and LL128).
struct LinkClass {
  double efficiency = 0.0;
  double startup_s = 0.0;
  double step_s = 0.0;
  double copy_steps = 0.0;  // of a ring: copying the own part in and out, in steps
  double low_latency_efficiency = 0.0;
  double low_latency_startup_s = 0.0;
  double switch_efficiency = 0.0;  // all-reduce inside the NVLink switch (NVLS); 0: there is none
  double switch_startup_s = 0.0;
  // Dispatch and combine between nodes: what one SM forwards, bytes/s (0: no limit).
  double dispatch_sm_bandwidth = 0.0, combine_sm_bandwidth = 0.0;
  Basis basis;
};

// DeepEP's low-latency dispatch and combine (network_cost.cpp has the formula).
struct LowLatencyClass {
  double startup_s = 0.0;
  double rdma_startup_s = 0.0;  // besides, where the group has several nodes
  double nvlink_efficiency = 0.0, rdma_efficiency = 0.0;
  double rdma_only_efficiency = 0.0;  // of the kernels that use no NVLink; they show no start-up of their own
  Basis basis;
};

// What changes when communication kernels run beside computation on the same GPU (beyond the SMs they hold).
struct InSitu {
  double gemm_slowdown = 1.0;
  double grouped_gemm_slowdown = 1.0;
  double attention_slowdown = 1.0;  // attention kernels are not limited to the remaining SMs: this is the whole effect
  double memory_slowdown = 1.0;     // likewise
  double dispatch_slowdown = 1.0;
  double combine_slowdown = 1.0;
  double skew_share = 0.0;  // wait for slower peers before each dispatch or combine, of the computation since the last
  Basis basis;
};

// Kernels that an operator launches, where it is more than one. They cost the host's time (Cluster::host_launch_s).
struct LaunchCounts {
  double attention_backward = 1.0;
  double norm = 1.0, rotary = 1.0, activation = 1.0;
  double router = 1.0;  // with the elementwise kernels around it
  double permute = 1.0, cast = 1.0;
  double dispatch = 1.0, combine = 1.0;
  std::string source;
};

struct Profile {
  std::string name;
  std::string gpu;
  GemmClass gemm_bf16, gemm_fp8, gemm_fp8_tensor, grouped_gemm_bf16, grouped_gemm_fp8;
  AttentionClass attention;
  MemoryClass norm, rotary, activation, cast, permute, elementwise, optimizer;
  RouterClass router;
  LinkClass nvlink, rdma;          // rings (NCCL); rdma: point-to-point as well
  LinkClass nvlink_p2p;            // send, receive and all-to-all inside a node (NCCL); absent: as nvlink
  LinkClass moe_nvlink, moe_rdma;  // dispatch and combine kernels (DeepEP)
  LowLatencyClass moe_low_latency;
  InSitu in_situ;
  LaunchCounts launches;
};

Profile read_profile(const base::Json& document, const std::string& file);
// The document that read_profile reads.
base::Json profile_json(const Profile& profile);

// What a profile may hold: as a JSON schema, and as a section of the reference.
std::vector<base::DescribedKey> profile_keys();

// Every class with its origin and source, in file order, for `--explain`.
struct ClassOrigin {
  std::string name;
  Basis basis;
};
std::vector<ClassOrigin> origins(const Profile& profile);

// Says where a class's figures come from. Throws base::Error for an unknown name.
void set_basis(Profile& profile, const std::string& name, const Basis& basis);

// The profile with one class, by its name in `origins`, `factor` times as slow.
Profile slowed(Profile profile, const std::string& name, double factor);

// A figure that a fit may move, as a place in the profile, and how far.
enum class FittedTo : std::uint8_t { nothing, its_samples, traces, dispatches };
struct FittedFigure {
  std::string name;
  double* value = nullptr;
  double low = 0.0, high = 0.0;  // as `value`, SI
  FittedTo samples = FittedTo::nothing;
};
// Those of one class, the last to be given up first where samples are few. Throws base::Error for an unknown name.
std::vector<FittedFigure> fitted_figures(Profile& profile, const std::string& name);

}  // namespace hourglass::hardware
