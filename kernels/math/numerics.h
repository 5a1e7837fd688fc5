#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/math/fp8.h"
#include "kernels/math/quantize.h"

// What FP8 costs in accuracy, computed with its arithmetic in software: accumulation in few bits and its promotion to
// FP32; scales by tensor and by block; the two formats. numerics.cpp has the models and their sources.
namespace hourglass::kernels {

// A tensor core's sum of products. `promotion`: after that many elements of k the partial sum is added to an FP32
// accumulator and starts anew; 0: never.
struct Accumulator {
  int significant_bits = 14;
  int instruction_k = 32;  // products that one instruction adds at once
  int promotion = 0;
};

// sum a[i] b[i] as that accumulator gives it. a and b hold FP8 values, so every product is exact in double.
double accumulate(const float* a, const float* b, Index count, const Accumulator& with);

// Errors of many results against the exact ones.
struct ErrorStatistics {
  double largest = 0.0;          // max |error| / rms(exact): of the matrix's size, not of a result that happens to be 0
  double rms = 0.0;              // rms(error) / rms(exact)
  double median_relative = 0.0;  // of |error / exact|, result by result
  double p99_relative = 0.0;
};
ErrorStatistics statistics_of(const std::vector<double>& results, const std::vector<double>& exact);

enum class Data : std::uint8_t { normal, uniform };  // N(0, 1), or uniform in [0, 1)

struct AccumulationRow {
  Index k = 0;
  int promotion = 0;
  ErrorStatistics error;
};
// One row for each k and promotion interval (0 among them: never): `outputs` x `outputs` results of E4M3 matrices,
// each scaled to the whole range of the format, against the exact sum of the same FP8 values.
std::vector<AccumulationRow> accumulation_study(Index outputs, const std::vector<Index>& ks,
                                                const std::vector<int>& promotions, int significant_bits, Data data,
                                                std::uint64_t seed);

struct ScalingRow {
  double outlier = 1.0;  // factor of one activation in 1000
  Fp8Format format = e4m3;
  bool block = false;     // 1 x 128 and 128 x 128, else one scale for each tensor
  double error = 0.0;     // rms(y - exact) / rms(exact), over the rows without an outlier
  double all_rows = 0.0;  // the same over all rows
  double lost = 0.0;      // of the activations: those that became 0
};
// y = x w^T, x[outputs, k] with outliers, w[outputs, k], quantised, products summed exactly: the error of quantisation.
std::vector<ScalingRow> scaling_study(Index outputs, Index k, const std::vector<double>& outliers, std::uint64_t seed);

// Cycles of a Hopper SM for promotion, over those of its tensor cores for the same product: serial, if they wait for
// it. Overlapped, with two warp groups in turn, only what is above 1 shows.
double promotion_share(int promotion);

}  // namespace hourglass::kernels
