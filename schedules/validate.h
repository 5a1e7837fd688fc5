#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "schedules/dependencies.h"
#include "schedules/schedule.h"

namespace hourglass::schedules {

// How messages between ranks work.
//   asynchronous: sends and receives are posted ahead and wait for nobody.
//   blocking: between two actions a rank runs one batch -- the sends of the first, the receives of the second -- and
//   all
//             of the batch must complete before it computes again; a send completes when its receive is posted.
enum class PointToPoint : std::uint8_t { asynchronous, blocking };

struct ValidateOptions {
  double activation_cap = 0.0;  // in whole micro-batches of a rank; 0: none
  double activation_kept_for_weight = 1.0;
  PointToPoint point_to_point = PointToPoint::asynchronous;
};

// Throws Error for the first fault found:
//   shape         counts out of range, a stage placed on no rank
//   completeness  every micro-batch has F and BW, or F, B and W, exactly once at every stage
//   placement     every action is on the rank that holds its stage
//   rank order    on a rank F comes before B, and B before W
//   deadlock      across ranks, every action's inputs come before it: the message says who waits for whom
//   activations   no rank holds more than the cap
void validate(const Schedule& schedule, const ValidateOptions& options = {});

// What to say when `order`, the longest possible order of execution, is not complete.
base::Error deadlock_error(const Schedule& schedule, const Dependencies& dependencies,
                           const std::vector<std::uint32_t>& order);

}  // namespace hourglass::schedules
