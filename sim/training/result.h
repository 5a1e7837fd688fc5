#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/training/expert_network.h"
#include "sim/training/memory.h"
#include "sim/training/units.h"

namespace hourglass::sim {

// Why a pipeline rank waits: what the tasks that it waited for were doing meanwhile. Adds up to its bubble.
struct IdleCauses {
  double dependency_s = 0.0;  // computing what this rank needs, as long as an action of its kind takes on average
  double imbalance_s = 0.0;   // computing longer than that: uneven stages
  double exposed_communication_s = 0.0;  // in all-to-alls and other collectives, with nothing beside them
  double skew_s = 0.0;                   // waiting for the slowest GPU of a parallel group
  double point_to_point_s = 0.0;         // sending between pipeline ranks
  double update_s = 0.0;                 // reducing gradients, updating, gathering parameters
  double total() const {
    return dependency_s + imbalance_s + exposed_communication_s + skew_s + point_to_point_s + update_s;
  }
};

// Exposed communication by what carries it.
struct ExposedTiers {
  double rdma_s = 0.0, nvlink_s = 0.0;
  double peer_wait_s = 0.0;  // at all-to-alls, before bytes move
};

// The chain of tasks that the step's length is the sum of.
struct CriticalPath {
  std::array<double, work_classes> seconds{};  // by WorkClass; add up to the step time
  std::vector<double> rank_seconds;            // on each pipeline rank
  std::size_t tasks = 0;
};

// Where the time of one pipeline rank goes. forward + backward + weight + overlapped + optimizer + bubble = step time.
struct RankResult {
  int pipeline_rank = 0;
  double forward_s = 0.0;                // F blocks that run alone
  double backward_s = 0.0;               // B and BW blocks that run alone
  double weight_s = 0.0;                 // W blocks
  double overlapped_s = 0.0;             // F&B pairs
  double optimizer_s = 0.0;              // reduce-scatter of gradients, update, all-gather of parameters
  double bubble_s = 0.0;                 // waiting
  double exposed_communication_s = 0.0;  // inside blocks, the compute stream idle: part of the times above
  ExposedTiers exposed;                  // by tier; adds up to it
  double launch_s = 0.0;                 // inside blocks, everything done but the host's launching
  IdleCauses idle;
  Memory memory;
  double peak_memory_bytes = 0.0;
  double peak_memory_at_s = 0.0;
  int overlapped_pairs = 0;
};

struct Flops {
  double causal = 0.0;
  double non_causal = 0.0;
};

struct Result {
  std::string schedule;
  std::int64_t micro_batches = 0;
  std::int64_t gpus = 0;
  double step_time_s = 0.0;
  double tokens_per_step = 0.0;
  double tokens_per_day = 0.0;
  double tokens_per_second_per_gpu = 0.0;
  Flops model_tflops_per_gpu;  // FLOP/s of the model's own arithmetic, recomputation excluded, in TFLOP/s
  Flops mfu;                   // of the BF16 peak
  std::vector<RankResult> ranks;
  int busiest_rank = 0;       // the one that waits least
  double bubble_ratio = 0.0;  // largest bubble over step time
  double memory_capacity_bytes = 0.0;
  std::vector<std::int64_t> layers_per_stage;
  std::size_t tasks = 0;
  std::int64_t simulated_gpus = 0;  // one a pipeline rank if folded, else all
  std::string not_folded;           // why GPUs were simulated one by one; "" if they were folded
  CriticalPath critical_path;
  std::optional<ExpertNetwork> network;  // with plan.network

  bool fits() const;  // every rank's peak is within the GPU's memory
  double largest_memory_bytes() const;
};

}  // namespace hourglass::sim
