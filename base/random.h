#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace hourglass::base {

// A seeded generator with the same stream on every platform. The engine is std::mt19937_64, whose output the standard
// fixes; the distributions are our own, because those of the standard library are free to differ between libraries.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t bits() { return engine_(); }
  // Uniform in [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Uniform integer in [0, bound), without modulo bias. bound > 0.
  std::uint64_t below(std::uint64_t bound);
  // Standard normal (Box and Muller 1958, one value a call).
  double normal();
  // exp(mu + sigma * N(0, 1)).
  double log_normal(double mu, double sigma);
  // Fisher-Yates.
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace hourglass::base
