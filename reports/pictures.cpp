// The colours are those of the HTML report (reports/html/page.css), which colour-blind readers can tell apart.
#include "reports/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/svg_canvas.h"
#include "base/units.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using base::SvgCanvas;
using schedules::Kind;

constexpr double plot_width = 1100.0, left = 70.0;

SvgCanvas titled(double width, double height, const std::string& title) {
  SvgCanvas canvas({width, height, 12, "", title});
  canvas.text(left, 18.0, title);
  return canvas;
}

struct Fill {
  Kind kind;
  const char* name;
  const char* colour;
};
constexpr Fill block_fills[] = {{Kind::forward, "F forward", "#e69f00"},
                                {Kind::backward_input, "B backward for the input", "#009e73"},
                                {Kind::backward_weight, "W backward for the weights", "#0072b2"},
                                {Kind::backward, "BW full backward", "#56b4e9"}};

void box(SvgCanvas& canvas, double x, double y, double width, double height, const char* colour) {
  canvas.rect({x, 2}, {y, 1}, {width, 2}, {height, 1}, {{"fill", colour}});
}
void box(SvgCanvas& canvas, double x, double y, double width, double height, Kind kind) {
  box(canvas, x, y, width, height, block_fills[static_cast<std::size_t>(kind)].colour);
}

void legend(SvgCanvas& canvas, double y) {
  double x = left;
  for (const Fill& fill : block_fills) {
    box(canvas, x, y, 14.0, 12.0, fill.colour);
    canvas.text(x + 19.0, y + 10.0, fill.name);
    x += 200.0;
  }
  canvas.text(x, y + 10.0, "halves: an overlapped pair");
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
  const double bottom = top + row * record.schedule.ranks, scale = plot_width / result.step_time_s;
  SvgCanvas canvas = titled(left + plot_width + 20.0, bottom + 50.0,
                            fmt::format("one step, {}: {}, bubble at most {}", result.schedule,
                                        seconds_text(result.step_time_s), percent(result.bubble_ratio)));
  for (int rank = 0; rank < record.schedule.ranks; ++rank) {
    box(canvas, left, top + row * rank, plot_width, row - 1.0, "#ececea");
    canvas.text(left - 6.0, {top + row * rank + 11.5, 0}, fmt::format("rank {}", rank),
                {{"text-anchor", "end"}, {"font-size", "11"}});
  }
  for (const sim::Span& span : record.spans) {
    if (span.lane != sim::Lane::schedule) continue;
    const double x = left + base::seconds(span.start) * scale, y = top + row * span.rank;
    const double width = base::seconds(span.end - span.start) * scale;
    const Kind kind = record.action_of(span)->kind;
    if (kind == Kind::overlapped) {
      box(canvas, x, y, width, row / 2.0 - 0.5, Kind::forward);
      box(canvas, x, y + row / 2.0 - 0.5, width, row / 2.0 - 0.5, Kind::backward);
    } else {
      box(canvas, x, y, width, row - 1.0, kind);
    }
  }
  const double step = tick_step(result.step_time_s);
  for (double time = 0.0; time <= result.step_time_s; time += step) {
    canvas.text({left + time * scale, 1}, {bottom + 13.0, 0}, fmt::format("{:.4g} s", time),
                {{"text-anchor", "middle"}, {"font-size", "11"}});
  }
  legend(canvas, bottom + 24.0);
  return std::move(canvas).take();
}

std::string budget_svg(const planner::Budget& budget) {
  constexpr double row = 30.0, top = 34.0, wide = 620.0, names = 190.0;
  const planner::Quantiles& total = budget.total_gpu_hours;
  const double scale = wide / std::max(total.p90, budget.gpu_hours),
               rows = static_cast<double>(budget.stages.size()) + 1.0;
  SvgCanvas canvas = titled(names + wide + 130.0, top + row * rows + 20.0,
                            fmt::format("{}: {} GPU-hours on {} GPUs, {:.1f} days", budget.model,
                                        grouped(budget.gpu_hours), budget.gpus, budget.days));
  double y = top;
  const auto line = [&](const std::string& name, double hours, const std::string& figure, double figure_x) {
    canvas.text(names - 8.0, {y + 16.0, 0}, name, {{"text-anchor", "end"}});
    box(canvas, names, y + 3.0, std::max(hours * scale, 0.5), row - 10.0, "#0072b2");
    canvas.text({figure_x, 1}, {y + 16.0, 0}, figure);
    y += row;
  };
  for (const planner::StageBudget& stage : budget.stages)
    line(stage.name, stage.gpu_hours, grouped(stage.gpu_hours), names + stage.gpu_hours * scale + 6.0);
  const double middle = y + row / 2.0 - 2.0;
  line("whole run", budget.gpu_hours, fmt::format("{} to {}", shortened(total.p10), shortened(total.p90)),
       names + total.p90 * scale + 8.0);
  const std::string range = fmt::format("M{0:.1f} {1}H{2:.1f}M{0:.1f} {3}v12M{2:.1f} {3}v12", names + total.p10 * scale,
                                        middle, names + total.p90 * scale, middle - 6.0);
  canvas.element("path", {{"d", range}, {"stroke", "#d55e00"}, {"stroke-width", "2"}, {"fill", "none"}});
  return std::move(canvas).take();
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
  SvgCanvas canvas =
      titled(left + size + 30.0, top + size + 44.0,
             fmt::format("predicted over reported: {} of {} rows within 10 %", within, validation.rows.size()));
  if (validation.rows.empty() || !(low > 0.0)) return std::move(canvas).take();
  const double from = std::floor(std::log10(low)), to = std::ceil(std::log10(high)), span = std::max(to - from, 1.0);
  const auto x = [&](double value) { return left + (std::log10(value) - from) / span * size; };
  const auto y = [&](double value) { return top + size - (std::log10(value) - from) / span * size; };
  const double first = std::pow(10.0, from), last = std::pow(10.0, from + span);
  for (double decade = first; decade <= last * 1.001; decade *= 10.0) {
    const std::string figure = fmt::format("{:.3g}", decade);
    const std::string cross =
        fmt::format("M{:.1f} {}V{}M{} {:.1f}H{}", x(decade), top, top + size, left, y(decade), left + size);
    canvas.element("path", {{"d", cross}, {"stroke", "#ddd"}}).beside();
    canvas.text({x(decade), 1}, top + size + 14.0, figure, {{"text-anchor", "middle"}, {"font-size", "10"}}).beside();
    canvas.text(left - 5.0, {y(decade) + 4.0, 1}, figure, {{"text-anchor", "end"}, {"font-size", "10"}});
  }
  const std::string band = fmt::format("M{0:.2f} {1:.2f}L{2:.2f} {3:.2f}L{2:.2f} {4:.2f}L{0:.2f} {5:.2f}Z", x(first),
                                       y(first * 1.1), x(last), y(last * 1.1), y(last * 0.9), y(first * 0.9));
  canvas.element("path", {{"d", band}, {"fill", "#0072b2"}, {"fill-opacity", "0.18"}});
  // Dots as round ends of lines without length: thousands of them stay a small file.
  for (const bool near : {true, false}) {
    std::string dots;
    for (const planner::ValidationRow& row : validation.rows) {
      if ((std::abs(row.error()) <= 0.1) == near)
        fmt::format_to(std::back_inserter(dots), "M{:.1f} {:.1f}h0", x(row.reported), y(row.predicted));
    }
    canvas.element("path", {{"stroke", near ? "#0072b2" : "#d55e00"},
                            {"stroke-opacity", "0.6"},
                            {"stroke-width", "3.2"},
                            {"stroke-linecap", "round"},
                            {"d", dots}});
  }
  canvas.text(left + size / 2.0, top + size + 34.0, "reported, each in its own unit (blue: within the band of 10 %)",
              {{"text-anchor", "middle"}});
  return std::move(canvas).take();
}

}  // namespace hourglass::reports
