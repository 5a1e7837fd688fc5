// Suites. "deepseek-v3" is the operators of DeepSeek-V3's layers. A GPU measures them at full width; for a CPU all
// widths are a quarter, with 8 heads and 128 experts, of which a rank holds 4 or 8, so that the whole suite takes
// minutes and every tensor still is far larger than a core's own cache. "quick" is a few small cases of every kernel:
// seconds, to see that all works, and no more than a rough profile.
//
// A file lists its own cases; a list of values stands for one case each.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "kernels/bench/bench.h"

namespace hourglass::kernels {

namespace {

using Shape = std::map<std::string, std::int64_t>;

const std::vector<Pass> all_passes = {Pass::forward, Pass::backward_input, Pass::backward_weight};

struct Widths {
  std::int64_t hidden, q_rank, kv_rank, heads, dense, expert, experts, groups, vocabulary;
};
constexpr Widths full = {7168, 1536, 512, 128, 18432, 2048, 256, 32, 129280};
constexpr Widths quarter = {1792, 384, 128, 8, 4608, 512, 128, 8, 8080};
constexpr std::int64_t rope_dim = 64, nope_dim = 128, value_dim = 128;

class Suite {
 public:
  explicit Suite(bool gpu) : gpu_(gpu) {}

  void add(const std::string& kernel, const Shape& shape, const std::vector<Pass>& passes,
           const std::string& name = "") {
    for (const Pass pass : passes) cases.push_back({kernel, pass, gpu_ ? "bf16" : "fp32", "", shape, name});
  }
  // On a GPU also block-scaled FP8, with the quantisation and without.
  void add_gemm(const std::string& kernel, const Shape& shape, const std::string& name) {
    add(kernel, shape, all_passes, name);
    if (!gpu_) return;
    for (const Pass pass : all_passes) cases.push_back({kernel, pass, "e4m3", "block", shape, name});
    if (kernel == "gemm") cases.push_back({"quantized_linear", Pass::forward, "e4m3", "block", shape, name});
  }
  std::vector<BenchCase> cases;

 private:
  bool gpu_;
};

void add_linears(Suite& suite, const Widths& w, const std::vector<std::int64_t>& rows) {
  struct Layer {
    const char* name;
    std::int64_t n, k;
  };
  const Layer layers[] = {{"q_a_proj", w.q_rank, w.hidden},
                          {"q_b_proj", w.heads * (nope_dim + rope_dim), w.q_rank},
                          {"kv_a_proj", w.kv_rank + rope_dim, w.hidden},
                          {"kv_b_proj", w.heads * (nope_dim + value_dim), w.kv_rank},
                          {"o_proj", w.hidden, w.heads * value_dim},
                          {"mlp_gate_up", 2 * w.dense, w.hidden},
                          {"mlp_down", w.hidden, w.dense},
                          {"shared_gate_up", 2 * w.expert, w.hidden},
                          {"shared_down", w.hidden, w.expert},
                          {"router_gate", w.experts, w.hidden}};
  for (const Layer& layer : layers) {
    for (const std::int64_t m : rows) suite.add_gemm("gemm", {{"m", m}, {"n", layer.n}, {"k", layer.k}}, layer.name);
  }
}

void add_experts(Suite& suite, const Widths& w, const std::vector<std::int64_t>& rows) {
  for (const std::int64_t groups : {w.groups / 2, w.groups}) {
    for (const std::int64_t m : rows) {
      suite.add_gemm("grouped_gemm", {{"groups", groups}, {"m", m}, {"n", 2 * w.expert}, {"k", w.hidden}},
                     "experts_gate_up");
      suite.add_gemm("grouped_gemm", {{"groups", groups}, {"m", m}, {"n", w.hidden}, {"k", w.expert}}, "experts_down");
    }
  }
}

void add_attention(Suite& suite, std::int64_t batch, std::int64_t length, std::int64_t heads, std::int64_t kv_heads,
                   std::int64_t qk_dim) {
  suite.add("attention",
            {{"batch", batch},
             {"q_length", length},
             {"kv_length", length},
             {"heads", heads},
             {"kv_heads", kv_heads},
             {"qk_dim", qk_dim},
             {"v_dim", value_dim},
             {"causal", 1}},
            {Pass::forward, Pass::backward_input}, kv_heads == heads ? "mla" : "gqa");
}

void add_memory_bound(Suite& suite, const Widths& w, std::int64_t rows, bool gpu) {
  const std::vector<Pass> both = {Pass::forward, Pass::backward_input}, only = {Pass::forward};
  suite.add("rms_norm", {{"rows", rows}, {"width", w.hidden}}, all_passes);
  suite.add("rotary", {{"rows", rows}, {"heads", w.heads}, {"step", nope_dim + rope_dim}, {"width", rope_dim}}, both);
  suite.add("swiglu", {{"rows", rows}, {"width", w.dense}}, both);
  suite.add("swiglu", {{"rows", rows}, {"width", w.expert}}, both);
  for (const std::int64_t block : {1, 128})
    suite.add("quantize", {{"rows", rows}, {"width", w.hidden}, {"block_rows", block}}, only);
  const Shape moved = {{"tokens", rows}, {"experts", w.experts}, {"top_k", gpu ? 8 : 4}, {"width", w.hidden}};
  suite.add("permute", moved, both);
  suite.add("unpermute", moved, both);
  suite.add("router",
            {{"tokens", rows}, {"experts", w.experts}, {"top_k", gpu ? 8 : 4}, {"groups", 8}, {"groups_per_token", 4}},
            both);
  suite.add("cross_entropy", {{"rows", rows}, {"vocabulary", w.vocabulary}}, both);
  suite.add("residual", {{"rows", rows}, {"width", w.hidden}}, only);
  suite.add("embedding", {{"rows", rows}, {"width", w.hidden}, {"vocabulary", w.vocabulary}},
            {Pass::forward, Pass::backward_weight});
  suite.add("copy", {{"bytes", rows * w.hidden * 4}}, only);
}

std::vector<BenchCase> deepseek_v3(bool gpu) {
  Suite suite(gpu);
  const Widths& w = gpu ? full : quarter;
  const std::int64_t unit = gpu ? 4 : 1;
  add_linears(suite, w, {256 * unit, 512 * unit, 1024 * unit});
  add_experts(suite, w, {128 * unit, 256 * unit, 512 * unit});
  for (const std::int64_t length : {256, 512, 1024, 2048}) {
    add_attention(suite, length <= 512 ? 2 : 1, length * unit, w.heads, w.heads, nope_dim + rope_dim);
    add_attention(suite, 1, length * unit, w.heads, w.heads / 4, value_dim);
  }
  for (const std::int64_t rows : {256, 512, 1024, 2048}) add_memory_bound(suite, w, rows * unit, gpu);
  return suite.cases;
}

std::vector<BenchCase> quick(bool gpu) {
  Suite suite(gpu);
  const Widths w =
      gpu ? Widths{2048, 512, 128, 16, 4096, 1024, 64, 8, 16160} : Widths{512, 128, 128, 4, 1024, 256, 128, 4, 1024};
  add_linears(suite, w, {128, 256});
  add_experts(suite, w, {128});
  for (const std::int64_t length : {128, 256, 384})
    add_attention(suite, 1, length, w.heads, w.heads, nope_dim + rope_dim);
  for (const std::int64_t rows : {128, 256, 512}) add_memory_bound(suite, w, rows, gpu);
  return suite.cases;
}

// Messages over the ranks that the launcher started; the backend fills in how many there are.
std::vector<BenchCase> messages(bool small) {
  std::vector<BenchCase> cases;
  for (const char* op : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all"}) {
    for (std::int64_t bytes = small ? 1 << 20 : 1 << 12; bytes <= (small ? 1 << 24 : 1 << 29); bytes *= small ? 4 : 8)
      cases.push_back({op, Pass::forward, "bf16", "", {{"bytes", bytes}, {"ranks", 0}, {"ranks_per_node", 0}}, ""});
  }
  for (std::int64_t bytes = 1 << 14; bytes <= 1 << 26; bytes *= 16)
    cases.push_back({"send_recv", Pass::forward, "bf16", "", {{"bytes", bytes}, {"same_node", 1}}, ""});
  return cases;
}

// Lists become one case each, the first key varying slowest.
void expand(base::Fields& fields, const BenchCase& so_far, const std::vector<std::string>& keys, std::size_t next,
            std::vector<BenchCase>& out) {
  constexpr std::size_t most_cases = 10'000;
  if (next == keys.size()) {
    if (out.size() >= most_cases) fields.fail("cases", "are more than 10000 together", "write several suites");
    out.push_back(so_far);
    return;
  }
  const std::string& key = keys[next];
  const bool list = fields.has(key) && fields.any(key).is_array();
  const std::vector<std::int64_t> values =
      list ? fields.integers(key, 0, std::int64_t{1} << 40)
           : std::vector<std::int64_t>{fields.integer(
                 key, key == "causal" || key == "same_node" || key == "low_latency" ? 0 : 1, std::int64_t{1} << 40)};
  for (const std::int64_t each : values) {
    BenchCase c = so_far;
    c.shape[key] = each;
    expand(fields, c, keys, next + 1, out);
  }
}

std::vector<Pass> passes_of(base::Fields& fields) {
  if (!fields.has("pass")) return {Pass::forward};
  const std::vector<std::string> names =
      fields.any("pass").is_array() ? fields.texts("pass") : std::vector<std::string>{fields.text("pass")};
  std::vector<Pass> passes;
  for (const std::string& name : names) {
    const auto found = std::find_if(all_passes.begin(), all_passes.end(), [&](Pass p) { return name == name_of(p); });
    if (found == all_passes.end()) {
      fields.fail("pass", fmt::format("unknown pass '{}'", base::printable(name)),
                  "the choices are forward, input_gradient, weight_gradient");
    }
    passes.push_back(*found);
  }
  return passes;
}

}  // namespace

std::vector<BenchCase> named_suite(const std::string& suite, const std::string& backend) {
  const bool known = suite == "deepseek-v3" || suite == "quick";
  if (!known) {
    throw base::UsageError(fmt::format("unknown suite '{}'", base::printable(suite)), "--suite",
                           "use deepseek-v3, quick, or the name of a .json file");
  }
  if (backend == "nccl") return messages(suite == "quick");
  return suite == "quick" ? quick(backend == "cuda") : deepseek_v3(backend == "cuda");
}

std::vector<BenchCase> read_suite(const base::Json& document, const std::string& file) {
  base::Fields fields(document, file);
  const std::string schema = fields.text("schema");
  if (!schema.starts_with("1."))
    fields.fail("schema", fmt::format("version {} is not read here", base::printable(schema)), "use 1.x");
  std::vector<BenchCase> cases;
  for (base::Fields& each : fields.objects("cases")) {
    BenchCase c;
    c.kernel = each.text("kernel");
    const std::vector<std::string> keys = case_keys(c.kernel);
    c.dtype = each.has("dtype") ? each.choice("dtype", {"fp32", "bf16", "e4m3", "e5m2"}) : "fp32";
    if (each.has("recipe")) c.recipe = each.choice("recipe", {"block", "tensor"});
    c.name = each.text_or("name", "");
    for (const Pass pass : passes_of(each)) {
      c.pass = pass;
      expand(each, c, keys, 0, cases);
    }
    each.finish();
  }
  fields.finish();
  if (cases.empty()) throw base::Error("there are no cases", file, "list at least one under \"cases\"");
  return cases;
}

}  // namespace hourglass::kernels
