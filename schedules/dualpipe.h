#pragma once

#include <vector>

#include "schedules/schedule.h"

namespace hourglass::schedules {

// One rank of the table of eight steps that dualpipe and dualpipev share (dualpipe.cpp). Phases 0 and 1 are the two
// directions or the two legs of the V; each runs `micro_batches` micro-batches numbered from first_micro_batch on.
struct DualPipeRank {
  int half;           // H: p/2 for dualpipe, p for dualpipev
  int depth;          // h: distance from the nearer end; h = H-1 turns around
  int micro_batches;  // n, of each phase
  int stage[2];
  int first_micro_batch[2];
};

void append_dualpipe_steps(const DualPipeRank& rank, std::vector<Action>& actions);

}  // namespace hourglass::schedules
