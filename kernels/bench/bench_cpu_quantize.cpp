#include <algorithm>
#include <cmath>

#include "kernels/bench/bench_cpu_cases.h"

namespace hourglass::kernels {

CpuQuantize::CpuQuantize(const BenchCase& c, std::uint64_t seed) : options_{c.at("block_rows"), 128, e4m3, false} {
  base::Random random(seed);
  x_ = random_normal<float>(c.at("rows"), c.at("width"), 1.0, random);
}

void CpuQuantize::run() { quantize(x_, options_, result_); }

std::string CpuQuantize::check() {
  run();
  const Quantized& q = result_;
  const Index block_rows = q.block_rows;
  for (Index r = 0; r < x_.rows(); r += block_rows) {
    for (Index c = 0; c < x_.columns(); c += 128) {
      float largest = 0.0f;
      const Index rows = std::min(r + block_rows, x_.rows()), columns = std::min<Index>(c + 128, x_.columns());
      for (Index i = r; i < rows; ++i) {
        for (Index j = c; j < columns; ++j) largest = std::max(largest, std::abs(x_(i, j)));
      }
      const float scale = block_scale(largest, e4m3, false);
      for (Index i = r; i < rows; ++i) {
        for (Index j = c; j < columns; ++j) {
          const float expected = fp8_decode(fp8_encode(x_(i, j) / scale, e4m3), e4m3) * scale;
          if (!(q.at(i, j) == expected)) return "a quantised value is not the nearest of its block's scale";
        }
      }
    }
  }
  return "";
}

}  // namespace hourglass::kernels
