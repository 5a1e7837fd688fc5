// The figure is laid out in user units: a row is row_height high, time is scaled so that the longest drawing is
// plot_width wide. Colours follow the published DualPipe figure: forward orange, backward for the input green, for the
// weights blue, full backward green into blue. Numbers are left out where a box is too narrow for them.
#include "schedules/svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/markup.h"

namespace hourglass::schedules {

namespace {

constexpr double plot_width = 1400.0, row_height = 18.0, left = 70.0, title_height = 26.0, gap = 16.0,
                 legend_height = 24.0;

struct Hue {
  const char* full;
  const char* light;
};
constexpr Hue forward_hue = {"#f2a541", "#fad9a8"};
constexpr Hue input_hue = {"#4fa866", "#b4dcbf"};
constexpr Hue weight_hue = {"#4f81bd", "#b7cde8"};
constexpr Hue full_hue = {"#3f9c93", "#aed9d4"};

const Hue& hue_of(Kind kind) {
  switch (kind) {
    case Kind::forward:
      return forward_hue;
    case Kind::backward_input:
      return input_hue;
    case Kind::backward_weight:
      return weight_hue;
    case Kind::backward:
    case Kind::overlapped:
      break;
  }
  return full_hue;
}

class Canvas {
 public:
  Canvas(const Schedule& schedule, double top, double scale) : schedule_(schedule), top_(top), scale_(scale) {}

  std::string draw(const Evaluation& evaluation) {
    std::string out;
    for (std::size_t r = 0; r < schedule_.actions.size(); ++r) {
      const double y = top_ + static_cast<double>(r) * row_height;
      out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" class=\"r\">rank {}</text>\n", left - 8, y + 13, r);
      out += fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" class=\"i\"/>\n", left, y,
                         evaluation.makespan * scale_, row_height - 1);
      for (std::size_t i = 0; i < schedule_.actions[r].size(); ++i) {
        const std::size_t at = evaluation.rank_begin[r] + i;
        out += action(schedule_.actions[r][i], y, evaluation.start[at], evaluation.end[at]);
      }
    }
    return out;
  }

 private:
  // The second direction, or a later stage of the rank, is drawn lighter.
  bool light(int stage, int micro_batch) const {
    return schedule_.directions == 2 ? schedule_.direction_of(micro_batch) == 1 : stage >= schedule_.ranks;
  }

  std::string box(Kind kind, int stage, int micro_batch, double x, double y, double width, double height,
                  double number_height) const {
    const Hue& hue = hue_of(kind);
    std::string out = fmt::format("<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                                  x, y, width, height, light(stage, micro_batch) ? hue.light : hue.full);
    const double needed = static_cast<double>(std::to_string(micro_batch).size()) * number_height * 0.6 + 1.0;
    if (width >= needed) {
      out += fmt::format("<text x=\"{:.2f}\" y=\"{:.1f}\" font-size=\"{:.0f}\" class=\"n\">{}</text>\n", x + width / 2,
                         y + height / 2 + number_height * 0.36, number_height, micro_batch);
    }
    return out;
  }

  std::string action(const Action& a, double y, double start, double end) const {
    const double x = left + start * scale_, width = (end - start) * scale_, height = row_height - 1;
    if (a.kind != Kind::overlapped) return box(a.kind, a.stage, a.micro_batch, x, y, width, height, 11.0);
    return box(Kind::forward, a.stage, a.micro_batch, x, y, width, height / 2, 8.0) +
           box(Kind::backward, a.backward_stage, a.backward_micro_batch, x, y + height / 2, width, height / 2, 8.0) +
           fmt::format("<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" class=\"p\"/>\n", x, y,
                       width, height);
  }

  const Schedule& schedule_;
  double top_, scale_;
};

std::string legend(double y) {
  const std::pair<const char*, const char*> entries[] = {{"forward", forward_hue.full},
                                                         {"backward for the input", input_hue.full},
                                                         {"backward for the weights", weight_hue.full},
                                                         {"full backward", full_hue.full}};
  std::string out;
  double x = left;
  for (const auto& [name, colour] : entries) {
    out += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{}\" "
        "class=\"t\">{}</text>\n",
        x, y, colour, x + 19, y + 10, name);
    x += 190.0;
  }
  return out + fmt::format(
                   "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"12\" class=\"p\"/><text x=\"{}\" y=\"{}\" "
                   "class=\"t\">overlapped pair; lighter: second "
                   "direction or later chunk</text>\n",
                   x, y, x + 19, y + 10);
}

}  // namespace

std::string to_svg(const std::vector<Drawing>& drawings) {
  std::vector<Evaluation> evaluations;
  double longest = 0.0, height = 0.0;
  for (const Drawing& drawing : drawings) {
    evaluations.push_back(evaluate(*drawing.schedule, drawing.costs));
    longest = std::max(longest, evaluations.back().makespan);
    height += title_height + static_cast<double>(drawing.schedule->ranks) * row_height + gap;
  }
  const double scale = longest > 0.0 ? plot_width / longest : 0.0;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\">\n",
      left + plot_width + 20.0, height + legend_height);
  out +=
      "<style>.t{font-size:12px}.r{font-size:11px;text-anchor:end}.n{text-anchor:middle}.i{fill:#f0f0f0}.p{fill:none;"
      "stroke:#222;stroke-width:1}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  double top = 0.0;
  for (std::size_t i = 0; i < drawings.size(); ++i) {
    const Schedule& schedule = *drawings[i].schedule;
    out += fmt::format(
        "<text x=\"{}\" y=\"{:.1f}\" class=\"t\">{}: makespan {:.6g}, largest bubble {:.6g}, peak activations "
        "{:.4g}</text>\n",
        left, top + 18, base::escaped_markup(drawings[i].title), evaluations[i].makespan, evaluations[i].bubble,
        evaluations[i].peak_activations);
    out += Canvas(schedule, top + title_height, scale).draw(evaluations[i]);
    top += title_height + static_cast<double>(schedule.ranks) * row_height + gap;
  }
  return out + legend(top) + "</svg>\n";
}

}  // namespace hourglass::schedules
