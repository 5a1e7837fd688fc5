#pragma once

#include <string>

#include "schedules/schedule.h"

// What generators are written with: a placement to start from, actions by name, and the sentences of broken rules.
namespace hourglass::schedules {

inline Action forward(int stage, int micro_batch) { return {Kind::forward, stage, micro_batch, -1, -1}; }
inline Action backward_input(int stage, int micro_batch) { return {Kind::backward_input, stage, micro_batch, -1, -1}; }
inline Action backward_weight(int stage, int micro_batch) {
  return {Kind::backward_weight, stage, micro_batch, -1, -1};
}
inline Action backward(int stage, int micro_batch) { return {Kind::backward, stage, micro_batch, -1, -1}; }
// The forward of one micro-batch and the full backward of another as one block.
inline Action overlapped(const Action& f, const Action& b) {
  return {Kind::overlapped, f.stage, f.micro_batch, b.stage, b.micro_batch};
}

// Empty schedules, all lists reserved.
Schedule looped_placement(const std::string& name, const Shape& shape, int chunks);  // stage s on rank s mod p
Schedule v_placement(const std::string& name, const Shape& shape);                   // stages r and 2p-1-r on rank r
Schedule bidirectional_placement(const std::string& name, const Shape& shape);  // direction 1: stage p-1-r on rank r

// Of fewer than `least` micro-batches: "needs at least 2p = 16 micro-batches; got 3"; "" of enough.
std::string too_few(const Shape& shape, int least, const std::string& formula);
// Of micro-batches that the ranks do not divide; "" if they do.
std::string not_divisible(const Shape& shape);

}  // namespace hourglass::schedules
