// What a case is, as a sample sees it; and the measuring loop.
//
// The loop. A time is worth something when repeating it moves it little: runs go on until the coefficient of variation
// of their mean, deviation / mean / sqrt(runs), is at most `noise`, or until the case has had its time. The sample is
// the median, which a few slow runs do not move; its `spread` is the deviation of single runs over their mean. Runs in
// which the operating system took the processor away say nothing of the kernel and do not count. On a busy machine
// there may be no others: then the sample is the median of the fastest quarter of all, and the case is not `settled`.
//
// Limit: what other processes do to caches and memory cannot be seen, and is in the times.
#include "kernels/bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"

namespace hourglass::kernels {

namespace {

const std::map<std::string, std::vector<std::string>>& all_case_keys() {
  static const std::map<std::string, std::vector<std::string>> keys = {
      {"gemm", {"m", "n", "k"}},
      {"quantized_linear", {"m", "n", "k"}},
      {"grouped_gemm", {"groups", "m", "n", "k"}},
      {"attention", {"batch", "q_length", "kv_length", "heads", "kv_heads", "qk_dim", "v_dim", "causal"}},
      {"rms_norm", {"rows", "width"}},
      {"rotary", {"rows", "heads", "step", "width"}},
      {"swiglu", {"rows", "width"}},
      {"quantize", {"rows", "width", "block_rows"}},
      {"permute", {"tokens", "experts", "top_k", "width"}},
      {"unpermute", {"tokens", "experts", "top_k", "width"}},
      {"router", {"tokens", "experts", "top_k", "groups", "groups_per_token"}},
      {"cross_entropy", {"rows", "vocabulary"}},
      {"residual", {"rows", "width"}},
      {"embedding", {"rows", "width", "vocabulary"}},
      {"copy", {"bytes"}},
      {"all_reduce", {"bytes", "ranks", "ranks_per_node"}},
      {"all_gather", {"bytes", "ranks", "ranks_per_node"}},
      {"reduce_scatter", {"bytes", "ranks", "ranks_per_node"}},
      {"all_to_all", {"bytes", "ranks", "ranks_per_node"}},
      {"send_recv", {"bytes", "same_node"}},
      {"dispatch", hardware::shape_keys("dispatch")},
      {"combine", hardware::shape_keys("combine")},
  };
  return keys;
}

double element_bytes(const std::string& dtype) {
  if (dtype == "fp32") return 4.0;
  return dtype == "bf16" ? 2.0 : 1.0;
}

// The op of the measurement format; a kernel of another name is one of these to the profile.
std::string op_of(const BenchCase& c) {
  static const std::map<std::string, std::string> ops = {{"rms_norm", "norm"},        {"swiglu", "activation"},
                                                         {"quantize", "cast"},        {"unpermute", "permute"},
                                                         {"copy", "elementwise"},     {"cross_entropy", "elementwise"},
                                                         {"residual", "elementwise"}, {"embedding", "elementwise"}};
  if (c.kernel == "router" && c.pass != Pass::forward) return "elementwise";  // it chooses nothing: writes dlogits
  const auto found = ops.find(c.kernel);
  return found == ops.end() ? c.kernel : found->second;
}

// What a memory-bound kernel must read and write at least, in elements of its dtype.
double elements_moved(const BenchCase& c) {
  const auto at = [&](const char* key) { return static_cast<double>(c.at(key)); };
  const bool forward = c.pass == Pass::forward;
  if (c.kernel == "rms_norm") return at("rows") * at("width") * (c.pass == Pass::backward_input ? 3.0 : 2.0);
  if (c.kernel == "rotary") return 2.0 * at("rows") * at("heads") * at("width");
  if (c.kernel == "swiglu") return at("rows") * at("width") * (forward ? 3.0 : 5.0);
  if (c.kernel == "permute") return at("tokens") * at("width") * (1.0 + at("top_k"));
  if (c.kernel == "unpermute") return at("tokens") * at("width") * (1.0 + at("top_k") * (forward ? 1.0 : 2.0));
  if (c.kernel == "cross_entropy") return at("rows") * at("vocabulary") * (forward ? 1.0 : 2.0);
  if (c.kernel == "router") return at("tokens") * at("experts");
  if (c.kernel == "residual") return 3.0 * at("rows") * at("width");
  if (c.kernel == "embedding") return at("rows") * at("width") * (forward ? 2.0 : 3.0);
  return 0.0;
}

// y[m, n] = x[m, k] w[n, k]^T; dx[m, k] sums over n, dw[n, k] over m.
void set_gemm_shape(const BenchCase& c, hardware::Sample& s) {
  const auto m = static_cast<double>(c.at("m")), n = static_cast<double>(c.at("n")), k = static_cast<double>(c.at("k"));
  if (c.kernel == "grouped_gemm") s.shape["groups"] = static_cast<double>(c.at("groups"));
  s.shape["m"] = c.pass == Pass::backward_weight ? n : m;
  s.shape["n"] = c.pass == Pass::forward ? n : k;
  s.shape["k"] = c.pass == Pass::forward ? k : c.pass == Pass::backward_input ? n : m;
}

bool is_gemm(const BenchCase& c) {
  return c.kernel == "gemm" || c.kernel == "grouped_gemm" || c.kernel == "quantized_linear";
}

}  // namespace

double bytes_of(const BenchCase& c) {
  if (c.kernel == "copy") return 2.0 * static_cast<double>(c.at("bytes"));
  if (c.kernel != "quantize") return elements_moved(c) * element_bytes(c.dtype);
  const double elements = static_cast<double>(c.at("rows") * c.at("width")),
               scales = elements / 128.0 / static_cast<double>(c.at("block_rows"));
  return elements * (element_bytes(c.dtype) + 1.0) + scales * 4.0;
}

double flops_of(const BenchCase& c) {
  const auto at = [&](const char* key) { return static_cast<double>(c.at(key)); };
  if (is_gemm(c)) return 2.0 * (c.kernel == "grouped_gemm" ? at("groups") : 1.0) * at("m") * at("n") * at("k");
  if (c.kernel != "attention") return 0.0;
  const bool forward = c.pass == Pass::forward;  // backward: q k^T again, and dP, dQ, dK, dV
  const double width = forward ? at("qk_dim") + at("v_dim") : 3.0 * at("qk_dim") + 2.0 * at("v_dim");
  return 2.0 * at("batch") * at("heads") * at("q_length") * at("kv_length") * width * (at("causal") > 0.0 ? 0.5 : 1.0);
}

const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::backward_input:
      return "input_gradient";
    case Pass::backward_weight:
      return "weight_gradient";
  }
  return "";
}

std::int64_t BenchCase::at(const std::string& key) const {
  const auto found = shape.find(key);
  if (found == shape.end()) throw base::Error(fmt::format("a case of {} has no {}", kernel, key), "bench");
  return found->second;
}

const std::vector<std::string>& case_keys(const std::string& kernel) {
  const auto found = all_case_keys().find(kernel);
  if (found == all_case_keys().end()) {
    std::vector<std::string> known;
    for (const auto& [name, keys] : all_case_keys()) known.push_back(name);
    throw base::Error(fmt::format("unknown kernel '{}'", base::printable(kernel)), "bench",
                      base::suggestion(kernel, known));
  }
  return found->second;
}

std::string describe(const BenchCase& c) {
  std::string text = fmt::format("{} {} {}", c.kernel, name_of(c.pass), c.dtype);
  for (const std::string& key : case_keys(c.kernel)) text += fmt::format(" {}={}", key, c.at(key));
  return text;
}

hardware::Sample sample_of(const BenchCase& c) {
  hardware::Sample s;
  s.op = op_of(c);
  s.dtype = c.dtype;
  s.recipe = c.recipe;
  const char* pass = c.pass == Pass::forward ? "forward" : c.pass == Pass::backward_input ? "dgrad" : "wgrad";
  s.name = fmt::format("{} {}", c.name.empty() ? c.kernel : c.name, pass);
  s.weight_gradient = is_gemm(c) && c.pass == Pass::backward_weight;
  if (is_gemm(c)) {
    set_gemm_shape(c, s);
    return s;
  }
  for (const std::string& key : hardware::shape_keys(s.op)) {
    if (c.shape.contains(key) && c.kernel != "copy") s.shape[key] = static_cast<double>(c.at(key));
  }
  if (s.op == "attention") s.shape["backward"] = c.pass == Pass::forward ? 0.0 : 1.0;
  if (s.op == "router") s.shape["hidden"] = 0.0;  // from FP32 logits: nothing is converted
  if (hardware::shape_keys(s.op) == std::vector<std::string>{"bytes"}) s.shape["bytes"] = bytes_of(c);
  return s;
}

namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

// Relative standard deviation; 0 for a single value.
double spread_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  const double mean = mean_of(values);
  double squares = 0.0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1)) / mean;
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

// Too few quiet runs: the fastest quarter of all.
std::vector<double> fastest_quarter(std::vector<double> quiet, const std::vector<double>& disturbed) {
  quiet.insert(quiet.end(), disturbed.begin(), disturbed.end());
  std::sort(quiet.begin(), quiet.end());
  quiet.resize((quiet.size() + 3) / 4);
  return quiet;
}

void run_until_settled(Backend& backend, PreparedCase& prepared, const StoppingRule& rule,
                       const std::function<bool()>& interrupted, Measurement& m) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const auto least = static_cast<std::size_t>(rule.least_runs), most = static_cast<std::size_t>(rule.most_runs);
  std::vector<double> quiet, disturbed;
  for (;;) {
    const RunTime run = prepared.run();
    (run.disturbed ? disturbed : quiet).push_back(run.seconds);
    m.noise = quiet.size() >= least ? spread_of(quiet) / std::sqrt(static_cast<double>(quiet.size())) : 1.0;
    m.settled = m.noise <= rule.noise;
    const bool spent = std::chrono::duration<double>(Clock::now() - start).count() > rule.most_seconds &&
                       quiet.size() + disturbed.size() >= 2;
    const bool stop = m.settled || spent || quiet.size() + disturbed.size() >= most || interrupted();
    if (backend.agree(stop)) break;
  }
  m.disturbed = static_cast<int>(disturbed.size());
  if (quiet.size() < 3) {
    quiet = fastest_quarter(quiet, disturbed);
    m.noise = spread_of(quiet);
    m.settled = false;
  }
  m.sample.seconds = median_of(quiet);
  m.sample.spread = spread_of(quiet);
  m.sample.runs = static_cast<std::int64_t>(quiet.size());
}

}  // namespace

Measurement measure(Backend& backend, const BenchCase& given, const StoppingRule& rule, std::uint64_t seed,
                    const std::function<bool()>& interrupted) {
  const BenchCase c = backend.complete(given);
  Measurement m;
  m.of = c;
  m.fault = backend.unsupported(c);
  if (!m.fault.empty()) return m;
  m.sample = sample_of(c);
  m.sample.timing = backend.device().timing;
  const std::unique_ptr<PreparedCase> prepared = backend.prepare(c, seed);
  m.fault = prepared->check();
  if (backend.agree(!m.fault.empty())) {
    if (m.fault.empty()) m.fault = "another process found wrong results";
    return m;
  }
  measure_prepared(backend, *prepared, rule, interrupted, m);
  return m;
}

void measure_prepared(Backend& backend, PreparedCase& prepared, const StoppingRule& rule,
                      const std::function<bool()>& interrupted, Measurement& m) {
  for (int i = 0; i < rule.warm_up; ++i) prepared.run();
  run_until_settled(backend, prepared, rule, interrupted, m);
  if (interrupted()) m.fault = "interrupted";
}

}  // namespace hourglass::kernels
