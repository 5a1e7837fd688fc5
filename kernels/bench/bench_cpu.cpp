// The CPU backend. Times are taken around the call by the steady clock (a call costs nanoseconds and a kernel
// microseconds at least, so a sample counts as the kernel's own time). A run in which the kernel of the operating
// system took a thread off its core before it was done (an involuntary context switch) is marked as disturbed.
//
// Check. The operators are templates: the single-precision result is compared with the double-precision one on the
// same numbers, and may be off by 1e-3 of the largest value. A kernel left out, a wrong block or a race is far beyond
// that; rounding is far below.
//
// Caches are cold: before every run all threads read through a buffer larger than the last-level cache, as GPU
// benchmarks flush the L2. The weights of a layer are cold when its turn comes; what one operator leaves for the next
// is not, so that a layer is a little faster than the sum of its samples.
//
// Limits: cores are not pinned; clocks are what the governor makes of them.
#include <fmt/format.h>
#include <omp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>

#include "base/error.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/bench/bench_cpu_cases.h"

namespace hourglass::kernels {

namespace {

long involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

RunTime timed(const std::function<void()>& body) {
  using Clock = std::chrono::steady_clock;
  const long before = involuntary_switches();
  const Clock::time_point start = Clock::now();
  body();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {seconds, involuntary_switches() != before};
}

namespace {

// What differs between an output and its reference: "" or a sentence.
std::string difference(Tensor<float>& got, Tensor<double>& expected, double may_differ) {
  double largest = 0.0;
  for (Index i = 0; i < expected.size(); ++i) largest = std::max(largest, std::abs(expected.data()[i]));
  Index wrong = 0;
  double worst = 0.0;
  for (Index i = 0; i < expected.size(); ++i) {
    const double error = std::abs(static_cast<double>(got.data()[i]) - expected.data()[i]);
    if (error <= 1e-3 * largest) continue;  // NaN, left by poisoning, is not
    ++wrong;
    if (!(error <= worst)) worst = error;
  }
  if (static_cast<double>(wrong) <= may_differ * static_cast<double>(expected.size())) return "";
  return fmt::format("{} of {} values are wrong, by up to {:.2g} where the largest is {:.2g}", wrong, expected.size(),
                     worst, largest);
}

// What the operating system calls the last level may be the sum over all dies of a socket.
constexpr std::size_t smallest_eviction = std::size_t{64} << 20, largest_eviction = std::size_t{128} << 20;

class PreparedOperator : public PreparedCase {
 public:
  PreparedOperator(const BenchCase& c, std::uint64_t seed, CacheEviction& evict)
      : evict_(evict), case_(c), seed_(seed), operator_(make_cpu_operator<float>(c, seed)) {}

  std::string check() override {
    const std::unique_ptr<CpuOperator<double>> reference = make_cpu_operator<double>(case_, seed_);
    reference->reset(), operator_->reset();
    reference->run(), operator_->run();
    const auto expected = reference->outputs();
    const auto got = operator_->outputs();
    for (std::size_t i = 0; i < got.size(); ++i) {
      const std::string wrong = difference(*got[i], *expected[i], reference->differing());
      if (!wrong.empty()) return wrong;
    }
    operator_->reset();  // the weights of poisoned outputs are no input for a timed run
    return "";
  }
  RunTime run() override {
    evict_();
    return timed([&] { operator_->run(); });
  }

 private:
  CacheEviction& evict_;
  BenchCase case_;
  std::uint64_t seed_;
  std::unique_ptr<CpuOperator<float>> operator_;
};

class PreparedQuantize : public PreparedCase {
 public:
  PreparedQuantize(const BenchCase& c, std::uint64_t seed, CacheEviction& evict) : evict_(evict), quantize_(c, seed) {}
  std::string check() override { return quantize_.check(); }
  RunTime run() override {
    evict_();
    return timed([&] { quantize_.run(); });
  }

 private:
  CacheEviction& evict_;
  CpuQuantize quantize_;
};

}  // namespace

CacheEviction::CacheEviction() {
  const long last_level = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const std::size_t twice = last_level > 0 ? 2 * static_cast<std::size_t>(last_level) : 0;
  buffer_.assign(std::clamp(twice, smallest_eviction, largest_eviction) / sizeof(float), 1.0f);
}

void CacheEviction::operator()() {
  const auto lines = static_cast<Index>(buffer_.size() / 16);
  float sum = 0.0f;
#pragma omp parallel for schedule(static) reduction(+ : sum)
  for (Index line = 0; line < lines; ++line) sum += buffer_[static_cast<std::size_t>(line * 16)];
  sum_ += sum;
}

namespace {

std::string cpu_information(const std::string& key) {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "";
}

// Independent multiply-adds in registers, as wide as Eigen's vectors, on every thread: FLOP/s, the best of several.
double multiply_add_rate() {
  using Packet = Eigen::internal::packet_traits<float>::type;
  constexpr int chains = 12, steps = 200'000;
  constexpr int lanes = Eigen::internal::packet_traits<float>::size;
  constexpr double flops_of_step = 2.0 * chains * lanes;
  double best = 0.0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    float keep = 0.0f;
    const RunTime time = timed([&] {
#pragma omp parallel reduction(+ : keep)
      {
        Packet sums[chains];
        for (Packet& sum : sums) sum = Eigen::internal::pset1<Packet>(1.0f);
        const Packet factor = Eigen::internal::pset1<Packet>(0.999f), term = Eigen::internal::pset1<Packet>(1e-3f);
        for (int step = 0; step < steps; ++step) {
          for (Packet& sum : sums) sum = Eigen::internal::pmadd(sum, factor, term);
        }
        for (const Packet& sum : sums) keep += Eigen::internal::predux(sum);
      }
    });
    if (keep > 0.0f) best = std::max(best, flops_of_step * steps * omp_get_max_threads() / time.seconds);
  }
  return best;
}

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options) {
    if (options.threads < 0 || options.threads > 1024)
      throw base::UsageError(fmt::format("{} threads", options.threads), "--threads", "use 1 to 1024, or 0 for all");
    threads_ = options.threads > 0 ? options.threads : omp_get_num_procs();
    omp_set_num_threads(threads_);
  }
  std::string name() const override { return "cpu"; }

  DeviceDescription device() override {
    DeviceDescription d;
    const std::string model = cpu_information("model name");
    d.name = fmt::format("{}, {} thread{}", model.empty() ? "CPU" : model, threads_, threads_ == 1 ? "" : "s");
    d.processors = threads_;
    d.facts["threads"] = std::to_string(threads_);
    if (const std::string clock = cpu_information("cpu MHz"); !clock.empty()) d.facts["clock_MHz"] = clock;
    d.facts["compiler"] = __VERSION__;
    d.facts["libraries"] = fmt::format("Eigen {}.{}.{}, OpenMP {}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION,
                                       EIGEN_MINOR_VERSION, _OPENMP);
    const double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
    d.facts["memory"] = fmt::format("{:.1f} GiB", bytes / (1024.0 * 1024.0 * 1024.0));
    return d;
  }

  Ceilings ceilings() override {
    Ceilings c;
    c.flops = multiply_add_rate();
    const BenchCase copy{"copy", Pass::forward, "fp32", "", {{"bytes", std::int64_t{128} << 20}}, ""};
    const std::unique_ptr<PreparedCase> prepared = prepare(copy, 1);
    double fastest = prepared->run().seconds;
    for (int i = 0; i < 20; ++i) fastest = std::min(fastest, prepared->run().seconds);
    c.memory_bandwidth = bytes_of(copy) / fastest;
    c.memory_bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
    return c;
  }

  std::string unsupported(const BenchCase& c) const override {
    if (c.kernel == "quantize") {
      const Index block = c.at("block_rows");
      if (c.dtype != "fp32" || c.pass != Pass::forward) return "the CPU quantises forward, from fp32";
      return block == 1 || block == 128 ? "" : "block_rows is 1 or 128";
    }
    if (c.dtype != "fp32") return "the CPU kernels compute in fp32";
    static const std::vector<std::string> known = {"gemm",     "grouped_gemm", "attention", "rms_norm", "rotary",
                                                   "swiglu",   "permute",      "unpermute", "router",   "cross_entropy",
                                                   "residual", "embedding",    "copy"};
    if (std::find(known.begin(), known.end(), c.kernel) == known.end()) return "no kernel of the CPU";
    const bool has_weights =
        c.kernel == "gemm" || c.kernel == "grouped_gemm" || c.kernel == "rms_norm" || c.kernel == "embedding";
    if (c.pass == Pass::backward_weight && !has_weights) return c.kernel + " has no weights";
    if (c.kernel == "embedding" && c.pass == Pass::backward_input) return "an embedding has no input gradient";
    if ((c.kernel == "residual" || c.kernel == "copy") && c.pass != Pass::forward)
      return c.kernel + " has no gradient of its own";
    return shape_fault(c);
  }

  std::unique_ptr<PreparedCase> prepare(const BenchCase& c, std::uint64_t seed) override {
    if (c.kernel == "quantize") return std::make_unique<PreparedQuantize>(c, seed, evict_);
    return std::make_unique<PreparedOperator>(c, seed, evict_);
  }

 private:
  static std::string shape_fault(const BenchCase& c) {
    if (c.kernel == "attention") {
      if (c.at("q_length") != c.at("kv_length")) return "the CPU's attention has as many queries as keys";
      if (c.at("heads") % c.at("kv_heads") != 0) return "heads is no multiple of kv_heads";
    }
    if (c.kernel == "rotary" && (c.at("width") % 2 != 0 || c.at("width") > c.at("step")))
      return "width is even and at most step";
    if (c.kernel == "router") {
      const bool fits = c.at("experts") % c.at("groups") == 0 && c.at("groups_per_token") <= c.at("groups") &&
                        c.at("top_k") <= c.at("experts") / c.at("groups") * c.at("groups_per_token") &&
                        c.at("experts") / c.at("groups") >= 2;
      if (!fits) return "experts, groups and top_k do not fit together";
    }
    return "";
  }

  int threads_ = 1;
  CacheEviction evict_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace hourglass::kernels
