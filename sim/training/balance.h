#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "schedules/schedule.h"
#include "sim/training/block_times.h"

// How many layers go to which stage.
namespace hourglass::sim {

// What a schedule asks of a split: which stages share a rank, and which kinds of action run.
struct BalanceProblem {
  explicit BalanceProblem(const schedules::Schedule& schedule);
  std::vector<std::vector<std::size_t>> stages_of_rank, ranks_of_stage;
  std::vector<std::uint8_t> pair_up;  // [stage x stage]: a rank overlaps the one's forward with the other's backward
  bool pairs = false, fused = false;  // a forward overlaps a backward; B and W are one action
  std::string identity;               // all that a split depends on, written out
};

// Layers of each stage, balanced under several objectives; no two equal.
std::vector<std::vector<std::int64_t>> balanced_splits(const ContentTable& contents, const BalanceProblem& problem,
                                                       BlockTimes& times);

}  // namespace hourglass::sim
