#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

// A pipeline schedule is data: one list of actions per pipeline rank. Generators write only the order; who waits for
// whom is derived in one place (dependencies.h), and every use -- validation, evaluation, printing, lowering to a task
// graph -- starts from this struct.
namespace hourglass::schedules {

enum class Kind : std::uint8_t {
  forward,          // F
  backward_input,   // B: gradient of the input only
  backward_weight,  // W: gradient of the weights, deferred
  backward,         // BW: B and W fused
  overlapped,       // F&B: the forward of one micro-batch and the full backward of another as one block
};

// One block of work on one rank. For `overlapped`, stage and micro_batch are the forward's, and backward_stage and
// backward_micro_batch the full backward's; otherwise the latter two are -1.
struct Action {
  Kind kind = Kind::forward;
  std::int32_t stage = 0;
  std::int32_t micro_batch = 0;
  std::int32_t backward_stage = -1;
  std::int32_t backward_micro_batch = -1;

  friend bool operator==(const Action&, const Action&) = default;
};

// The micro-batches [0, m) of a step flow through stages [0, S). With two directions (DualPipe) the micro-batches
// [0, m/2) flow in direction 0 and [m/2, m) in direction 1; `placement[direction][stage]` is the pipeline rank.
struct Schedule {
  std::string name;
  int ranks = 0;          // p
  int micro_batches = 0;  // m
  int stages = 0;         // S
  int directions = 1;
  std::vector<std::vector<int>> placement;   // [direction][stage] -> rank
  std::vector<std::vector<Action>> actions;  // [rank] -> in order of execution

  int direction_of(int micro_batch) const { return directions == 2 && micro_batch >= micro_batches / 2 ? 1 : 0; }
  int rank_of(int stage, int micro_batch) const {
    return placement[static_cast<std::size_t>(direction_of(micro_batch))][static_cast<std::size_t>(stage)];
  }
  // Stages a rank holds, over both directions (DualPipe: two), v in the papers' notation.
  int chunks() const { return stages * directions / ranks; }
  // Copies of each parameter over the pipeline (DualPipe: 2).
  int parameter_copies() const { return directions; }
};

// What a schedule is generated for.
struct Shape {
  int ranks = 1;          // p, at most 1024
  int micro_batches = 1;  // m, at most 1,000,000
  int chunks = 0;         // v, stages a rank holds; 0: the schedule's default
};

}  // namespace hourglass::schedules
