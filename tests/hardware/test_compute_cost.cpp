#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "hardware/compute_cost.h"

using namespace hourglass;
using hardware::Cluster;
using hardware::Conditions;
using hardware::gemm_seconds;
using hardware::GemmShape;
using hardware::MathType;
using hardware::Profile;

namespace {

Cluster cluster_of(const std::string& name) {
  const std::string path = std::string(HOURGLASS_SOURCE_DIR) + "/configs/clusters/" + name + ".json";
  return hardware::read_cluster(base::load_json(path).value, path);
}
Profile profile_of(const std::string& name) {
  const std::string path = std::string(HOURGLASS_SOURCE_DIR) + "/configs/profiles/" + name + ".json";
  return hardware::read_profile(base::load_json(path).value, path);
}

// A machine of data-sheet speed: every efficiency 1, no overhead, memory never in the way.
Profile ideal() {
  Profile profile;
  for (hardware::GemmClass* kernel :
       {&profile.gemm_bf16, &profile.gemm_fp8, &profile.grouped_gemm_bf16, &profile.grouped_gemm_fp8}) {
    kernel->main_loop_efficiency = 1.0;
  }
  profile.elementwise.efficiency = 1e9;
  return profile;
}

// FP8 [m, k] x [k, n].
GemmShape fp8(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t groups = 1) {
  return {groups, m, n, k, MathType::fp8, 2.0, false};
}

struct Row {
  std::int64_t m, n, k;
  double tflops;
};

// Relative errors of the model's TFLOPS, sorted.
std::vector<double> errors(const std::vector<Row>& rows) {
  const Cluster h800 = cluster_of("h800");
  const Profile profile = profile_of("h800");
  std::vector<double> out;
  for (const Row& row : rows) {
    const double flops = 2.0 * static_cast<double>(row.m) * static_cast<double>(row.n) * static_cast<double>(row.k);
    out.push_back(
        std::abs(flops / gemm_seconds(h800, profile, fp8(row.m, row.n, row.k), {}) / 1e12 / row.tflops - 1.0));
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool within(const std::vector<double>& sorted, double median, double worst) {
  return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2.0 < median && sorted.back() < worst;
}

}  // namespace

// deepseek-ai/DeepGEMM README @a9967bc (2025-04-09), H800, dense, M = 4096. The profile was fitted to these among
// others: this guards the fit, it is no holdout. Six weeks earlier (@a6d97a1) the library was up to 31 % slower: one
// profile cannot meet both.
TEST_CASE("DeepGEMM's published H800 rates come out within 25 % each and 9 % at the median") {
  CHECK(within(errors({{4096, 2112, 7168, 1127},
                       {4096, 24576, 1536, 1212},
                       {4096, 32768, 512, 775},
                       {4096, 7168, 16384, 1520},
                       {4096, 4096, 7168, 1410},
                       {4096, 7168, 2048, 1168}}),
               0.09, 0.25));
}

TEST_CASE("on an ideal machine whole waves of whole tiles run at the peak, and one tile more costs a whole wave") {
  const Cluster h800 = cluster_of("h800");
  const double peak = h800.fp8_flops;
  const auto seconds = [&](std::int64_t m, std::int64_t n, std::int64_t k) {
    return gemm_seconds(h800, ideal(), fp8(m, n, k), {});
  };
  // 132 tiles of 64 x 16, the smallest, on 132 SMs.
  const double wave = 2.0 * 132 * 64 * 16 * 4096 / peak;
  CHECK(seconds(132 * 64, 16, 4096) == doctest::Approx(wave));
  CHECK(seconds(132 * 64 + 1, 16, 4096) == doctest::Approx(2.0 * wave));
  CHECK(seconds(2 * 132 * 64, 16, 4096) == doctest::Approx(2.0 * wave));
  // Tile quantisation: one row or one column costs a tile, and k is padded to 128.
  CHECK(seconds(1, 1, 4096) == doctest::Approx(wave));
  CHECK(seconds(64, 16, 4096 - 127) == doctest::Approx(wave));
  // Twenty SMs fewer: 112 tiles a wave.
  CHECK(gemm_seconds(h800, ideal(), fp8(112 * 64, 16, 4096), Conditions{20}) == doctest::Approx(wave));
  CHECK(gemm_seconds(h800, ideal(), fp8(113 * 64, 16, 4096), Conditions{20}) == doctest::Approx(2.0 * wave));
  // Groups are tiles like others.
  CHECK(gemm_seconds(h800, ideal(), fp8(64, 16, 4096, 132), {}) == doctest::Approx(wave));
  CHECK(gemm_seconds(h800, ideal(), fp8(64, 16, 4096, 133), {}) == doctest::Approx(2.0 * wave));
}

TEST_CASE("a single tile costs launch, overhead and its main loop slowed by the operands it loads") {
  const Cluster h800 = cluster_of("h800");
  Profile profile = ideal();
  profile.gemm_fp8.main_loop_efficiency = 0.5;
  profile.gemm_fp8.operand_elements = 32.0;
  profile.gemm_fp8.tile_overhead_s = 2e-6;
  profile.gemm_fp8.launch_s = 5e-6;
  profile.gemm_fp8.weight_gradient_slowdown = 1.4;
  // 64 x 16 loads 1/64 + 1/16 operand elements a FLOP pair: 1 + 32 (1/64 + 1/16) = 3.5 times as slow.
  const double tile = 2e-6 + 2.0 * 64 * 16 * 16384 * 3.5 / (h800.fp8_flops / 132.0 * 0.5);
  CHECK(gemm_seconds(h800, profile, fp8(64, 16, 16384), {}) == doctest::Approx(5e-6 + tile));
  GemmShape gradient = fp8(64, 16, 16384);
  gradient.weight_gradient = true;
  CHECK(gemm_seconds(h800, profile, gradient, {}) == doctest::Approx(5e-6 + 1.4 * tile));
  profile.in_situ.gemm_slowdown = 1.2;
  CHECK(gemm_seconds(h800, profile, fp8(64, 16, 16384), Conditions{20}) == doctest::Approx(5e-6 + 1.2 * tile));
}

TEST_CASE(
    "a skinny GEMM waits for HBM: launch and every operand once; nothing is faster than a launch; nothing is free") {
  const Cluster h800 = cluster_of("h800");
  const Profile profile = profile_of("h800");
  const double bytes = 64.0 * 16384 + 7168.0 * 16384 + 64.0 * 7168 * 2;
  const double seconds = gemm_seconds(h800, profile, fp8(64, 7168, 16384), {});
  CHECK(seconds ==
        doctest::Approx(profile.gemm_fp8.launch_s + bytes / (h800.memory_bandwidth * profile.elementwise.efficiency)));
  // DeepGEMM README, 64 x 7168 x 16384 on H800: 44.74 us derived from its 336 TFLOPS.
  CHECK(seconds == doctest::Approx(44.74e-6).epsilon(0.1));
  CHECK(gemm_seconds(h800, profile, fp8(1, 1, 1), {}) > profile.gemm_fp8.launch_s);
  CHECK(gemm_seconds(h800, profile, fp8(1, 1, 1), {}) < 3.0 * profile.gemm_fp8.launch_s);
  CHECK(gemm_seconds(h800, profile, fp8(0, 4096, 4096), {}) == 0.0);
}

TEST_CASE("more work is never faster, fewer SMs never faster, and no GEMM beats the peak: 2000 random shapes") {
  const Cluster h800 = cluster_of("h800");
  const Profile profile = profile_of("h800");
  base::Random random(2);
  int wrong = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto size = [&] { return static_cast<std::int64_t>(std::exp(random.uniform(0.0, std::log(32768.0)))); };
    const auto more = [&](std::int64_t value) {
      return value * static_cast<std::int64_t>(1 + random.below(4)) + static_cast<std::int64_t>(random.below(2));
    };
    GemmShape shape{static_cast<std::int64_t>(1 + random.below(8)),
                    size(),
                    size(),
                    size(),
                    random.below(2) == 0 ? MathType::fp8 : MathType::bf16,
                    2.0,
                    random.below(2) == 0};
    const double seconds = gemm_seconds(h800, profile, shape, {});
    const double peak = shape.math == MathType::fp8 ? h800.fp8_flops : h800.bf16_flops;
    const double flops = 2.0 * static_cast<double>(shape.groups) * static_cast<double>(shape.m) *
                         static_cast<double>(shape.n) * static_cast<double>(shape.k);
    wrong += seconds >= flops / peak ? 0 : 1;
    wrong += gemm_seconds(h800, profile, shape, Conditions{20}) >= seconds ? 0 : 1;
    for (std::int64_t GemmShape::*dimension : {&GemmShape::m, &GemmShape::n, &GemmShape::k}) {
      GemmShape larger = shape;
      larger.*dimension = more(larger.*dimension);
      wrong += gemm_seconds(h800, profile, larger, {}) >= seconds ? 0 : 1;
    }
    if (shape.groups > 1) {
      GemmShape larger = shape;
      larger.groups *= 2;
      wrong += gemm_seconds(h800, profile, larger, {}) >= seconds ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("FP8 on a GPU without FP8 tensor cores is refused, BF16 is not") {
  const Cluster a100 = cluster_of("a100");
  const Profile profile = profile_of("a100");
  CHECK_THROWS_WITH_AS(gemm_seconds(a100, profile, fp8(4096, 4096, 4096), {}),
                       "a100: no FP8 GEMM on this GPU; set plan.precision to bf16, or choose an H100 or H800",
                       base::Error);
  CHECK_THROWS_AS(gemm_seconds(a100, profile, fp8(4096, 4096, 4096, 4), {}), base::Error);
  CHECK(gemm_seconds(a100, profile, {1, 4096, 4096, 4096, MathType::bf16, 2.0, false}, {}) > 0.0);
}

TEST_CASE("attention: computed FLOPs over an efficiency that grows with the length; memory: bytes over bandwidth") {
  const Cluster h800 = cluster_of("h800");
  const Profile profile = profile_of("h800");
  const hardware::AttentionClass& a = profile.attention;
  const double rate = h800.bf16_flops * a.forward_efficiency / (1.0 + a.half_length / 4096.0);
  CHECK(hardware::attention_seconds(h800, profile, 0.687e12, 4096, false, {}) ==
        doctest::Approx(a.launch_s + 0.687e12 / rate));
  CHECK(hardware::attention_seconds(h800, profile, 1e12, 8192, false, {}) <
        hardware::attention_seconds(h800, profile, 1e12, 4096, false, {}));
  CHECK(hardware::attention_seconds(h800, profile, 1e12, 4096, true, {}) >
        hardware::attention_seconds(h800, profile, 1e12, 4096, false, {}));
  CHECK(hardware::attention_seconds(h800, profile, 0.0, 4096, false, {}) == 0.0);
  // FlashAttention-3 forward in deepseek-ai/profile-data train.json @4496024, beside communication: 1237 us.
  CHECK(hardware::attention_seconds(h800, profile, 0.687e12, 4096, false, Conditions{20}) ==
        doctest::Approx(1237e-6).epsilon(0.1));
  CHECK(hardware::memory_seconds(h800, profile, profile.cast, 1e9, {}) ==
        doctest::Approx(profile.cast.launch_s + 1e9 / (3350e9 * profile.cast.efficiency)));
  // The trace's BF16 scaling of 4096 x 7168, 117.4 MB: 41.0 us.
  CHECK(hardware::memory_seconds(h800, profile, profile.elementwise, 117.4e6, Conditions{20}) ==
        doctest::Approx(41.0e-6).epsilon(0.1));
}
