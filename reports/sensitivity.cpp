#include "reports/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/svg_canvas.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using base::Json;

// Relative change of the time on one side; 0 where that side does not exist.
double change(const planner::Tornado& t, const planner::LeverSide& side) { return side.time / t.time - 1.0; }

double widest(const planner::Tornado& t) {
  double most = 0.0;
  for (const planner::Lever& lever : t.levers)
    most = std::max({most, std::abs(change(t, lever.down)), std::abs(change(t, lever.up))});
  return most;
}

std::string signed_percent(double fraction) {
  const std::string text = fmt::format("{:+.2f} %", fraction * 100.0);
  return text == "-0.00 %" ? "+0.00 %" : text;
}

std::string side_text(const planner::Tornado& t, const planner::LeverSide& side) {
  return side.factor == 1.0 ? "-" : signed_percent(change(t, side));
}

// Less time to the left of the bar's middle, more to the right: '-' where the input is smaller, '+' where larger.
std::string bar(const planner::Tornado& t, const planner::Lever& lever, double most) {
  constexpr int half = 16;
  std::string text(2 * half + 1, ' ');
  text[half] = '|';
  for (const auto& [side, mark] : {std::pair{&lever.down, '-'}, std::pair{&lever.up, '+'}}) {
    const double share = most > 0.0 ? change(t, *side) / most : 0.0;
    const int cells = static_cast<int>(std::lround(std::abs(share) * half));
    for (int i = 1; i <= cells; ++i) text[static_cast<std::size_t>(share < 0.0 ? half - i : half + i)] = mark;
  }
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

std::string time_text(const planner::Tornado& t) {
  return t.run ? grouped(t.time) + " GPU-hours" : seconds_text(t.time) + " a step";
}

constexpr const char* less_colour = "#4f81bd";
constexpr const char* more_colour = "#f2a541";

// Of the figure, in user units: names, values, bars to both sides of the middle, values, elasticities.
struct Layout {
  std::size_t rows = 0;
  double widest = 0.0;
  double left = 190.0, top = 56.0, row = 26.0, half = 280.0, middle = 550.0, width = 1000.0;
  double bottom() const { return top + row * static_cast<double>(rows); }
};

void svg_row(base::SvgCanvas& canvas, const planner::Tornado& t, const planner::Lever& lever, const Layout& at,
             std::size_t i) {
  const double y = at.top + at.row * static_cast<double>(i);
  canvas.text({at.left, 1}, {y + 15.0, 1}, lever.name, {{"class", "r"}});
  for (const auto& [side, colour] : {std::pair{&lever.down, less_colour}, std::pair{&lever.up, more_colour}}) {
    if (side->factor == 1.0) continue;
    const double length = at.widest > 0.0 ? change(t, *side) / at.widest * at.half : 0.0;
    const std::string moved = signed_percent(change(t, *side));
    canvas.rect({std::min(at.middle, at.middle + length), 1}, {y + 2.0, 1}, {std::abs(length), 1}, "18",
                {{"fill", colour}}, fmt::format("{} x {:.3g}: {}", lever.name, side->factor, moved));
    if (std::abs(length) < 1.0) continue;
    if (length < 0.0)
      canvas.text({at.middle + length - 6.0, 1}, {y + 15.0, 1}, moved, {{"class", "r"}});
    else
      canvas.text({at.middle + length + 6.0, 1}, {y + 15.0, 1}, moved);
  }
  canvas.text({at.width - 12.0, 1}, {y + 15.0, 1}, fmt::format("{:+.3f}", lever.elasticity()), {{"class", "r"}});
}

}  // namespace

std::string sensitivity_text(const planner::Tornado& t) {
  std::string out = fmt::format("{} on cluster {}: {} as planned; each input {} less and more, all else as it is\n\n",
                                t.plan, t.cluster, time_text(t), percent(t.change));
  Table table({"input", "less", "more", "elasticity", "time less | more ('-': input smaller, '+': larger)"});
  const double most = widest(t);
  for (const planner::Lever& lever : t.levers) {
    table.add({lever.name, side_text(t, lever.down), side_text(t, lever.up), fmt::format("{:+.3f}", lever.elasticity()),
               bar(t, lever, most)});
  }
  out += table.text("  ", true) + "\n  what was moved\n";
  for (const planner::Lever& lever : t.levers) {
    const std::string value = lever.value > 0.0 ? fmt::format(" = {:.6g}", lever.value) : "";
    out += fmt::format("  {:<22} {}{}\n", lever.name, lever.key, value);
  }
  return out;
}

base::Json sensitivity_json(const planner::Tornado& t, const base::Provenance& provenance) {
  Json out = {{"schema_version", schema_version}, {"provenance", base::provenance_json(provenance)}};
  out["plan"] = t.plan;
  out["cluster"] = t.cluster;
  out["change"] = t.change;
  out["quantity"] = t.run ? "gpu_hours" : "step_time_s";
  out["planned"] = t.time;
  Json levers = Json::array();
  const auto side = [](const planner::LeverSide& s) -> Json {
    if (s.factor == 1.0) return nullptr;
    return {{"factor", s.factor}, {"time", s.time}};
  };
  for (const planner::Lever& lever : t.levers) {
    levers.push_back({{"name", lever.name},
                      {"key", lever.key},
                      {"value", lever.value},
                      {"less", side(lever.down)},
                      {"more", side(lever.up)},
                      {"elasticity", lever.elasticity()}});
  }
  out["levers"] = std::move(levers);
  return out;
}

std::string sensitivity_svg(const planner::Tornado& t) {
  const Layout at{t.levers.size(), widest(t)};
  base::SvgCanvas canvas({at.width, at.bottom() + 36.0, 0, "text{font-size:12px}.r{text-anchor:end}"});
  canvas.text("12", "20",
              fmt::format("{} on cluster {}: {} as planned; each input {} less and more", t.plan, t.cluster,
                          time_text(t), percent(t.change)));
  canvas.text({at.width - 12.0, 1}, "42", "elasticity", {{"class", "r"}});
  for (std::size_t i = 0; i < t.levers.size(); ++i) svg_row(canvas, t, t.levers[i], at, i);
  canvas.line({at.middle, 1}, {at.top - 6.0, 1}, {at.middle, 1}, {at.bottom(), 1}, {{"stroke", "#222"}});
  double x = at.left;
  for (const auto& [colour, word] : {std::pair{less_colour, "less"}, std::pair{more_colour, "more"}}) {
    canvas.rect({x, 1}, {at.bottom() + 10.0, 1}, "12", "12", {{"fill", colour}})
        .beside()
        .text({x + 18.0, 1}, {at.bottom() + 21.0, 1}, fmt::format("input {} {}", percent(t.change), word));
    x += 160.0;
  }
  return std::move(canvas).take();
}

}  // namespace hourglass::reports
