// The colours are those of the HTML report (reports/html/page.css), which colour-blind readers can tell apart.
#include "reports/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "base/markup.h"
#include "base/units.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

constexpr double plot_width = 1100.0, left = 70.0;

std::string begin(double width, double height, const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"#fff\"/>\n<text x=\"{3}\" y=\"18\">{2}</text>\n",
      width, height, base::escaped_markup(title), left);
}

struct Fill {
  const char* cls;
  const char* name;
  const char* colour;
};
constexpr Fill block_fills[] = {{"forward", "F forward", "#e69f00"},
                                {"backward_input", "B backward for the input", "#009e73"},
                                {"backward_weight", "W backward for the weights", "#0072b2"},
                                {"backward", "BW full backward", "#56b4e9"}};

const char* colour_of(std::string_view cls) {
  for (const Fill& fill : block_fills) {
    if (cls == fill.cls) return fill.colour;
  }
  return "#56b4e9";
}

void box(std::string& out, double x, double y, double width, double height, const char* colour) {
  fmt::format_to(std::back_inserter(out),
                 "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", x, y, width,
                 height, colour);
}

std::string legend(double y) {
  std::string out;
  double x = left;
  for (const Fill& fill : block_fills) {
    box(out, x, y, 14.0, 12.0, fill.colour);
    out += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", x + 19.0, y + 10.0, fill.name);
    x += 200.0;
  }
  return out + fmt::format("<text x=\"{}\" y=\"{}\">halves: an overlapped pair</text>\n", x, y + 10.0);
}

// 1, 2 or 5 times a power of ten, so that about eight steps make the whole.
double tick_step(double whole) {
  const double rough = whole / 8.0, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double part = rough / power;
  return power * (part <= 1.0 ? 1.0 : part <= 2.0 ? 2.0 : part <= 5.0 ? 5.0 : 10.0);
}

}  // namespace

std::string step_svg(const sim::Result& result, const sim::StepRecord& record) {
  constexpr double row = 16.0, top = 30.0;
  const double bottom = top + row * record.ranks, scale = plot_width / result.step_time_s;
  std::string out = begin(left + plot_width + 20.0, bottom + 50.0,
                          fmt::format("one step, {}: {}, bubble at most {}", result.schedule,
                                      seconds_text(result.step_time_s), percent(result.bubble_ratio)));
  for (int rank = 0; rank < record.ranks; ++rank) {
    box(out, left, top + row * rank, plot_width, row - 1.0, "#ececea");
    out += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\" font-size=\"11\">rank {}</text>\n", left - 6.0,
                       top + row * rank + 11.5, rank);
  }
  for (const sim::Span& span : record.spans) {
    if (span.lane != sim::Lane::schedule) continue;
    const double x = left + base::seconds(span.start) * scale, y = top + row * span.rank;
    const double width = base::seconds(span.end - span.start) * scale;
    if (std::string_view(span.cls) == "overlapped") {
      box(out, x, y, width, row / 2.0 - 0.5, colour_of("forward"));
      box(out, x, y + row / 2.0 - 0.5, width, row / 2.0 - 0.5, colour_of("backward"));
    } else {
      box(out, x, y, width, row - 1.0, colour_of(span.cls));
    }
  }
  const double step = tick_step(result.step_time_s);
  for (double time = 0.0; time <= result.step_time_s; time += step) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\" font-size=\"11\">{:.4g} s</text>\n",
                       left + time * scale, bottom + 13.0, time);
  }
  return out + legend(bottom + 24.0) + "</svg>\n";
}

std::string budget_svg(const planner::Budget& budget) {
  constexpr double row = 30.0, top = 34.0, wide = 620.0, names = 190.0;
  const planner::Quantiles& total = budget.total_gpu_hours;
  const double scale = wide / std::max(total.p90, budget.gpu_hours),
               rows = static_cast<double>(budget.stages.size()) + 1.0;
  std::string out = begin(names + wide + 130.0, top + row * rows + 20.0,
                          fmt::format("{}: {} GPU-hours on {} GPUs, {:.1f} days", budget.model,
                                      grouped(budget.gpu_hours), budget.gpus, budget.days));
  double y = top;
  const auto line = [&](const std::string& name, double hours, const std::string& figure, double figure_x) {
    out += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", names - 8.0, y + 16.0,
                       base::escaped_markup(name));
    box(out, names, y + 3.0, std::max(hours * scale, 0.5), row - 10.0, "#0072b2");
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\">{}</text>\n", figure_x, y + 16.0, figure);
    y += row;
  };
  for (const planner::StageBudget& stage : budget.stages)
    line(stage.name, stage.gpu_hours, grouped(stage.gpu_hours), names + stage.gpu_hours * scale + 6.0);
  const double middle = y + row / 2.0 - 2.0;
  line("whole run", budget.gpu_hours, fmt::format("{} to {}", shortened(total.p10), shortened(total.p90)),
       names + total.p90 * scale + 8.0);
  return out + fmt::format(
                   "<path d=\"M{0:.1f} {1}H{2:.1f}M{0:.1f} {3}v12M{2:.1f} {3}v12\" stroke=\"#d55e00\" "
                   "stroke-width=\"2\" fill=\"none\"/>\n</svg>\n",
                   names + total.p10 * scale, middle, names + total.p90 * scale, middle - 6.0);
}

std::string validation_svg(const planner::Validation& validation) {
  constexpr double size = 560.0, top = 34.0;
  double low = 1e300, high = 1e-300;
  std::size_t within = 0;
  for (const planner::ValidationRow& row : validation.rows) {
    low = std::min({low, row.reported, row.predicted});
    high = std::max({high, row.reported, row.predicted});
    within += std::abs(row.error()) <= 0.1 ? 1 : 0;
  }
  std::string out =
      begin(left + size + 30.0, top + size + 44.0,
            fmt::format("predicted over reported: {} of {} rows within 10 %", within, validation.rows.size()));
  if (validation.rows.empty() || !(low > 0.0)) return out + "</svg>\n";
  const double from = std::floor(std::log10(low)), to = std::ceil(std::log10(high)), span = std::max(to - from, 1.0);
  const auto x = [&](double value) { return left + (std::log10(value) - from) / span * size; };
  const auto y = [&](double value) { return top + size - (std::log10(value) - from) / span * size; };
  const double first = std::pow(10.0, from), last = std::pow(10.0, from + span);
  for (double decade = first; decade <= last * 1.001; decade *= 10.0) {
    out += fmt::format(
        "<path d=\"M{0:.1f} {1}V{2}M{3} {4:.1f}H{5}\" stroke=\"#ddd\"/><text x=\"{0:.1f}\" y=\"{6}\" "
        "text-anchor=\"middle\" font-size=\"10\">{7:.3g}</text><text x=\"{8}\" y=\"{9:.1f}\" text-anchor=\"end\" "
        "font-size=\"10\">{7:.3g}</text>\n",
        x(decade), top, top + size, left, y(decade), left + size, top + size + 14.0, decade, left - 5.0,
        y(decade) + 4.0);
  }
  out += fmt::format(
      "<path d=\"M{0:.2f} {1:.2f}L{2:.2f} {3:.2f}L{2:.2f} {4:.2f}L{0:.2f} {5:.2f}Z\" fill=\"#0072b2\" "
      "fill-opacity=\"0.18\"/>\n",
      x(first), y(first * 1.1), x(last), y(last * 1.1), y(last * 0.9), y(first * 0.9));
  // Dots as round ends of lines without length: thousands of them stay a small file.
  for (const bool near : {true, false}) {
    out += fmt::format("<path stroke=\"{}\" stroke-opacity=\"0.6\" stroke-width=\"3.2\" stroke-linecap=\"round\" d=\"",
                       near ? "#0072b2" : "#d55e00");
    for (const planner::ValidationRow& row : validation.rows) {
      if ((std::abs(row.error()) <= 0.1) == near)
        fmt::format_to(std::back_inserter(out), "M{:.1f} {:.1f}h0", x(row.reported), y(row.predicted));
    }
    out += "\"/>\n";
  }
  return out + fmt::format(
                   "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">reported, each in its own unit (blue: "
                   "within the band of 10 %)</text>\n</svg>\n",
                   left + size / 2.0, top + size + 34.0);
}

}  // namespace hourglass::reports
