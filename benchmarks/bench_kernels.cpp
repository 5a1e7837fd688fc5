// Each CPU kernel beside what bounds it, run by run in turn, so that a busy neighbour slows both:
//   GEMM-bound kernels against Eigen's own product of the same shapes: counter `of_eigen`, aimed at 0.85;
//   memory-bound ones against a copy that moves as many bytes: counter `of_copy`, aimed at 0.6.
// Caches are cold before either. Compiled for this machine's processor, as the kernels are.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <omp.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/bench/bench.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/bench/bench_cpu_cases.h"

namespace {

using namespace hourglass;
using kernels::BenchCase;
using kernels::Pass;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Run = std::function<double()>;  // seconds

double timed(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

kernels::Backend& backend() {
  static const std::unique_ptr<kernels::Backend> cpu = kernels::make_backend("cpu", {});
  return *cpu;
}
kernels::CacheEviction& evict() {
  static kernels::CacheEviction eviction;
  return eviction;
}

// y = x w^T and its gradients, as a user of Eigen writes them; groups one after the other.
Run eigen_product(const BenchCase& c) {
  const auto m = c.at("m"), n = c.at("n"), k = c.at("k");
  const std::int64_t groups = c.kernel == "grouped_gemm" ? c.at("groups") : 1;
  auto x = std::make_shared<std::vector<RowMajor>>(), w = std::make_shared<std::vector<RowMajor>>(),
       y = std::make_shared<std::vector<RowMajor>>();
  for (std::int64_t g = 0; g < groups; ++g) {
    x->push_back(RowMajor::Random(m, k));
    w->push_back(RowMajor::Random(n, k));
    y->push_back(RowMajor::Random(m, n));
  }
  return [=, pass = c.pass] {
    evict()();
    return timed([&] {
      for (std::size_t g = 0; g < x->size(); ++g) {
        if (pass == Pass::forward) (*y)[g].noalias() = (*x)[g] * (*w)[g].transpose();
        if (pass == Pass::backward_input) (*x)[g].noalias() = (*y)[g] * (*w)[g];
        if (pass == Pass::backward_weight) (*w)[g].noalias() += (*y)[g].transpose() * (*x)[g];
      }
    });
  };
}

// The products of attention alone, no softmax: blocks of 128 rows of queries against the keys that they see, heads
// over threads.
Run eigen_attention(const BenchCase& c) {
  const auto length = c.at("q_length"), heads = c.at("heads"), qk = c.at("qk_dim"), v = c.at("v_dim");
  struct Head {
    RowMajor q, k, v, o, d_k, d_v;
  };
  auto data = std::make_shared<std::vector<Head>>();
  for (std::int64_t h = 0; h < heads; ++h) {
    data->push_back({RowMajor::Random(length, qk), RowMajor::Random(length, qk), RowMajor::Random(length, v),
                     RowMajor::Random(length, v), RowMajor::Zero(length, qk), RowMajor::Zero(length, v)});
  }
  return [=, forward = c.pass == Pass::forward] {
    evict()();
    return timed([&] {
#pragma omp parallel for schedule(dynamic)
      for (std::int64_t h = 0; h < heads; ++h) {
        Head& d = (*data)[static_cast<std::size_t>(h)];
        for (std::int64_t first = 0; first < length; first += 128) {
          const std::int64_t rows = std::min<std::int64_t>(128, length - first), keys = first + rows;
          RowMajor s(rows, keys);
          s.noalias() = d.q.middleRows(first, rows) * d.k.topRows(keys).transpose();
          if (forward) {
            d.o.middleRows(first, rows).noalias() = s * d.v.topRows(keys);
            continue;
          }
          RowMajor ds(rows, keys);
          ds.noalias() = d.o.middleRows(first, rows) * d.v.topRows(keys).transpose();
          d.d_k.topRows(keys).noalias() += ds.transpose() * d.q.middleRows(first, rows);
          d.d_v.topRows(keys).noalias() += s.transpose() * d.o.middleRows(first, rows);
          RowMajor dq(rows, qk);
          dq.noalias() = ds * d.k.topRows(keys);
          benchmark::DoNotOptimize(dq.data());
        }
      }
    });
  };
}

Run copy_of_as_many_bytes(const BenchCase& c) {
  const auto one_side = static_cast<std::int64_t>(kernels::bytes_of(c) / 2.0) / 4 * 4;
  std::shared_ptr<kernels::PreparedCase> copy =
      backend().prepare({"copy", Pass::forward, "fp32", "", {{"bytes", one_side}}, ""}, 1);
  return [copy] { return copy->run().seconds; };
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void beside(benchmark::State& state, const BenchCase& c) {
  const bool gemm = kernels::flops_of(c) > 0.0;
  const std::unique_ptr<kernels::PreparedCase> prepared = backend().prepare(c, 1);
  if (const std::string wrong = prepared->check(); !wrong.empty()) return state.SkipWithError(wrong.c_str());
  const Run bound = !gemm ? copy_of_as_many_bytes(c) : c.kernel == "attention" ? eigen_attention(c) : eigen_product(c);
  prepared->run(), bound();
  std::vector<double> ours, theirs;
  for (auto _ : state) {
    theirs.push_back(bound());
    ours.push_back(prepared->run().seconds);
    state.SetIterationTime(ours.back());
  }
  state.counters[gemm ? "of_eigen" : "of_copy"] = median(theirs) / median(ours);
  state.counters[gemm ? "GFLOPs" : "GBps"] = (gemm ? kernels::flops_of(c) : kernels::bytes_of(c)) / median(ours) * 1e-9;
}

// One large case of each kernel and pass: for GEMM the widest, for memory-bound ones beyond every cache.
std::vector<BenchCase> cases() {
  std::vector<BenchCase> all;
  const auto add = [&](const char* kernel, std::map<std::string, std::int64_t> shape, std::vector<Pass> passes) {
    for (const Pass pass : passes) all.push_back({kernel, pass, "fp32", "", shape, ""});
  };
  const std::vector<Pass> three = {Pass::forward, Pass::backward_input, Pass::backward_weight},
                          two = {Pass::forward, Pass::backward_input}, one = {Pass::forward};
  add("gemm", {{"m", 512}, {"n", 1792}, {"k", 1792}}, three);
  add("gemm", {{"m", 512}, {"n", 1536}, {"k", 384}}, three);
  add("grouped_gemm", {{"groups", 8}, {"m", 128}, {"n", 1024}, {"k", 1792}}, three);
  add("attention",
      {{"batch", 1},
       {"q_length", 1024},
       {"kv_length", 1024},
       {"heads", 8},
       {"kv_heads", 8},
       {"qk_dim", 192},
       {"v_dim", 128},
       {"causal", 1}},
      two);
  add("rms_norm", {{"rows", 8192}, {"width", 1792}}, three);
  add("rotary", {{"rows", 8192}, {"heads", 8}, {"step", 192}, {"width", 64}}, two);
  add("swiglu", {{"rows", 4096}, {"width", 4608}}, two);
  add("quantize", {{"rows", 8192}, {"width", 1792}, {"block_rows", 1}}, one);
  add("quantize", {{"rows", 8192}, {"width", 1792}, {"block_rows", 128}}, one);
  add("permute", {{"tokens", 4096}, {"experts", 64}, {"top_k", 4}, {"width", 1792}}, two);
  add("unpermute", {{"tokens", 4096}, {"experts", 64}, {"top_k", 4}, {"width", 1792}}, two);
  add("cross_entropy", {{"rows", 4096}, {"vocabulary", 8080}}, two);
  add("residual", {{"rows", 8192}, {"width", 1792}}, one);
  add("embedding", {{"rows", 8192}, {"width", 1792}, {"vocabulary", 8080}}, {Pass::forward, Pass::backward_weight});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  for (const BenchCase& c : cases()) {
    benchmark::RegisterBenchmark(kernels::describe(c).c_str(), [c](benchmark::State& state) { beside(state, c); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(9);  // enough for a median; the eviction between runs takes longer than most of them
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
