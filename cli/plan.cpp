#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "planner/budget/budget.h"
#include "reports/budget.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/pictures.h"
#include "reports/solve.h"
#include "reports/text.h"

namespace hourglass::cli {

namespace {

// How many GPUs for so many days?
int solve(const Values& values, const sim::Inputs& inputs, const std::string& format) {
  const std::string unknown = values.text("solve");
  if (unknown != "gpus")
    throw base::UsageError(fmt::format("cannot solve for '{}'", base::printable(unknown)), "--solve",
                           base::suggestion(unknown, {"gpus"}));
  if (!values.has("max-days")) throw base::UsageError("needs --max-days", "--solve", "say how long it may take");
  const double days = values.get<double>("max-days");
  if (!(days > 0.0 && days < 1e6))
    throw base::UsageError(fmt::format("{} days is no time to train", days), "--max-days", "give more than 0");
  const planner::GpuSolution solution = planner::solve_gpus(inputs, days);
  write_result(format, {[&] { return reports::solution_text(inputs, solution); },
                        [&] { return reports::solution_json(inputs, solution); },
                        {"simulated"}});
  return 0;
}

}  // namespace

int plan(const Invocation& invocation) {
  Options options;
  options.text("solve", "gpus", "instead: the fewest legal GPUs for --max-days");
  options.number<double>("max-days", "DAYS", "with --solve: on the calendar, failures included");
  add_result_format(options, {"svg"});
  add_overrides(options);
  options.flag("explain", "text: also print where every cost comes from");
  add_html(options);
  Values values;
  const Usage usage = {"hourglass plan PLAN [options]",
                       "The GPU-hour budget of a training run: every stage's step is simulated, then multiplied; its "
                       "range,\nand what failures, checkpoints and restarts add.",
                       {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const bool solving = values.has("solve");
  const std::string format = format_of(values, solving ? result_formats() : result_formats({"svg"}));
  if (solving && values.has("html")) throw base::UsageError("is for a budget", "--html", "leave out --solve");
  if (values.has("max-days") && !solving)
    throw base::UsageError("is for --solve gpus", "--max-days", "add --solve gpus");
  sim::Inputs inputs = sim::load_inputs(required(values, "plan", "PLAN"), overrides(values));
  inputs.provenance.argv = invocation.argv;
  if (values.has("solve")) return solve(values, inputs, format);
  inputs.provenance.seed = static_cast<std::uint64_t>(inputs.plan.operations.uncertainty.seed);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto progress = [](std::size_t done, std::size_t total) {
    fmt::print(stderr, "\rsimulating step {} of {} ", done + 1, total);
  };
  const planner::Budget budget = planner::make_budget(inputs, terminal ? planner::Progress(progress) : nullptr);
  if (terminal) fmt::print(stderr, "\r{:40}\r", "");
  write_html(values, [&] { return reports::budget_html(budget, inputs); });
  const bool explained = values.has("explain");
  write_result(format,
               {[&] {
                  return reports::budget_text(budget) +
                         (explained ? reports::explain_text(inputs.profile) + reports::assumptions_text(budget) : "");
                },
                [&] { return reports::budget_json(budget, inputs.provenance); },
                {"stages"},
                {{"svg", [&] { return reports::budget_svg(budget); }}}});
  return 0;
}

}  // namespace hourglass::cli
