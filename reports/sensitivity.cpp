#include "reports/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
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
  constexpr double left = 190.0, half = 280.0, row = 26.0, top = 56.0, values = 80.0;
  const double middle = left + values + half, width = middle + half + values + 90.0,
               height = top + row * static_cast<double>(t.levers.size()) + 36.0, most = widest(t);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\">\n<style>text{{font-size:12px}}.r{{text-anchor:end}}.m{{text-anchor:middle}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      width, height);
  out += fmt::format("<text x=\"12\" y=\"20\">{} on cluster {}: {} as planned; each input {} less and more</text>\n",
                     escaped(t.plan), escaped(t.cluster), time_text(t), percent(t.change));
  out += fmt::format("<text x=\"{:.1f}\" y=\"42\" class=\"r\">elasticity</text>\n", width - 12.0);
  for (std::size_t i = 0; i < t.levers.size(); ++i) {
    const planner::Lever& lever = t.levers[i];
    const double y = top + row * static_cast<double>(i);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"r\">{}</text>\n", left, y + 15.0, lever.name);
    for (const auto& [side, colour] : {std::pair{&lever.down, "#4f81bd"}, std::pair{&lever.up, "#f2a541"}}) {
      const double length = most > 0.0 ? change(t, *side) / most * half : 0.0;
      if (side->factor == 1.0) continue;
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"18\" fill=\"{}\"><title>{} x {:.3g}: "
          "{}</title></rect>\n",
          std::min(middle, middle + length), y + 2.0, std::abs(length), colour, lever.name, side->factor,
          signed_percent(change(t, *side)));
      if (std::abs(length) < 1.0) continue;
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", middle + length + (length < 0.0 ? -6.0 : 6.0),
                         y + 15.0, length < 0.0 ? " class=\"r\"" : "", signed_percent(change(t, *side)));
    }
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"r\">{:+.3f}</text>\n", width - 12.0, y + 15.0,
                       lever.elasticity());
  }
  const double bottom = height - 30.0;
  out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"#222\"/>\n", middle,
                     top - 6.0, bottom);
  out += fmt::format(
      "<rect x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"12\" height=\"12\" fill=\"#4f81bd\"/><text x=\"{2:.1f}\" "
      "y=\"{3:.1f}\">input {4} less</text>\n",
      left, bottom + 10.0, left + 18.0, bottom + 21.0, percent(t.change));
  out += fmt::format(
      "<rect x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"12\" height=\"12\" fill=\"#f2a541\"/><text x=\"{2:.1f}\" "
      "y=\"{3:.1f}\">input {4} more</text>\n",
      left + 160.0, bottom + 10.0, left + 178.0, bottom + 21.0, percent(t.change));
  return out + "</svg>\n";
}

}  // namespace hourglass::reports
