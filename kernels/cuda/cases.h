#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/bench/bench.h"
#include "kernels/cuda/device.h"

// The cases of the CUDA backend. Inputs are normal numbers made on the device; the CPU kernels compute as much of the
// result again as is quickly done (some rows, some columns, one head), and every output is searched for poison.
namespace hourglass::kernels::cuda {

// What all cases share: the stream, and memory larger than the second-level cache to push everything out of it.
struct Bench {
  Bench();
  DeviceFacts facts;
  OwnStream stream;
  DeviceArray<unsigned char> flush;
};

class CudaCase : public PreparedCase {
 public:
  explicit CudaCase(Bench& bench) : bench_(bench) {}
  std::string check() final;
  RunTime run() final;

 protected:
  virtual void enqueue(Stream stream) = 0;
  virtual std::string compare() = 0;  // "": the outputs are right

  // An output that enqueue() must write whole: poisoned before the check, searched for NaN after it.
  void output(const char* name, const DeviceArray<Bf16>& array) {
    outputs_.push_back({name, array.get(), array.bytes(), true});
  }
  void output(const char* name, const DeviceArray<float>& array) {
    outputs_.push_back({name, array.get(), array.bytes(), false});
  }
  Stream stream() const { return bench_.stream.get(); }
  DeviceArray<Bf16> random(Index count, float deviation = 1.0f);
  DeviceArray<float> random_float(Index count, float deviation = 1.0f);
  void seed(std::uint64_t seed) { seed_ = seed; }
  std::uint64_t next_seed() { return ++seed_; }

 private:
  struct Output {
    const char* name;
    void* data;
    std::size_t bytes;
    bool is_bf16;
  };
  Bench& bench_;
  std::vector<Output> outputs_;
  std::uint64_t seed_ = 0;
  Event start_, end_;
};

using CasePointer = std::unique_ptr<PreparedCase>;
CasePointer prepare_gemm(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_grouped_gemm(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_attention(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_norm(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_rotary(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_swiglu(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_quantize(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_residual(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_copy(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_router(Bench& bench, const BenchCase& c, std::uint64_t seed);
CasePointer prepare_permute(Bench& bench, const BenchCase& c, std::uint64_t seed);

// Part of a device tensor [rows, columns] as floats: `count` rows from `first`, the columns [column, column + width).
Tensor<float> part(const DeviceArray<Bf16>& x, Index columns, Index first, Index count, Index column, Index width);
Tensor<float> part(const DeviceArray<float>& x, Index columns, Index first, Index count, Index column, Index width);

// "" if all values are within `tolerance` of the expected ones, relative to them plus their root mean square.
std::string differences(const char* name, const Tensor<float>& got, const Tensor<float>& expected, double tolerance);
constexpr double bf16_tolerance = 0.006, sum_tolerance = 0.02, gradient_tolerance = 0.05;

}  // namespace hourglass::kernels::cuda
