#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hourglass::hardware {

// Links and flows are numbered in 32 bits; this is the place of one in a table.
constexpr std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Which link to look at next: the lowest level first, to within 0.1 % (level_queue.cpp). A link may be in it once.
class LevelQueue {
 public:
  explicit LevelQueue(std::size_t links) : next_(links, -1) {}
  bool empty() const { return size_ == 0; }
  void push(double level, std::int32_t link);  // level >= 0
  std::int32_t pop();
  void clear();

 private:
  std::int64_t size_ = 0;
  std::vector<std::int32_t> head_, next_;  // lists: first link by bucket, then from link to link
  std::vector<std::uint64_t> filled_, filled_words_;
  std::uint64_t filled_groups_ = 0;
};

}  // namespace hourglass::hardware
