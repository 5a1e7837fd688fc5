#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/counts.h"
#include "schedules/schedule.h"
#include "sim/training/balance.h"

// A schedule compiled for pricing: the order is worked out once, then whole steps of several plans at a time are swept.
namespace hourglass::sim {

inline constexpr std::size_t sweep_lanes = 8;  // plans in one sweep
struct alignas(64) Lanes {
  std::array<base::Time, sweep_lanes> at{};
};

class StepProgram {
 public:
  // A validated schedule.
  explicit StepProgram(const schedules::Schedule& schedule);

  // Actions of one kind on the same stages take the same time; they are one block.
  struct Block {
    schedules::Kind kind = schedules::Kind::forward;
    int stage = 0, backward_stage = -1;
    bool operator==(const Block&) const = default;
  };
  const std::vector<Block>& blocks() const { return blocks_; }
  // How often a rank runs a block.
  struct Use {
    std::uint32_t block = 0, times = 0;
  };
  const std::vector<std::vector<Use>>& uses() const { return uses_; }  // [rank]
  const BalanceProblem& balance() const { return balance_; }
  int ranks() const { return static_cast<int>(uses_.size()); }
  int stages() const { return static_cast<int>(balance_.ranks_of_stage.size()); }
  int copies() const { return copies_; }
  std::size_t actions() const { return nodes_.size(); }
  std::size_t bytes() const;  // of memory it takes

  // When each rank has ended its last action. `durations`: [block], `message`: one message between ranks, `ends`: [rank].
  void sweep(const Lanes* durations, const Lanes& message, Lanes* ends) const;
  // The same for one plan.
  void sweep_one(const base::Time* durations, base::Time message, base::Time* ends) const;

  // The most activations a rank ever holds; `stages`: what one micro-batch leaves on each stage.
  double peak_activations(std::size_t rank, const std::vector<model::ActivationBytes>& stages) const;
  // Micro-batches that a rank holds at one moment: whole, and what their weight gradient still needs.
  struct Held {
    std::uint32_t stage = 0;
    std::int32_t whole = 0, kept = 0;
  };
  // Of each stage of the rank, at the moment when it holds the most micro-batches of all its stages.
  const std::vector<Held>& fullest(std::size_t rank) const;

 private:
  // One action at its place in an order of execution. Messages wait in slots until they are consumed; slot 0 is none.
  struct Node {
    std::uint32_t input[2] = {0, 0};
    std::uint32_t output[2] = {0, 0};
    std::uint32_t block = 0;
    std::uint32_t rank = 0;
  };
  void compile(const schedules::Schedule& schedule);
  void record_peaks(const schedules::Schedule& schedule);

  BalanceProblem balance_;
  int copies_ = 1;
  std::size_t slots_ = 1;
  std::vector<Node> nodes_;
  std::vector<Block> blocks_;
  std::vector<std::vector<Use>> uses_;
  std::vector<std::vector<std::vector<Held>>> peaks_;  // [rank][candidate for the peak][stage of the rank]
};

}  // namespace hourglass::sim
