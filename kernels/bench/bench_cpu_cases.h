#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/bench/bench.h"
#include "kernels/math/quantize.h"
#include "kernels/math/tensor.h"

// The operators of the CPU backend as things to run: inputs from a seed, outputs in view. Built from single and from
// double precision, so that one can be held against the other: the double ones are what the unit tests check against
// finite differences.
namespace hourglass::kernels {

// Times one call by the steady clock; disturbed if the operating system took a thread off its core meanwhile.
RunTime timed(const std::function<void()>& body);

// Makes all caches cold by reading through a buffer larger than them, on every thread.
class CacheEviction {
 public:
  CacheEviction();
  void operator()();

 private:
  std::vector<float> buffer_;
  float sum_ = 0.0f;
};

template <class T>
class CpuOperator {
 public:
  virtual ~CpuOperator() = default;
  virtual void run() = 0;
  // Puts every output in its state before a run: NaN, or what an operator adds to.
  virtual void reset() = 0;
  virtual std::vector<Tensor<T>*> outputs() = 0;
  // Where outputs are choices that rounding may turn, the fraction of values that may differ.
  virtual double differing() const { return 0.0; }
};

// Null if the CPU has no such operator. The inputs of a seed are the same numbers in both precisions.
template <class T>
std::unique_ptr<CpuOperator<T>> make_cpu_operator(const BenchCase& c, std::uint64_t seed);

// Quantisation has no second precision; it is checked against the definition, code by code.
class CpuQuantize {
 public:
  CpuQuantize(const BenchCase& c, std::uint64_t seed);
  void run();
  std::string check();

 private:
  Tensor<float> x_;
  QuantizeOptions options_;
  Quantized result_;
};

}  // namespace hourglass::kernels
