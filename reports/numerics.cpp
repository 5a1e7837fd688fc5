#include "reports/numerics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/markup.h"
#include "base/svg_canvas.h"
#include "base/units.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::string share(double fraction) {
  return fraction >= 0.001 ? fmt::format("{:.2f} %", fraction * 100.0) : fmt::format("{:.4f} %", fraction * 100.0);
}
std::string interval(int promotion) { return promotion == 0 ? "never" : std::to_string(promotion); }
const char* format_name(const kernels::Fp8Format& format) { return format.mantissa_bits == 3 ? "E4M3" : "E5M2"; }
double serial_cost(int promotion) { return kernels::promotion_share(promotion); }
double overlapped_cost(int promotion) { return std::max(kernels::promotion_share(promotion) - 1.0, 0.0); }
double flops(const PrecisionRow& row) {
  return 2.0 * static_cast<double>(row.m) * static_cast<double>(row.n) * static_cast<double>(row.k);
}

std::string accumulation_text(const NumericsReport& report) {
  std::string out = fmt::format(
      "accumulation in {} bits: E4M3 matrices of {} data, {} x {} results, against exact sums\n"
      "(the report finds nearly 2 % at k = 4096 and promotes every 128: arXiv 2412.19437, section 3.3.2)\n\n",
      report.significant_bits, report.data, report.outputs, report.outputs);
  Table table(
      {"k", "promoted every", "largest / rms", "rms", "relative: median", "p99", "costs, serial", "overlapped"});
  for (const kernels::AccumulationRow& row : report.accumulation) {
    table.add({std::to_string(row.k), interval(row.promotion), share(row.error.largest), share(row.error.rms),
               share(row.error.median_relative), share(row.error.p99_relative), percent(serial_cost(row.promotion)),
               percent(overlapped_cost(row.promotion))});
  }
  return out + table.text() +
         "\nlargest and rms: of the error, over the rms of the results. relative: of the error of single results.\n"
         "costs: CUDA-core cycles of promotion over tensor-core cycles, 32 / interval on Hopper; overlapped: what two\n"
         "warp groups in turn cannot hide.\n";
}

std::string scaling_text(const NumericsReport& report) {
  std::string out =
      "\nquantisation: one activation in 1000 of half of the rows times a factor; sums exact\n"
      "rms of the error over rms of the results\n\n";
  Table table({"outliers", "format", "scales", "rows without", "all rows", "lost to 0"});
  for (const kernels::ScalingRow& row : report.scaling) {
    table.add({fmt::format("x {:g}", row.outlier), format_name(row.format), row.block ? "1x128, 128x128" : "tensor",
               share(row.error), share(row.all_rows), share(row.lost)});
  }
  return out + table.text();
}

std::string precision_text(const NumericsReport& report) {
  std::string out = fmt::format("\nFP8 against BF16 on {} by profile {}: TFLOP/s, and times as fast as BF16\n\n",
                                report.gpu, report.profile);
  Table table({"layer", "m", "n", "k", "BF16", "FP8 tensor", "FP8 block", "+ quantise", "GEMM alone", "with quantise"});
  std::size_t slower = 0;
  std::vector<double> block_over_tensor;
  for (const PrecisionRow& row : report.precision) {
    const auto rate = [&](double seconds) {
      return seconds > 0.0 ? fmt::format("{:.0f}", flops(row) / seconds / base::tera) : "-";
    };
    if (row.fp8_tensor_s > 0.0) block_over_tensor.push_back(row.fp8_s / row.fp8_tensor_s - 1.0);
    slower += row.gain() < 1.0 ? 1 : 0;
    table.add({row.name, std::to_string(row.m), std::to_string(row.n), std::to_string(row.k), rate(row.bf16_s),
               rate(row.fp8_tensor_s), rate(row.fp8_s), rate(row.fp8_s + row.quantize_s),
               fmt::format("{:.2f}", row.gain_alone()),
               fmt::format("{:.2f}{}", row.gain(), row.gain() < 1.0 ? " slower" : "")});
  }
  out += table.text();
  if (!block_over_tensor.empty()) {
    std::sort(block_over_tensor.begin(), block_over_tensor.end());
    out += fmt::format(
        "\nBlock-scaled kernels, promoted every 128, against tensor-scaled ones: {:+.0f} % time at the median, by the "
        "kernels measured\n"
        "for the profile; of another library, so no more than a sign that promotion is hidden.\n",
        block_over_tensor[block_over_tensor.size() / 2] * 100.0);
  }
  return out + fmt::format(
                   "\nIn {} of {} shapes quantising the input for this layer alone eats the gain; layers that share an "
                   "input share\nits quantisation.\n",
                   slower, report.precision.size());
}

base::Json error_json(const kernels::ErrorStatistics& e) {
  return {{"largest_over_rms", e.largest},
          {"rms_over_rms", e.rms},
          {"median_relative", e.median_relative},
          {"p99_relative", e.p99_relative}};
}

}  // namespace

std::string numerics_text(const NumericsReport& report) {
  return accumulation_text(report) + scaling_text(report) + precision_text(report);
}

base::Json numerics_json(const NumericsReport& report, const base::Provenance& provenance) {
  base::Json accumulation = base::Json::array(), scaling = base::Json::array(), precision = base::Json::array();
  for (const kernels::AccumulationRow& row : report.accumulation) {
    base::Json each = {{"k", row.k}, {"promotion_interval", row.promotion}};
    each["error"] = error_json(row.error);
    each["cost_serial"] = serial_cost(row.promotion);
    each["cost_overlapped"] = overlapped_cost(row.promotion);
    accumulation.push_back(std::move(each));
  }
  for (const kernels::ScalingRow& row : report.scaling) {
    scaling.push_back({{"outlier_factor", row.outlier},
                       {"format", format_name(row.format)},
                       {"scales", row.block ? "block" : "tensor"},
                       {"error_clean_rows", row.error},
                       {"error_all_rows", row.all_rows},
                       {"lost_to_zero", row.lost}});
  }
  for (const PrecisionRow& row : report.precision) {
    precision.push_back({{"layer", row.name},
                         {"m", row.m},
                         {"n", row.n},
                         {"k", row.k},
                         {"bf16_s", row.bf16_s},
                         {"fp8_s", row.fp8_s},
                         {"fp8_tensor_s", row.fp8_tensor_s},
                         {"quantize_s", row.quantize_s},
                         {"gain_gemm", row.gain_alone()},
                         {"gain_with_quantize", row.gain()}});
  }
  return {{"schema_version", schema_version},
          {"provenance", base::provenance_json(provenance)},
          {"outputs", report.outputs},
          {"data", report.data},
          {"significant_bits", report.significant_bits},
          {"accumulation", std::move(accumulation)},
          {"scaling", std::move(scaling)},
          {"gpu", report.gpu},
          {"precision", std::move(precision)}};
}

namespace {

using base::SvgCanvas;

constexpr double chart_width = 760.0, chart_left = 190.0, chart_span = 500.0;

// The error of the longest sums over the promotion interval, one bar each, on a logarithmic axis of five decades.
void accumulation_panel(SvgCanvas& canvas, const NumericsReport& report, double top) {
  kernels::Index longest = 0;
  for (const kernels::AccumulationRow& row : report.accumulation) longest = std::max(longest, row.k);
  canvas.text("10", {top, 0}, fmt::format("Largest accumulation error over the rms of the results, k = {}", longest),
              {{"font-weight", "bold"}});
  const double smallest = 1e-6, decades = 5.0;
  double y = top + 16.0;
  for (const kernels::AccumulationRow& row : report.accumulation) {
    if (row.k != longest) continue;
    const double length =
        std::max(std::log10(std::max(row.error.largest, smallest) / smallest) / decades, 0.0) * chart_span;
    const std::string promoted = row.promotion == 0 ? "never" : fmt::format("every {}", row.promotion);
    canvas.text({chart_left - 8.0, 0}, {y + 11.0, 0}, "promoted: " + promoted, {{"text-anchor", "end"}}).beside();
    canvas.rect({chart_left, 0}, {y, 0}, {length, 1}, "13", {{"fill", row.promotion == 0 ? "#c0504d" : "#4f81bd"}})
        .beside();
    canvas.text({chart_left + length + 6.0, 1}, {y + 11.0, 0}, share(row.error.largest));
    y += 18.0;
  }
}

void precision_panel(SvgCanvas& canvas, const NumericsReport& report, double top) {
  double fastest = 1.0;
  for (const PrecisionRow& row : report.precision)
    fastest = std::max(fastest, flops(row) / std::min(row.fp8_s, row.bf16_s));
  canvas.marked_text("10", {top, 0},
                     "TFLOP/s on " + base::escaped_markup(report.gpu) +
                         ": <tspan fill=\"#7f7f7f\">BF16</tspan>, <tspan fill=\"#9bbb59\">FP8</tspan>, <tspan "
                         "fill=\"#4f81bd\">FP8 with "
                         "its quantisation</tspan> (<tspan fill=\"#c0504d\">slower than BF16</tspan>)",
                     {{"font-weight", "bold"}});
  double y = top + 16.0;
  for (const PrecisionRow& row : report.precision) {
    canvas.text({chart_left - 8.0, 0}, {y + 17.0, 0}, fmt::format("{} m={}", row.name, row.m),
                {{"text-anchor", "end"}});
    const std::pair<double, const char*> bars[] = {
        {row.bf16_s, "#7f7f7f"},
        {row.fp8_s, "#9bbb59"},
        {row.fp8_s + row.quantize_s, row.gain() < 1.0 ? "#c0504d" : "#4f81bd"}};
    for (const auto& [seconds, colour] : bars) {
      const double rate = flops(row) / seconds, length = rate / fastest * chart_span;
      canvas.rect({chart_left, 0}, {y, 0}, {length, 1}, "7", {{"fill", colour}}).beside();
      canvas.text({chart_left + length + 3.0, 1}, {y + 7.0, 0}, fmt::format("{:.0f}", rate / base::tera),
                  {{"font-size", "8"}});
      y += 8.0;
    }
    y += 5.0;
  }
}

}  // namespace

std::string numerics_svg(const NumericsReport& report) {
  kernels::Index longest = 0;
  for (const kernels::AccumulationRow& row : report.accumulation) longest = std::max(longest, row.k);
  const auto bars = static_cast<double>(std::count_if(report.accumulation.begin(), report.accumulation.end(),
                                                      [&](const auto& row) { return row.k == longest; }));
  const double second = 24.0 + 16.0 + 18.0 * bars + 30.0,
               height = second + 16.0 + 29.0 * static_cast<double>(report.precision.size()) + 12.0;
  SvgCanvas canvas({chart_width, height});
  accumulation_panel(canvas, report, 24.0);
  precision_panel(canvas, report, second);
  return std::move(canvas).take();
}

}  // namespace hourglass::reports
