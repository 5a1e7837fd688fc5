#pragma once

#include <string>
#include <vector>

#include "schedules/schedule.h"
#include "sim/training/blocks.h"
#include "sim/training/lower.h"
#include "sim/training/memory.h"

// What ran when, named: the record of a step that reports draw. Made only when asked for.
namespace hourglass::sim {

enum class Lane : std::uint8_t { schedule, compute, communication, point_to_point, gradients, host };
inline constexpr int lane_count = 6;

struct Span {
  int rank = 0;
  Lane lane = Lane::compute;
  base::Time start = 0, end = 0;
  std::string name;      // "F 12", "dispatch(F)", "optimizer"
  const char* cls = "";  // "forward", "overlapped", "attention", "dispatch", "send", ...
  int stage = -1;        // of the action; -1: none
  int micro_batch = -1;  // of the action, the forward's in a pair
};

// A stretch of the critical path: tasks of one pipeline rank that follow each other.
struct PathPiece {
  int rank = 0;
  base::Time start = 0, end = 0;
};

struct StepRecord {
  int ranks = 0;
  std::vector<Span> spans;          // by rank, lane and start; without zero lengths
  std::vector<MemoryPoint> memory;  // by rank and time
  std::vector<PathPiece> critical;  // from the start of the step to its end
};

StepRecord record_step(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
                       BlockLibrary& blocks, const Lowered& lowered, const Timeline& timeline);

}  // namespace hourglass::sim
