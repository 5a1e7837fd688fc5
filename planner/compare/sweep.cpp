// On abstract costs the swept variable replaces one of the shape's two numbers. On a plan, micro_batches sets the
// global batch (GPUs stay), and pipeline_ranks sets the pipeline (GPUs stay, data parallelism follows); a value that
// breaks a divisibility rule of the plan is a point without schedules, with the reason.
#include "planner/compare/sweep.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"

namespace hourglass::planner {

namespace {

constexpr int most_points = 10'000;

int read_part(const std::string& text, const std::string& whole) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw base::UsageError(fmt::format("'{}' is not a count", base::printable(text)),
                           "--sweep " + base::printable(whole),
                           "write e.g. micro_batches=16:256 or pipeline_ranks=4:32:4");
  }
  return value;
}

template <class Compare>
Sweep run(const SweepRange& range, const Compare& compare_at) {
  Sweep result{range, {}};
  std::string reason;
  bool any = false;
  for (int value = range.first; value <= range.last; value += range.step) {
    SweepPoint point{value, {}};
    try {
      point.comparison = compare_at(value);
      any = any || !point.comparison.schedules.empty();
    } catch (const base::Error& error) {
      point.comparison.refused.push_back({"all", error.what()});
      if (reason.empty()) reason = error.what();
    }
    result.points.push_back(std::move(point));
  }
  if (!any) throw base::Error(reason, "--sweep", "no schedule can run at any value of the range");
  return result;
}

}  // namespace

SweepRange read_sweep_range(const std::string& text) {
  SweepRange range;
  const std::size_t equals = text.find('=');
  range.variable = text.substr(0, equals);
  const std::vector<std::string> known = {"micro_batches", "pipeline_ranks"};
  if (range.variable != known[0] && range.variable != known[1]) {
    throw base::UsageError(fmt::format("cannot sweep '{}'", base::printable(range.variable)), "--sweep",
                           base::suggestion(range.variable, known));
  }
  std::vector<std::string> parts;
  for (std::size_t begin = equals == std::string::npos ? text.size() : equals + 1; begin <= text.size();) {
    const std::size_t end = std::min(text.find(':', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (parts.size() < 2 || parts.size() > 3) read_part("", text);
  range.first = read_part(parts[0], text);
  range.last = read_part(parts[1], text);
  if (parts.size() == 3) range.step = read_part(parts[2], text);
  if (range.last < range.first || (range.last - range.first) / range.step >= most_points) {
    throw base::UsageError(fmt::format("{} to {} by {} is not a range of at most {} values", range.first, range.last,
                                       range.step, most_points),
                           "--sweep " + base::printable(text), "write FIRST:LAST or FIRST:LAST:STEP");
  }
  return range;
}

Sweep sweep(const SweepRange& range, schedules::Shape shape, const schedules::Costs& costs,
            const CompareOptions& options) {
  return run(range, [&](int value) {
    (range.variable == "micro_batches" ? shape.micro_batches : shape.ranks) = value;
    return compare(shape, costs, options);
  });
}

Sweep sweep(const SweepRange& range, const sim::Inputs& inputs, const CompareOptions& options) {
  return run(range, [&](int value) {
    sim::Inputs own = inputs;
    if (range.variable == "micro_batches")
      own.plan.global_batch = value * own.plan.parallel.data * own.plan.micro_batch.sequences;
    else
      own.plan.parallel.pipeline = value;
    sim::complete_parallelism(own.plan, own.model, own.cluster,
                              fmt::format("{} with {} = {}", own.plan.name, range.variable, value));
    return compare(own, options);
  });
}

}  // namespace hourglass::planner
