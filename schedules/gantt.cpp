// One character per quantum of time; a block shorter than a quantum may not show, and its neighbour then stands for it,
// so the chart is for looking and letters() for comparing.
#include "schedules/gantt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace hourglass::schedules {

namespace {

class Chart {
 public:
  Chart(double makespan, int columns) : line_(static_cast<std::size_t>(columns), '.'), per_time_(columns / makespan) {}

  void draw(double start, double end, char mark) {
    const auto from = static_cast<std::size_t>(std::lround(start * per_time_));
    const auto to = std::min(static_cast<std::size_t>(std::lround(end * per_time_)), line_.size());
    for (std::size_t at = from; at < to; ++at) line_[at] = mark;
  }
  const std::string& line() const { return line_; }

 private:
  std::string line_;
  double per_time_;
};

}  // namespace

std::string gantt(const Schedule& schedule, const Costs& costs, const GanttOptions& options) {
  const Evaluation evaluation = evaluate(schedule, costs);
  const int columns = std::clamp(options.columns, 1, 10'000);
  const auto width = fmt::formatted_size("{}", schedule.ranks - 1);
  const double share_of_b = costs.backward() > 0.0 ? costs.backward_input / costs.backward() : 0.5;
  std::string text;
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    Chart chart(std::max(evaluation.makespan, 1e-300), columns);
    for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
      const Action& action = schedule.actions[rank][i];
      const std::size_t id = evaluation.rank_begin[rank] + i;
      const bool second =
          (schedule.directions == 2 ? schedule.direction_of(action.micro_batch) : action.stage / schedule.ranks) % 2 ==
          1;
      const auto mark = [&](char upper) { return second ? static_cast<char>(std::tolower(upper)) : upper; };
      const double start = evaluation.start[id], end = evaluation.end[id];
      switch (action.kind) {
        case Kind::forward:
          chart.draw(start, end, mark('F'));
          break;
        case Kind::backward_input:
          chart.draw(start, end, mark('B'));
          break;
        case Kind::backward_weight:
          chart.draw(start, end, mark('W'));
          break;
        case Kind::overlapped:
          chart.draw(start, end, mark('X'));
          break;
        case Kind::backward:
          chart.draw(start, start + (end - start) * share_of_b, mark('B'));
          chart.draw(start + (end - start) * share_of_b, end, mark('W'));
          break;
      }
    }
    text += fmt::format("{:>{}} {}\n", rank, width, chart.line());
  }
  return text;
}

}  // namespace hourglass::schedules
