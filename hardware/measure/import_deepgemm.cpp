// The prints of DeepGEMM's tests.
//
//   > Perf (m=  4096, n=  7168, k= 2048, 1D2D, layout=NT, BF16, acc=0):  123.4 us | 1234 TFLOPS | 890 GB/s | 1.05x
//   cuBLAS > Perf (num_groups=4, m= 8192, n=  4096, k= 7168, 1D2D, layout=NT, psum=False, zero_pad=False): 441 us |
//   1234 TFLOPS | ... > Performance (num_groups=4, m_per_group=8192, n=4096, k=7168):  441 us | throughput: 1234
//   TFLOPS, 890 GB/s
//
// Each is the mean of 30 runs with the L2 cache flushed between them. "1D1D" and "1D2D" are scaling recipes of the FP8
// kernels, so a line that names one ran in e4m3 whatever its output type ("BF16"); without one it is the BF16 kernel.
// In a grouped line m counts all rows in newer versions and the rows of one group in older ones, under the same key.
// The printed TFLOPS tell which: they are 2 m n k / t with all rows. A GEMM grouped by k looks the same but is another
// operator: it is recognised by its section's title, and skipped.
#include <fmt/format.h>

#include <cmath>

#include "base/units.h"
#include "hardware/measure/import.h"

namespace hourglass::hardware {

namespace {

using importing::Collector;

// The "key=value" in brackets; false if there is none or it is no number.
bool field(std::string_view shape, std::string_view key, double& value) {
  for (std::size_t at = shape.find(key); at != std::string_view::npos; at = shape.find(key, at + 1)) {
    const bool whole_word = at == 0 || shape[at - 1] == ' ' || shape[at - 1] == ',' || shape[at - 1] == '(';
    const std::size_t equals = at + key.size();
    if (!whole_word || equals >= shape.size() || shape[equals] != '=') continue;
    return importing::number(shape.substr(equals + 1, shape.find(',', equals) - equals - 1), value) && value >= 1.0;
  }
  return false;
}

bool number_ahead_of(std::string_view text, std::string_view unit, double& value) {
  const std::size_t at = text.find(unit);
  if (at == std::string_view::npos) return false;
  const std::string_view head = importing::trimmed(text.substr(0, at));
  const std::size_t start = head.find_last_of(" :|");
  return importing::number(head.substr(start == std::string_view::npos ? 0 : start + 1), value);
}

// Rows of one group, from m as printed.
double rows_per_group(double m, double groups, double flops_of_one, double seconds, double tera_flops) {
  if (tera_flops <= 0.0 || seconds <= 0.0) return m / groups;
  const double printed = tera_flops * base::tera * seconds;
  const bool all_rows =
      std::abs(std::log(m * flops_of_one / printed)) <= std::abs(std::log(groups * m * flops_of_one / printed));
  return all_rows ? m / groups : m;
}

bool read_shape(std::string_view shape, double seconds, double tera_flops, Sample& sample) {
  double m = 0.0, n = 0.0, k = 0.0, groups = 0.0;
  if (!field(shape, "n", n) || !field(shape, "k", k)) return false;
  const bool grouped = field(shape, "num_groups", groups);
  const bool per_group = field(shape, "m_per_group", m) || field(shape, "expected_m_per_group", m);
  if (!per_group && !field(shape, "m", m)) return false;
  sample.op = grouped ? "grouped_gemm" : "gemm";
  sample.shape = {{"m", m}, {"n", n}, {"k", k}};
  if (!grouped) return !per_group;
  sample.shape["groups"] = groups;
  if (!per_group) sample.shape["m"] = rows_per_group(m, groups, 2.0 * n * k, seconds, tera_flops);
  return true;
}

void read_line(std::string_view line, const std::string& place, const ImportOptions& options, Collector& out) {
  const std::size_t open = line.find('(');
  const std::size_t close = line.find("):");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return out.skip(place, "there is no shape in brackets");
  }
  const std::string_view shape = line.substr(open + 1, close - open - 1);
  const std::string_view figures = line.substr(close + 2);
  double us = 0.0, tera_flops = 0.0;
  if (!number_ahead_of(figures, " us", us)) return out.skip(place, "there is no time in us");
  number_ahead_of(figures, " TFLOPS", tera_flops);
  Sample sample;
  sample.seconds = us * base::micro;
  sample.runs = 30;
  const bool scaled = shape.find("1D1D") != std::string_view::npos || shape.find("1D2D") != std::string_view::npos;
  const bool first_release = line.find("Performance") != std::string_view::npos;  // FP8 only, recipes unnamed
  sample.dtype = !options.dtype.empty() ? options.dtype : scaled || first_release ? "e4m3" : "bf16";
  if (!read_shape(shape, sample.seconds, tera_flops, sample)) return out.skip(place, "the shape lacks m, n or k");
  out.add(place, std::move(sample));
}

}  // namespace

Imported import_deepgemm(std::string_view text, const ImportOptions& options) {
  Collector out("deepgemm", options, text);
  bool by_k = false;
  importing::each_line(text, [&](std::string_view raw, std::size_t number) {
    const std::string_view line = importing::trimmed(raw);
    if (line.empty()) return;
    if (line.starts_with("Testing")) {
      const std::string title = importing::lower(line);
      by_k = title.find("k-grouped") != std::string::npos || title.find("k_grouped") != std::string::npos;
    }
    if (!line.starts_with("> Perf")) return out.other();
    out.read();
    const std::string place = fmt::format("line {}", number);
    if (by_k) return out.skip(place, "a GEMM grouped by k has no operator here");
    read_line(line, place, options, out);
  });
  return out.finish();
}

}  // namespace hourglass::hardware
