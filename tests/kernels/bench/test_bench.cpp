// Cases and samples, suites, the measuring loop on a backend whose times are known, and the CPU backend's own checks.
#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "kernels/bench/bench.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/bench/bench_layer.h"

using namespace hourglass;
using namespace hourglass::kernels;

namespace {

BenchCase gemm(Pass pass, std::int64_t m, std::int64_t n, std::int64_t k) {
  return {"gemm", pass, "fp32", "", {{"m", m}, {"n", n}, {"k", k}}, "q_proj"};
}

// Runs of known times.
struct Script {
  std::vector<RunTime> times;
  std::string fault;
  std::size_t next = 0;
};
class ScriptedCase : public PreparedCase {
 public:
  explicit ScriptedCase(Script& script) : script_(script) {}
  std::string check() override { return script_.fault; }
  RunTime run() override { return script_.times[script_.next++ % script_.times.size()]; }

 private:
  Script& script_;
};
class ScriptedBackend : public Backend {
 public:
  explicit ScriptedBackend(Script& script) : script_(script) {}
  std::string name() const override { return "scripted"; }
  DeviceDescription device() override { return {"a device", {}, "kernel", 1}; }
  std::string unsupported(const BenchCase& c) const override { return c.kernel == "rotary" ? "cannot turn" : ""; }
  std::unique_ptr<PreparedCase> prepare(const BenchCase&, std::uint64_t) override {
    return std::make_unique<ScriptedCase>(script_);
  }

 private:
  Script& script_;
};

const auto never = [] { return false; };

Measurement measured(Script script, const StoppingRule& rule) {
  ScriptedBackend backend(script);
  return measure(backend, gemm(Pass::forward, 64, 64, 64), rule, 1, never);
}

}  // namespace

TEST_CASE("a gradient's sample is the GEMM that computes it") {
  const hardware::Sample forward = sample_of(gemm(Pass::forward, 2, 3, 5)),
                         input = sample_of(gemm(Pass::backward_input, 2, 3, 5)),
                         weight = sample_of(gemm(Pass::backward_weight, 2, 3, 5));
  CHECK(forward.shape == std::map<std::string, double>{{"m", 2}, {"n", 3}, {"k", 5}});
  CHECK(input.shape == std::map<std::string, double>{{"m", 2}, {"n", 5}, {"k", 3}});
  CHECK(weight.shape == std::map<std::string, double>{{"m", 3}, {"n", 5}, {"k", 2}});
  CHECK(weight.name == "q_proj wgrad");
  CHECK(weight.weight_gradient);
  CHECK(!input.weight_gradient);
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight})
    CHECK(flops_of(gemm(pass, 2, 3, 5)) == 60.0);
}

TEST_CASE("memory-bound samples are the bytes that must move") {
  CHECK(sample_of({"rms_norm", Pass::backward_input, "fp32", "", {{"rows", 4}, {"width", 8}}, ""}).at("bytes") ==
        384.0);
  const hardware::Sample cast =
      sample_of({"quantize", Pass::forward, "fp32", "", {{"rows", 128}, {"width", 256}, {"block_rows", 128}}, ""});
  CHECK(cast.op == "cast");
  CHECK(cast.at("bytes") == 128.0 * 256.0 * 5.0 + 2.0 * 4.0);
  CHECK(sample_of({"copy", Pass::forward, "fp32", "", {{"bytes", 1000}}, ""}).at("bytes") == 2000.0);
}

TEST_CASE("every case of every suite has a whole sample") {
  for (const char* backend : {"cpu", "cuda", "nccl"}) {
    for (const char* suite : {"quick", "deepseek-v3"}) {
      const std::vector<BenchCase> cases = named_suite(suite, backend);
      CHECK(cases.size() > 10);
      for (const BenchCase& c : cases) {
        hardware::Sample s = sample_of(c);
        s.seconds = 1e-3;
        CHECK_MESSAGE(hardware::sample_fault(s).empty(), describe(c));
      }
    }
  }
  CHECK_THROWS_AS(named_suite("slow", "cpu"), base::UsageError);
}

TEST_CASE("a list in a suite file stands for one case each") {
  const auto read = [](const char* text) { return read_suite(base::parse_json(text, "s.json"), "s.json"); };
  const std::vector<BenchCase> cases = read(
      R"({"schema": "1.0.0", "cases": [{"kernel": "gemm", "pass": ["forward", "weight_gradient"], "m": [64, 128], "n": 32, "k": 16}]})");
  REQUIRE(cases.size() == 4);
  CHECK(describe(cases[0]) == "gemm forward fp32 m=64 n=32 k=16");
  CHECK(describe(cases[3]) == "gemm weight_gradient fp32 m=128 n=32 k=16");
  for (const char* wrong :
       {R"({"schema": "1.0.0", "cases": []})", R"({"schema": "2.0.0", "cases": []})",
        R"({"schema": "1.0.0", "cases": [{"kernel": "gem", "m": 1, "n": 1, "k": 1}]})",
        R"({"schema": "1.0.0", "cases": [{"kernel": "gemm", "m": 1, "n": 1}]})",
        R"({"schema": "1.0.0", "cases": [{"kernel": "gemm", "m": 0, "n": 1, "k": 1}]})",
        R"({"schema": "1.0.0", "cases": [{"kernel": "gemm", "m": 1, "n": 1, "k": 1, "width": 1}]})",
        R"({"schema": "1.0.0", "cases": [{"kernel": "gemm", "pass": "sideways", "m": 1, "n": 1, "k": 1}]})"})
    CHECK_THROWS_AS(read(wrong), base::Error);
}

TEST_CASE("the loop stops when the mean is known, takes the median, and leaves disturbed runs out") {
  const StoppingRule rule{0, 5, 100, 0.01, 10.0};
  const Measurement steady = measured({{{1e-3, false}}, "", 0}, rule);
  CHECK(steady.settled);
  CHECK(steady.sample.runs == 5);
  CHECK(steady.sample.seconds == 1e-3);
  const Measurement disturbed = measured({{{1e-3, false}, {9e-3, true}}, "", 0}, rule);
  CHECK(disturbed.sample.seconds == 1e-3);
  CHECK(disturbed.disturbed == 4);
  const Measurement noisy = measured({{{1e-3, false}, {2e-3, false}, {3e-3, false}}, "", 0}, rule);
  CHECK_FALSE(noisy.settled);
  CHECK(noisy.sample.runs == 100);
  CHECK(noisy.sample.seconds == 2e-3);
  // Of 1, 2, 3 ms in turn the relative deviation is 41 %; the mean of n is known to 41 % / sqrt(n): 5 % from 68 on.
  const Measurement enough = measured({{{1e-3, false}, {2e-3, false}, {3e-3, false}}, "", 0}, {0, 5, 1000, 0.05, 10.0});
  CHECK(enough.settled);
  CHECK(enough.sample.runs == doctest::Approx(67).epsilon(0.05));
}

TEST_CASE("where all runs are disturbed the fastest quarter is taken, and not called settled") {
  const Measurement busy =
      measured({{{8e-3, true}, {1e-3, true}, {9e-3, true}, {7e-3, true}}, "", 0}, {0, 5, 8, 0.01, 10.0});
  CHECK(busy.sample.seconds == 1e-3);
  CHECK_FALSE(busy.settled);
  CHECK(busy.disturbed == 8);
}

TEST_CASE("wrong results, unsupported cases and interrupts are no samples") {
  Script script{{{1e-3, false}}, "3 of 4 values are wrong", 0};
  CHECK(measured(script, {}).fault == "3 of 4 values are wrong");
  CHECK(measured(script, {}).sample.runs == 0);
  ScriptedBackend backend(script);
  const BenchCase rotary{"rotary", Pass::forward, "fp32", "", {}, ""};
  CHECK(measure(backend, rotary, {}, 1, never).fault == "cannot turn");
  script.fault.clear();
  CHECK(measure(backend, gemm(Pass::forward, 8, 8, 8), {}, 1, [] { return true; }).fault == "interrupted");
}

TEST_CASE("every kernel and pass of the CPU gives right results") {
  const std::unique_ptr<Backend> cpu = make_backend("cpu", {1});
  std::map<std::string, int> seen;
  for (BenchCase c : named_suite("quick", "cpu")) {
    if (seen[c.kernel + name_of(c.pass)]++ > 0) continue;
    for (const char* key : {"rows", "tokens", "m"}) {
      if (c.shape.contains(key)) c.shape[key] = 24;
    }
    CHECK(cpu->unsupported(c) == "");
    CHECK_MESSAGE(cpu->prepare(c, 7)->check() == "", describe(c));
  }
  CHECK(seen.size() >= 20);
  CHECK_FALSE(cpu->unsupported({"all_reduce", Pass::forward, "fp32", "", {}, ""}).empty());
  CHECK_FALSE(cpu->unsupported({"swiglu", Pass::backward_weight, "fp32", "", {}, ""}).empty());
  CHECK_FALSE(cpu->unsupported({"gemm", Pass::forward, "bf16", "", {}, ""}).empty());
  CHECK_THROWS_AS(make_backend("abacus", {}), base::UsageError);
}

TEST_CASE("a layer's operators are the work of its passes") {
  const auto gemm_flops = [](const LayerShape& shape, Pass pass) {
    double sum = 0.0;
    for (const BenchCase& c : operators_of(shape, pass)) sum += c.kernel == "attention" ? 0.0 : flops_of(c);
    return sum;
  };
  for (const bool experts : {false, true}) {
    const LayerShape shape{512, experts};
    const double forward = gemm_flops(shape, Pass::forward);
    CHECK(gemm_flops(shape, Pass::backward_input) == forward);
    CHECK(gemm_flops(shape, Pass::backward_weight) == forward);
  }
  // Twice the tokens times the weights, of MLA and of the MLP.
  const double attention = 1792.0 * 384 + 384.0 * 1536 + 1792.0 * 128 + 128.0 * 2048 + 1792.0 * 64 + 1024.0 * 1792;
  CHECK(gemm_flops({512, false}, Pass::forward) == 2.0 * 512 * (attention + 1792.0 * 4608 * 3));
}
