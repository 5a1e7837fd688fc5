#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/pass.h"
#include "hardware/measure/samples.h"

// Measuring kernels, whatever runs them: what to measure (cases and suites), on what (a backend), until when (the
// loop), and the samples that hardware/fit turns into a profile.
//
// A new backend implements Backend and PreparedCase below and one line in bench_backends.cpp. The loop, the suites, the
// file, and the command line know no backend.
namespace hourglass::kernels {

// A linear layer's gradients are separate calls; the gradient of everything else is `backward_input`, but for the gain
// of a norm.
using base::Pass;
const char* name_of(Pass pass);  // "forward", "input_gradient", "weight_gradient"

// One kernel to measure. `shape` by kernel, counts and bytes:
//   gemm           m n k             the layer y[m, n] = x[m, k] w[n, k]^T, of whatever pass
//   quantized_linear m n k           the same from the unquantised input, both in the time
//   grouped_gemm   groups m n k      m rows in each of `groups`
//   attention      batch q_length kv_length heads kv_heads qk_dim v_dim causal
//   rms_norm       rows width
//   rotary         rows heads step width        `width` values turned in each head, heads `step` apart
//   swiglu         rows width        2 width -> width
//   quantize       rows width        E4M3, one scale for 1 x 128 (block_rows 1) or 128 x 128 (block_rows 128)
//   permute unpermute    tokens experts top_k width
//   router         tokens experts top_k groups groups_per_token
//   cross_entropy  rows vocabulary
//   residual       rows width        y += x
//   embedding      rows width vocabulary
//   copy           bytes             of one side: the measured ceiling of memory-bound kernels
//   all_reduce all_gather reduce_scatter all_to_all send_recv dispatch combine     as hardware/measure/samples.h has them
struct BenchCase {
  std::string kernel;
  Pass pass = Pass::forward;
  std::string dtype = "fp32";  // "fp32", "bf16", "e4m3": of the inputs
  std::string recipe;          // of FP8: "block" or "tensor"
  std::map<std::string, std::int64_t> shape;
  std::string name;  // of the layer it is from ("q_b_proj"); may be empty

  std::int64_t at(const std::string& key) const;  // Throws base::Error if the shape lacks it.
};

// The keys of a kernel's shape, in order. Throws base::Error for an unknown kernel.
const std::vector<std::string>& case_keys(const std::string& kernel);
// "gemm input_gradient fp32 m=512 n=1024 k=4096": for tables and error messages.
std::string describe(const BenchCase& c);

// The sample of a case, without its time: the op that hardware/ prices it as, and the shape that op has (a gradient is
// the GEMM that computes it; a memory-bound kernel is the bytes that it must at least read and write).
hardware::Sample sample_of(const BenchCase& c);

double flops_of(const BenchCase& c);  // multiply and add count 2, a causal mask halves; 0 for memory-bound kernels
double bytes_of(const BenchCase& c);  // read and written at least; 0 for GEMMs, attention and messages

// The cases of a named suite, scaled to what the backend can do in minutes. Throws base::Error for an unknown name.
std::vector<BenchCase> named_suite(const std::string& suite, const std::string& backend);
// {"schema": "1.0.0", "cases": [{"kernel", "pass", "dtype", "recipe", "name", shape...}]}. A value of the shape, or
// the pass, may be a list: every combination becomes a case. Strict.
std::vector<BenchCase> read_suite(const base::Json& document, const std::string& file);

// One run by the device's own clock. `disturbed`: something else took the device in between (a context switch), so
// that the time says nothing of the kernel.
struct RunTime {
  double seconds = 0.0;
  bool disturbed = false;
};

// A case with its inputs (random, from the seed) and outputs on the device.
class PreparedCase {
 public:
  virtual ~PreparedCase() = default;
  // Poisons the outputs (NaN), runs once and compares with a second way to compute them (in more precision). "": right;
  // else what is wrong. Called once, before any timing.
  virtual std::string check() = 0;
  // Runs the kernel once and times it; evicts caches before, outside the time, where the backend's samples are cold.
  virtual RunTime run() = 0;
};

struct DeviceDescription {
  std::string name;  // as cluster files say `gpu`: "H800 SXM5"
  // What else a reader of the samples wants to know; keys are those of the measurement file's `device`
  // (hardware/measure/samples.h): "clock_MHz", "driver", "cuda", "nccl", "compiler", "libraries", "threads", "sms", "memory".
  std::map<std::string, std::string> facts;
  std::string timing;           // of its samples: "kernel" (events on the device) or "call" (around the call)
  std::int64_t processors = 0;  // SMs or cores used
};

// What the device can do at most, measured, for a device that has no data sheet (a CPU); 0: not measured.
struct Ceilings {
  double flops = 0.0;             // multiply-adds in registers, FLOP/s
  double memory_bandwidth = 0.0;  // a copy far larger than the caches, read and written together, bytes/s
  double memory_bytes = 0.0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual DeviceDescription device() = 0;
  // A case with what it leaves to the backend: of messages, ranks of 0 mean as many as were started.
  virtual BenchCase complete(const BenchCase& c) const { return c; }
  // Why a case cannot run here; "" if it can. Such cases are listed as skipped.
  virtual std::string unsupported(const BenchCase& c) const = 0;
  virtual std::unique_ptr<PreparedCase> prepare(const BenchCase& c, std::uint64_t seed) = 0;

  virtual Ceilings ceilings() { return {}; }

  // Of several processes that measure together (NCCL): whether this one reports, and the decision of that one, which
  // all must follow so that they run the same number of times. A fault found by any of them is a fault of all.
  virtual bool reports() const { return true; }
  virtual bool agree(bool stop) { return stop; }
};

// Runs until the mean of the undisturbed runs is known: its coefficient of variation, deviation / mean / sqrt(runs),
// falls to `noise`; or until runs or seconds are spent.
struct StoppingRule {
  int warm_up = 2;
  int least_runs = 7;
  int most_runs = 1000;
  double noise = 0.01;
  double most_seconds = 2.0;  // of one case, without preparation
};

struct Measurement {
  BenchCase of;
  hardware::Sample sample;  // seconds: median of the undisturbed runs; spread, runs
  double noise = 0.0;       // coefficient of variation of the mean
  int disturbed = 0;        // runs thrown away; if there are no others, these are taken after all
  bool settled = false;     // the noise fell to the limit
  std::string fault;        // why there is no sample: wrong results, or not supported
};

// Checks, warms up, measures. `interrupted` is asked between runs; the case then ends at once, unsettled and faulted.
Measurement measure(Backend& backend, const BenchCase& c, const StoppingRule& rule, std::uint64_t seed,
                    const std::function<bool()>& interrupted);

// The same for a case that is prepared and checked: warms up, measures, fills in the times of `m`.
void measure_prepared(Backend& backend, PreparedCase& prepared, const StoppingRule& rule,
                      const std::function<bool()>& interrupted, Measurement& m);

}  // namespace hourglass::kernels
