#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/units.h"

namespace hourglass::sim {

inline constexpr base::Time never = std::numeric_limits<base::Time>::max();

// Streams by when their task starts or ends; equal times by stream. An indexed 4-ary heap (Johnson 1975: fewer levels
// than two children give): a stream has one entry, which may be moved.
class EventQueue {
 public:
  explicit EventQueue(std::size_t streams) : time_(streams, never), place_(streams, nowhere) {}
  bool empty() const { return heap_.empty(); }
  std::uint32_t first() const { return heap_.front(); }
  base::Time time(std::uint32_t stream) const { return time_[stream]; }

  void set(std::uint32_t stream, base::Time time) {
    if (place_[stream] == nowhere) {
      place_[stream] = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back(stream);
    }
    time_[stream] = time;
    up(place_[stream]);
    down(place_[stream]);
  }
  void pop() {
    const std::uint32_t stream = heap_.front(), last = heap_.back();
    heap_.pop_back();
    place_[stream] = nowhere;
    if (heap_.empty()) return;
    heap_[0] = last;
    place_[last] = 0;
    down(0);
  }

 private:
  static constexpr std::uint32_t nowhere = ~std::uint32_t{0};

  bool before(std::uint32_t a, std::uint32_t b) const { return time_[a] != time_[b] ? time_[a] < time_[b] : a < b; }
  void put(std::uint32_t at, std::uint32_t stream) {
    heap_[at] = stream;
    place_[stream] = at;
  }
  void up(std::uint32_t at) {
    const std::uint32_t stream = heap_[at];
    while (at > 0) {
      const std::uint32_t parent = (at - 1) / 4;
      if (!before(stream, heap_[parent])) break;
      put(at, heap_[parent]);
      at = parent;
    }
    put(at, stream);
  }
  void down(std::uint32_t at) {
    const std::uint32_t stream = heap_[at];
    const auto size = static_cast<std::uint32_t>(heap_.size());
    for (;;) {
      const std::uint32_t child = 4 * at + 1;
      if (child >= size) break;
      std::uint32_t least = child;
      for (std::uint32_t c = child + 1; c < std::min(child + 4, size); ++c) {
        if (before(heap_[c], heap_[least])) least = c;
      }
      if (!before(heap_[least], stream)) break;
      put(at, heap_[least]);
      at = least;
    }
    put(at, stream);
  }

  std::vector<base::Time> time_;
  std::vector<std::uint32_t> place_, heap_;
};

}  // namespace hourglass::sim
