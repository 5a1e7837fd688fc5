// Accumulation. Hopper's FP8 tensor cores add 32 products at a time: all are shifted to the largest exponent among them
// and the accumulator, what falls below 13 fraction bits is cut off, and the sum is kept in a register of 1 + 8 + 13
// bits (DeepSeek-AI, "Insights into DeepSeek-V3", ISCA 2025, arXiv 2505.09343, section 3.1; the alignment with the
// accumulator and the truncation as Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores",
// PeerJ CS 2021, measured on earlier ones). DeepSeek-V3's report (arXiv 2412.19437, section 3.3.2) calls it "around 14
// bits" and finds a maximum relative error of nearly 2 % for random matrices at K = 4096. It does not say relative to
// what. A result near zero has any relative error, so `largest` is relative to the root mean square of the results;
// percentiles of the relative error of single results are beside it. The largest error grows, slowly, with the number
// of results.
//
// Promotion. Every N_C elements the partial sum goes to the CUDA cores, is multiplied by the scales and added in FP32
// (section 3.3.2). One fused multiply-add an accumulator: an SM has 128 such lanes, and 4096 FP8 multiply-adds a cycle
// (NVIDIA H100 white paper: 1979 TFLOP/s over 132 SMs at 1.83 GHz), so promotion needs (1/128) / (N_C/4096) = 32 / N_C
// of the tensor cores' time. The report runs two warp groups so that one promotes while the other multiplies. Moving
// operands, and waiting for a warp group's tensor-core instructions to end, is not in this count.
//
// Quantisation. kernels/quantize, exact sums. The error is taken over rows that have no outlier themselves: with one
// scale for the tensor they pay for the outliers of others.
#include "kernels/math/numerics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace hourglass::kernels {

namespace {

// 2^exponent of a positive normal double; the smallest normal for 0.
double power_below(double magnitude) {
  constexpr std::uint64_t exponent_bits = 0x7ff0000000000000ull;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(magnitude) & exponent_bits;
  return bits == 0 ? std::numeric_limits<double>::min() : std::bit_cast<double>(bits);
}

// `value` without what is below `unit`, a power of two.
double cut(double value, double unit) { return std::trunc(value / unit) * unit; }

double add_products(double sum, const float* a, const float* b, Index count, int significant_bits) {
  constexpr Index most = 64;
  double products[most];
  double largest = std::abs(sum);
  for (Index i = 0; i < count; ++i) {
    products[i] = static_cast<double>(a[i]) * static_cast<double>(b[i]);
    largest = std::max(largest, std::abs(products[i]));
  }
  if (largest == 0.0) return 0.0;
  const double bits = std::ldexp(1.0, 1 - significant_bits), unit = power_below(largest) * bits;
  double total = cut(sum, unit);
  for (Index i = 0; i < count; ++i) total += cut(products[i], unit);  // exact: multiples of one unit
  return total == 0.0 ? 0.0 : cut(total, power_below(std::abs(total)) * bits);
}

// Values of the format, each tensor scaled to its whole range.
Tensor<float> fp8_values(Index rows, Index columns, Data data, base::Random& random) {
  Tensor<float> x(rows, columns);
  for (Index i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<float>(data == Data::normal ? random.normal() : random.uniform());
  const Quantized q = quantize(x, {0, 0, e4m3, false});
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = fp8_decode(q.codes[static_cast<std::size_t>(i)], e4m3);
  return x;
}

double rms_of(const std::vector<double>& values) {
  double squares = 0.0;
  for (const double v : values) squares += v * v;
  return std::sqrt(squares / static_cast<double>(std::max<std::size_t>(values.size(), 1)));
}

double quantile(const std::vector<double>& sorted, double at) {
  return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(at * static_cast<double>(sorted.size())))];
}

// Both through `sum(row of x, row of w)`, one result each.
template <class Sum>
std::vector<double> products(const Tensor<float>& x, const Tensor<float>& w, const Sum& sum) {
  std::vector<double> results(static_cast<std::size_t>(x.rows() * w.rows()));
#pragma omp parallel for schedule(static)
  for (Index i = 0; i < x.rows(); ++i) {
    for (Index j = 0; j < w.rows(); ++j) results[static_cast<std::size_t>(i * w.rows() + j)] = sum(x.row(i), w.row(j));
  }
  return results;
}

double exact_sum(const float* a, const float* b, Index count) {
  double sum = 0.0;
  for (Index i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace

double accumulate(const float* a, const float* b, Index count, const Accumulator& with) {
  if (with.significant_bits < 2 || with.significant_bits > 40 || with.instruction_k < 1 || with.instruction_k > 64 ||
      with.promotion < 0 || with.promotion % with.instruction_k != 0) {
    throw base::Error("the accumulator is impossible", "numerics",
                      "2 to 40 bits, at most 64 products at once, promotion after a multiple of them");
  }
  float promoted = 0.0f;
  double sum = 0.0;
  for (Index first = 0; first < count; first += with.instruction_k) {
    const Index here = std::min<Index>(with.instruction_k, count - first);
    sum = add_products(sum, a + first, b + first, here, with.significant_bits);
    if (with.promotion > 0 && (first + here) % with.promotion == 0) {
      promoted += static_cast<float>(sum);
      sum = 0.0;
    }
  }
  return with.promotion > 0 ? static_cast<double>(promoted + static_cast<float>(sum)) : sum;
}

ErrorStatistics statistics_of(const std::vector<double>& results, const std::vector<double>& exact) {
  std::vector<double> errors, relative;
  double largest = 0.0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    errors.push_back(results[i] - exact[i]);
    largest = std::max(largest, std::abs(errors.back()));
    if (exact[i] != 0.0) relative.push_back(std::abs(errors.back() / exact[i]));
  }
  const double size = rms_of(exact);
  if (size == 0.0 || relative.empty()) return {};
  std::sort(relative.begin(), relative.end());
  return {largest / size, rms_of(errors) / size, quantile(relative, 0.5), quantile(relative, 0.99)};
}

std::vector<AccumulationRow> accumulation_study(Index outputs, const std::vector<Index>& ks,
                                                const std::vector<int>& promotions, int significant_bits, Data data,
                                                std::uint64_t seed) {
  std::vector<AccumulationRow> rows;
  for (const Index k : ks) {
    base::Random random(seed);
    const Tensor<float> x = fp8_values(outputs, k, data, random), w = fp8_values(outputs, k, data, random);
    const std::vector<double> exact =
        products(x, w, [&](const float* a, const float* b) { return exact_sum(a, b, k); });
    for (const int promotion : promotions) {
      const Accumulator with{significant_bits, 32, promotion};
      const std::vector<double> results =
          products(x, w, [&](const float* a, const float* b) { return accumulate(a, b, k, with); });
      rows.push_back({k, promotion, statistics_of(results, exact)});
    }
  }
  return rows;
}

namespace {

struct Activations {
  Tensor<float> x;
  std::vector<bool> row_has_outlier;
};

Activations activations_with(double outlier, Index rows, Index columns, std::uint64_t seed) {
  constexpr std::uint64_t one_in = 1000;
  base::Random random(seed);
  Activations a{random_normal<float>(rows, columns, 1.0, random), std::vector<bool>(static_cast<std::size_t>(rows))};
  // Half of the rows have none, so that there are rows that suffer only from others.
  for (Index r = 0; r < rows / 2; ++r) {
    for (Index c = 0; c < columns; ++c) {
      if (random.below(one_in) != 0) continue;
      a.x(r, c) *= static_cast<float>(outlier);
      a.row_has_outlier[static_cast<std::size_t>(r)] = outlier != 1.0;
    }
  }
  return a;
}

ScalingRow scaling_row(const Activations& activations, const Tensor<float>& w, const std::vector<double>& exact,
                       const Fp8Format format, bool block) {
  const Tensor<float>& x = activations.x;
  const QuantizeOptions of_x = block ? QuantizeOptions{1, 128, format, false} : QuantizeOptions{0, 0, format, false},
                        of_w = block ? QuantizeOptions{128, 128, format, false} : of_x;
  const Tensor<float> qx = dequantize(quantize(x, of_x)), qw = dequantize(quantize(w, of_w));
  const std::vector<double> y =
      products(qx, qw, [&](const float* a, const float* b) { return exact_sum(a, b, x.columns()); });
  ScalingRow row;
  row.format = format, row.block = block;
  std::vector<double> clean, clean_exact;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (activations.row_has_outlier[i / static_cast<std::size_t>(w.rows())]) continue;
    clean.push_back(y[i]), clean_exact.push_back(exact[i]);
  }
  row.error = statistics_of(clean, clean_exact).rms;
  row.all_rows = statistics_of(y, exact).rms;
  Index lost = 0;
  for (Index i = 0; i < x.size(); ++i) lost += x.data()[i] != 0.0f && qx.data()[i] == 0.0f ? 1 : 0;
  row.lost = static_cast<double>(lost) / static_cast<double>(x.size());
  return row;
}

}  // namespace

std::vector<ScalingRow> scaling_study(Index outputs, Index k, const std::vector<double>& outliers, std::uint64_t seed) {
  base::Random random(seed + 1);
  const Tensor<float> w = random_normal<float>(outputs, k, 0.02, random);
  std::vector<ScalingRow> rows;
  for (const double outlier : outliers) {
    const Activations activations = activations_with(outlier, outputs, k, seed);
    const std::vector<double> exact =
        products(activations.x, w, [&](const float* a, const float* b) { return exact_sum(a, b, k); });
    for (const Fp8Format format : {e4m3, e5m2}) {
      for (const bool block : {false, true}) {
        rows.push_back(scaling_row(activations, w, exact, format, block));
        rows.back().outlier = outlier;
      }
    }
  }
  return rows;
}

double promotion_share(int promotion) {
  constexpr double tensor_core_multiply_adds = 4096.0, lanes = 128.0;  // an SM, a cycle
  return promotion == 0 ? 0.0 : (1.0 / lanes) / (static_cast<double>(promotion) / tensor_core_multiply_adds);
}

}  // namespace hourglass::kernels
