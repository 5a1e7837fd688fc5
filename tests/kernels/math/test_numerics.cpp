// The accumulator against sums done by hand, and what the studies must show whatever the data.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/math/numerics.h"

using namespace hourglass;
using namespace hourglass::kernels;

namespace {

double sum_of(std::vector<float> a, const Accumulator& with) {
  a.resize((a.size() + 31) / 32 * 32, 0.0f);
  const std::vector<float> ones(a.size(), 1.0f);
  return accumulate(a.data(), ones.data(), static_cast<Index>(a.size()), with);
}

}  // namespace

TEST_CASE("14 bits keep 13 behind the leading one; the rest is cut towards zero") {
  const Accumulator with{14, 32, 0};
  CHECK(sum_of({1.0f, 0x1p-13f}, with) == 1.0 + 0x1p-13);
  CHECK(sum_of({1.0f, 0x1p-14f}, with) == 1.0);
  CHECK(sum_of({-1.0f, -0x1.8p-13f}, with) == -1.0 - 0x1p-13);
  CHECK(sum_of({1.0f, 0x1p-14f}, {15, 32, 0}) == 1.0 + 0x1p-14);
  // Every product is cut at the largest one's last bit, even where together they would count.
  std::vector<float> small(32, 0x1p-14f);
  small[0] = 1.0f;
  CHECK(sum_of(small, with) == 1.0);
  CHECK(sum_of(std::vector<float>(32, 0.0f), with) == 0.0);
}

TEST_CASE("the accumulator takes part in the alignment, until it is promoted") {
  // 32 ones, then 2048 times 2^-9: at 32 the last bit is worth 2^-8.
  std::vector<float> values(32, 1.0f);
  values.resize(32 + 2048, 0x1p-9f);
  CHECK(sum_of(values, {14, 32, 0}) == 32.0);
  CHECK(sum_of(values, {14, 32, 32}) == 36.0);
  CHECK_THROWS_AS(sum_of(values, {14, 32, 48}), base::Error);
  CHECK_THROWS_AS(sum_of(values, {1, 32, 0}), base::Error);
}

TEST_CASE("at k = 4096 without promotion the largest error is of the order of 2 %; promotion every 128 removes it") {
  const std::vector<AccumulationRow> rows =
      accumulation_study(48, {1024, 4096}, {0, 512, 128, 32}, 14, Data::normal, 3);
  REQUIRE(rows.size() == 8);
  const auto error = [&](std::size_t i) { return rows[i].error.largest; };
  CHECK(error(4) > 0.005);
  CHECK(error(4) < 0.03);
  CHECK(error(4) > error(0));  // grows with k
  for (std::size_t i = 5; i < 8; ++i) CHECK(error(i) < error(i - 1));
  CHECK(error(6) < error(4) / 4.0);
  // All of one sign: every cut goes the same way.
  const std::vector<AccumulationRow> positive = accumulation_study(16, {4096}, {0, 128}, 14, Data::uniform, 3);
  CHECK(positive[0].error.median_relative > 0.01);
  CHECK(positive[1].error.median_relative < positive[0].error.median_relative / 4.0);
}

TEST_CASE("statistics by hand") {
  const ErrorStatistics s = statistics_of({1.0, 2.5, 0.0}, {1.0, 2.0, 0.0});
  CHECK(s.largest == doctest::Approx(0.5 / std::sqrt(5.0 / 3.0)));
  CHECK(s.rms == doctest::Approx(0.5 / std::sqrt(5.0)));
  CHECK(s.p99_relative == 0.25);
  CHECK(statistics_of({}, {}).largest == 0.0);
}

TEST_CASE("outliers: one scale for the tensor makes the others pay, block scales do not") {
  const std::vector<ScalingRow> rows = scaling_study(32, 512, {1.0, 100000.0}, 5);
  REQUIRE(rows.size() == 8);  // by outlier, then E4M3 tensor, block, E5M2 tensor, block
  const double e4m3_plain = rows[0].error, e5m2_plain = rows[2].error;
  CHECK(e4m3_plain < e5m2_plain);  // three bits of mantissa against two
  CHECK(rows[4].error > 3.0 * e4m3_plain);
  CHECK(rows[4].lost > 0.1);
  CHECK(rows[5].error == doctest::Approx(rows[1].error).epsilon(0.2));
  CHECK(rows[6].error < rows[4].error);  // the wider range of E5M2 loses less
  for (const ScalingRow& row : rows) CHECK(row.lost <= 1.0);
}

TEST_CASE("promotion costs 32 / interval of the tensor cores' time") {
  CHECK(promotion_share(0) == 0.0);
  CHECK(promotion_share(128) == 0.25);
  CHECK(promotion_share(32) == 1.0);
}

TEST_CASE("the vectorised encoder gives the codes of the definition for every kind of value") {
  // Bit patterns through the whole range of floats, NaN among them; a row of its own for each, so that each has a
  // scale.
  for (const Fp8Format format : {e4m3, e5m2}) {
    Tensor<float> x(1, 1 << 16);
    std::uint32_t bits = 0x12345u;
    for (Index i = 0; i < x.size(); ++i) {
      bits = bits * 1664525u + 1013904223u;
      float value = float_of(bits);
      // Mostly within the format's range of the scale 1 that the last value sets.
      if (i % 4 != 0)
        value = std::ldexp(value == value ? std::remainder(value, 2.0f) : 1.0f, static_cast<int>(bits % 30u) - 20);
      if (std::isinf(value) || std::abs(value) > format.largest) value = 0.5f;
      x.data()[i] = value;
    }
    x.data()[x.size() - 1] = format.largest;
    const Quantized q = quantize(x, {1, 0, format, false});
    REQUIRE(q.scales[0] == 1.0f);
    for (Index i = 0; i < x.size(); ++i)
      if (q.codes[static_cast<std::size_t>(i)] != fp8_encode(x.data()[i], format))
        FAIL("the code of " << x.data()[i] << " differs");
  }
}
