// CSV tables of published kernel measurements, known by their columns: what each row measured is not written in it and
// is stated here, once a table.
//
//   aiconfigurator GEMM   m n k dtype kernel_source latency_us. FP8 layers of TensorRT-LLM quantise their input in the
//                         measured time, the others' kernels are bare; "fp8_block" has 1x128 and 128x128 scales, "fp8"
//                         one a tensor.
//   aiconfigurator NCCL   op num_gpus bytes latency_us_mean, one node.
//   DeepGEMM              kind groups M_or_M_per_group N K derived_time_us.
//   InferSim GEMM         m k n latency_us mfu, DeepGEMM FP8.
//   InferSim grouped GEMM up and down projection a row. Its latencies were taken at a random number of rows around the
//                         nominal one; the time of the nominal shape follows from the mfu columns and the FP8 peak.
//   InferSim prefill      dtype seq_len latency_us: FlashAttention-3 with DeepSeek's 128 heads of 192 and 128.
//   DeepEP                throughput: dispatch_sms, dispatch_transmit_us, ...; low latency: dispatch_avg_t_us, ...
//
// Tables of decoding attention and of whole inference modules are known too, and refused by name: a training step has
// no such operator.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/error.h"
#include "base/units.h"
#include "hardware/measure/import.h"

namespace hourglass::hardware {

namespace {

constexpr double h800_fp8_flops = 1979e12;  // what InferSim's mfu is relative to
constexpr std::int64_t node_gpus = 8;

// One row, by column name.
class Row {
 public:
  Row(const std::vector<std::string>& header, const std::vector<std::string>& cells, const std::string& where)
      : header_(header), cells_(cells), where_(where) {}

  const std::string& text(const char* column) const {
    const auto found = std::find(header_.begin(), header_.end(), column);
    return cells_[static_cast<std::size_t>(found - header_.begin())];
  }
  double number(const char* column) const {
    double value = 0.0;
    if (!importing::number(text(column), value)) {
      throw base::Error(fmt::format("{} is '{}'", column, base::printable(text(column))), where_, "write a number");
    }
    return value;
  }

 private:
  const std::vector<std::string>& header_;
  const std::vector<std::string>& cells_;
  const std::string& where_;
};

using Samples = std::vector<Sample>;

Sample sample_of(const char* op, const char* dtype, double microseconds, std::map<std::string, double> shape) {
  Sample sample;
  sample.op = op;
  sample.dtype = dtype;
  sample.seconds = microseconds * base::micro;
  sample.shape = std::move(shape);
  return sample;
}

void read_aiconfigurator_gemm(const Row& row, Samples& out) {
  const std::string& dtype = row.text("dtype");
  const bool fp8 = dtype.starts_with("fp8"), quantises = fp8 && row.text("framework") == "TRTLLM";
  Sample sample = sample_of(quantises ? "quantized_linear" : "gemm", fp8 ? "e4m3" : "bf16", row.number("latency_us"),
                            {{"m", row.number("m")}, {"n", row.number("n")}, {"k", row.number("k")}});
  if (fp8) sample.recipe = dtype == "fp8_block" ? "block" : "tensor";
  sample.timing = "call";
  sample.name = row.text("framework") + " " + row.text("version");
  out.push_back(std::move(sample));
}

void read_nccl(const Row& row, Samples& out) {
  const std::string op = row.text("op") == "alltoall" ? "all_to_all" : row.text("op");
  const double gpus = row.number("num_gpus");
  out.push_back(sample_of(op.c_str(), "bf16", row.number("latency_us_mean"),
                          {{"bytes", row.number("bytes")}, {"ranks", gpus}, {"ranks_per_node", gpus}}));
}

void read_deepgemm(const Row& row, Samples& out) {
  std::map<std::string, double> shape = {
      {"m", row.number("M_or_M_per_group")}, {"n", row.number("N")}, {"k", row.number("K")}};
  const bool grouped = row.text("kind") != "dense";
  if (grouped) shape["groups"] = row.number("groups");
  out.push_back(sample_of(grouped ? "grouped_gemm" : "gemm", "e4m3", row.number("derived_time_us"), shape));
}

void read_infersim_gemm(const Row& row, Samples& out) {
  Sample sample = sample_of("gemm", "e4m3", row.number("latency_us"),
                            {{"m", row.number("m")}, {"n", row.number("n")}, {"k", row.number("k")}});
  sample.timing = "call";
  out.push_back(std::move(sample));
}

void read_infersim_grouped(const Row& row, Samples& out) {
  const double groups = row.number("num_local_experts"), m = row.number("tokens_per_expert"),
               hidden = row.number("hidden_size"), width = row.number("intermediate_size");
  const auto add = [&](const char* mfu, double n, double k) {
    const double seconds = 2.0 * groups * m * n * k / (row.number(mfu) * h800_fp8_flops);
    out.push_back(
        sample_of("grouped_gemm", "e4m3", seconds / base::micro, {{"groups", groups}, {"m", m}, {"n", n}, {"k", k}}));
  };
  add("up_mfu", 2.0 * width, hidden);
  add("down_mfu", hidden, width);
}

void read_prefill(const Row& row, Samples& out) {
  const double length = row.number("seq_len");
  out.push_back(sample_of("attention", "bf16", row.number("latency_us"),
                          {{"batch", 1},
                           {"q_length", length},
                           {"kv_length", length},
                           {"heads", 128},
                           {"kv_heads", 128},
                           {"qk_dim", 192},
                           {"v_dim", 128},
                           {"causal", 1},
                           {"backward", 0}}));
}

// DeepEP's tests: a group is a node, of which a token uses four at most.
void read_deepep(const Row& row, Samples& out, bool low_latency) {
  const double nodes = row.number("node_num"), hidden = row.number("hidden_size");
  for (const bool dispatch : {true, false}) {
    const std::string op = dispatch ? "dispatch" : "combine";
    const std::string time = op + (low_latency ? "_avg_t_us" : "_transmit_us");
    const double header = low_latency ? 16.0 : 0.0;
    Sample sample = sample_of(op.c_str(), dispatch ? "e4m3" : "bf16", row.number(time.c_str()),
                              {{"tokens", row.number("num_token")},
                               {"hidden", hidden},
                               {"top_k", row.number("num_topk")},
                               {"experts", row.number("num_experts")},
                               {"groups", nodes},
                               {"groups_per_token", std::min(nodes, 4.0)},
                               {"ranks", nodes * node_gpus},
                               {"ranks_per_node", node_gpus},
                               {"token_bytes", dispatch ? hidden * (1.0 + 4.0 / 128.0) + header : 2.0 * hidden},
                               {"low_latency", low_latency ? 2.0 : 0.0}});
    if (!low_latency)
      sample.sms = static_cast<std::int64_t>(std::clamp(row.number((op + "_sms").c_str()), 0.0, 4096.0));
    out.push_back(std::move(sample));
  }
}

struct Table {
  const char* name;
  std::vector<const char*> columns;                // it has all of these
  std::function<void(const Row&, Samples&)> read;  // empty: refused
};

const std::vector<Table>& tables() {
  static const std::vector<Table> all = {
      {"aiconfigurator GEMM", {"framework", "version", "dtype", "m", "n", "k", "latency_us"}, read_aiconfigurator_gemm},
      {"aiconfigurator NCCL", {"op", "num_gpus", "bytes", "latency_us_mean"}, read_nccl},
      {"DeepGEMM", {"kind", "groups", "M_or_M_per_group", "N", "K", "derived_time_us"}, read_deepgemm},
      {"InferSim GEMM", {"m", "k", "n", "latency_us", "mfu"}, read_infersim_gemm},
      {"InferSim grouped GEMM",
       {"num_local_experts", "tokens_per_expert", "hidden_size", "intermediate_size", "up_mfu", "down_mfu"},
       read_infersim_grouped},
      {"InferSim prefill", {"dtype", "seq_len", "latency_us", "mfu"}, read_prefill},
      {"DeepEP throughput",
       {"node_num", "hidden_size", "num_token", "num_topk", "num_experts", "dispatch_sms", "dispatch_transmit_us",
        "combine_sms", "combine_transmit_us"},
       [](const Row& row, Samples& out) { read_deepep(row, out, false); }},
      {"DeepEP low latency",
       {"node_num", "hidden_size", "num_token", "num_topk", "num_experts", "dispatch_avg_t_us", "combine_avg_t_us"},
       [](const Row& row, Samples& out) { read_deepep(row, out, true); }},
      {"decoding attention", {"kv_dtype", "batch_size", "kv_len", "latency_us"}, {}},
      {"MLA inference module", {"mla_dtype", "batch_size", "isl", "latency"}, {}},
      {"MoE inference module", {"moe_dtype", "num_tokens", "inter_size", "latency"}, {}},
  };
  return all;
}

const Table& table_of(const std::vector<std::string>& header, const std::string& path) {
  std::vector<std::string> names;
  for (const Table& table : tables()) {
    const bool known = std::all_of(table.columns.begin(), table.columns.end(), [&](const char* column) {
      return std::find(header.begin(), header.end(), column) != header.end();
    });
    if (known && !table.read) {
      throw base::Error(fmt::format("is a table of {}", table.name), path,
                        "leave it out: a training step has no such operator");
    }
    if (known) return table;
    if (table.read) names.emplace_back(table.name);
  }
  throw base::Error("has the columns of no known table", path,
                    fmt::format("hourglass import csv reads any columns; known are {}", fmt::join(names, ", ")));
}

}  // namespace

SampleSet read_csv_table(std::string_view text, const std::string& path) {
  SampleSet set;
  set.path = path;
  set.source = path;
  std::vector<std::string> header;
  const Table* table = nullptr;
  importing::each_line(text, [&](std::string_view line, std::size_t number) {
    if (importing::trimmed(line).empty()) return;
    const std::string where = fmt::format("{} line {}", path, number);
    const std::optional<std::vector<std::string>> cells = importing::split_csv(line);
    if (!cells) throw base::Error("its quotes do not close", where, "quote whole fields");
    if (table == nullptr) {
      header = *cells;
      table = &table_of(header, path);
      return;
    }
    if (cells->size() != header.size()) {
      throw base::Error(fmt::format("{} fields under a header of {}", cells->size(), header.size()), where,
                        "write every column in every row");
    }
    const std::size_t before = set.samples.size();
    table->read(Row(header, *cells, where), set.samples);
    for (std::size_t i = before; i < set.samples.size(); ++i) {
      const std::string fault = sample_fault(set.samples[i]);
      if (!fault.empty()) throw base::Error(fault, where, "correct or remove the row");
    }
  });
  if (set.samples.empty()) throw base::Error("holds no row", path, "write a header and rows");
  return set;
}

SampleSet load_any_samples(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".csv") return load_samples(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw base::Error("cannot be read", path, "check the name and the rights");
  std::ostringstream text;
  text << file.rdbuf();
  if (text.str().size() > largest_log_bytes) throw base::Error("is larger than 64 MiB", path, "split it");
  return read_csv_table(text.str(), path);
}

}  // namespace hourglass::hardware
