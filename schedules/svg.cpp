// The figure is laid out in user units: a row is row_height high, time is scaled so that the longest drawing is
// plot_width wide. Colours follow the published DualPipe figure: forward orange, backward for the input green, for the
// weights blue, full backward green into blue. Numbers are left out where a box is too narrow for them.
#include "schedules/svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/svg_canvas.h"

namespace hourglass::schedules {

namespace {

using base::SvgCanvas;

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

// One schedule of the figure.
class Rows {
 public:
  Rows(SvgCanvas& canvas, const Schedule& schedule, double top, double scale)
      : canvas_(canvas), schedule_(schedule), top_(top), scale_(scale) {}

  void draw(const Evaluation& evaluation) {
    for (std::size_t r = 0; r < schedule_.actions.size(); ++r) {
      const double y = top_ + static_cast<double>(r) * row_height;
      canvas_.text(left - 8, {y + 13, 1}, fmt::format("rank {}", r), {{"class", "r"}});
      canvas_.rect(left, {y, 1}, {evaluation.makespan * scale_, 2}, row_height - 1, {{"class", "i"}});
      for (std::size_t i = 0; i < schedule_.actions[r].size(); ++i) {
        const std::size_t at = evaluation.rank_begin[r] + i;
        action(schedule_.actions[r][i], y, evaluation.start[at], evaluation.end[at]);
      }
    }
  }

 private:
  // The second direction, or a later stage of the rank, is drawn lighter.
  bool light(int stage, int micro_batch) const {
    return schedule_.directions == 2 ? schedule_.direction_of(micro_batch) == 1 : stage >= schedule_.ranks;
  }

  void box(Kind kind, int stage, int micro_batch, double x, double y, double width, double height,
           double number_height) {
    const Hue& hue = hue_of(kind);
    canvas_.rect({x, 2}, {y, 1}, {width, 2}, {height, 1}, {{"fill", light(stage, micro_batch) ? hue.light : hue.full}});
    const std::string number = std::to_string(micro_batch);
    if (width < static_cast<double>(number.size()) * number_height * 0.6 + 1.0) return;
    canvas_.text({x + width / 2, 2}, {y + height / 2 + number_height * 0.36, 1}, number,
                 {{"font-size", {number_height, 0}}, {"class", "n"}});
  }

  void action(const Action& a, double y, double start, double end) {
    const double x = left + start * scale_, width = (end - start) * scale_, height = row_height - 1;
    if (a.kind != Kind::overlapped) return box(a.kind, a.stage, a.micro_batch, x, y, width, height, 11.0);
    box(Kind::forward, a.stage, a.micro_batch, x, y, width, height / 2, 8.0);
    box(Kind::backward, a.backward_stage, a.backward_micro_batch, x, y + height / 2, width, height / 2, 8.0);
    canvas_.rect({x, 2}, {y, 1}, {width, 2}, {height, 1}, {{"class", "p"}});
  }

  SvgCanvas& canvas_;
  const Schedule& schedule_;
  double top_, scale_;
};

void legend(SvgCanvas& canvas, double y) {
  const std::pair<const char*, const char*> entries[] = {{"forward", forward_hue.full},
                                                         {"backward for the input", input_hue.full},
                                                         {"backward for the weights", weight_hue.full},
                                                         {"full backward", full_hue.full}};
  double x = left;
  for (const auto& [name, colour] : entries) {
    canvas.rect(x, y, "14", "12", {{"fill", colour}}).beside().text(x + 19, y + 10, name, {{"class", "t"}});
    x += 190.0;
  }
  canvas.rect(x, y, "14", "12", {{"class", "p"}}).beside();
  canvas.text(x + 19, y + 10, "overlapped pair; lighter: second direction or later chunk", {{"class", "t"}});
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
  SvgCanvas canvas({left + plot_width + 20.0, height + legend_height, 0,
                    ".t{font-size:12px}.r{font-size:11px;text-anchor:end}.n{text-anchor:middle}.i{fill:#f0f0f0}"
                    ".p{fill:none;stroke:#222;stroke-width:1}"});
  double top = 0.0;
  for (std::size_t i = 0; i < drawings.size(); ++i) {
    const Schedule& schedule = *drawings[i].schedule;
    canvas.text(left, {top + 18, 1},
                fmt::format("{}: makespan {:.6g}, largest bubble {:.6g}, peak activations {:.4g}", drawings[i].title,
                            evaluations[i].makespan, evaluations[i].bubble, evaluations[i].peak_activations),
                {{"class", "t"}});
    Rows(canvas, schedule, top + title_height, scale).draw(evaluations[i]);
    top += title_height + static_cast<double>(schedule.ranks) * row_height + gap;
  }
  legend(canvas, top);
  return std::move(canvas).take();
}

}  // namespace hourglass::schedules
