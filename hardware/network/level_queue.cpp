// A queue by level that need not be exact, in constant time.
//
// The bits of a positive double, read as an integer, are in the order of the numbers. A bucket is six bits of a
// number's exponent and the first ten of its fraction: 2^16 buckets, each 0.1 % wide, from 2^-16 to 2^48, which is
// where bytes/s are (levels outside come in their order too, but somewhere between the others). In a bucket the last to
// come is the first to go. Three layers of bits say which buckets, which words of the first layer and which words of
// the second hold something, so the lowest bucket is three steps away. A binary heap takes twice as long for the whole
// simulation of flows.
#include "hardware/network/level_queue.h"

#include <bit>

namespace hourglass::hardware {

namespace {

constexpr std::size_t buckets = std::size_t{1} << 16;
constexpr std::size_t word_bits = 64;
constexpr std::size_t offset = 17 << 10;  // makes 2^-16, of exponent 1007 = 15 x 64 + 47, the lowest
constexpr std::uint64_t bit(std::size_t index) { return std::uint64_t{1} << index % word_bits; }
std::size_t lowest(std::uint64_t bits) { return static_cast<std::size_t>(std::countr_zero(bits)); }
bool empty_without_lowest(std::uint64_t& bits) { return (bits &= bits - 1) == 0; }

}  // namespace

void LevelQueue::push(double level, std::int32_t link) {
  if (head_.empty()) {  // many systems never need it
    head_.assign(buckets, -1);
    filled_.assign(buckets / word_bits, 0);
    filled_words_.assign(buckets / word_bits / word_bits, 0);
  }
  const std::size_t bucket = ((std::bit_cast<std::uint64_t>(level) >> 42) + offset) % buckets;
  const std::size_t word = bucket / word_bits, group = word / word_bits;
  next_[at(link)] = head_[bucket];
  head_[bucket] = link;
  filled_[word] |= bit(bucket);
  filled_words_[group] |= bit(word);
  filled_groups_ |= bit(group);
  ++size_;
}

std::int32_t LevelQueue::pop() {
  const std::size_t group = lowest(filled_groups_);
  const std::size_t word = group * word_bits + lowest(filled_words_[group]);
  const std::size_t bucket = word * word_bits + lowest(filled_[word]);
  const std::int32_t link = head_[bucket];
  head_[bucket] = next_[at(link)];
  if (head_[bucket] < 0 && empty_without_lowest(filled_[word]) && empty_without_lowest(filled_words_[group]))
    empty_without_lowest(filled_groups_);
  --size_;
  return link;
}

void LevelQueue::clear() {
  while (!empty()) pop();
}

}  // namespace hourglass::hardware
