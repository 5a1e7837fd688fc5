#include <fmt/format.h>
#include <unistd.h>

#include "cli/command.h"
#include "planner/budget.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/pictures.h"
#include "reports/text.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int plan(const Invocation& invocation) {
  po::options_description options("options");
  add_result_format(options, {"svg"});
  add_overrides(options);
  options.add_options()("explain", "text: also print where every cost comes from");
  add_html(options);
  po::variables_map values;
  const Usage usage = {"hourglass plan PLAN.json [options]",
                       "The GPU-hour budget of a training run: every stage's step is simulated, then multiplied.",
                       {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats({"svg"}));
  sim::Inputs inputs = sim::load_inputs(required(values, "plan", "PLAN.json"), overrides(values));
  inputs.provenance.argv = invocation.argv;
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto progress = [](std::size_t done, std::size_t total) {
    fmt::print(stderr, "\rsimulating step {} of {} ", done + 1, total);
  };
  const planner::Budget budget = planner::make_budget(inputs, terminal ? planner::Progress(progress) : nullptr);
  if (terminal) fmt::print(stderr, "\r{:40}\r", "");
  write_html(values, [&] { return reports::budget_html(budget, inputs); });
  if (format == "svg") {
    write_out(reports::budget_svg(budget));
  } else if (format != "text") {
    const base::Json document = reports::budget_json(budget, inputs.provenance);
    write_result(format, document, document["stages"]);
  } else {
    write_out(reports::budget_text(budget) +
              (values.count("explain") > 0 ? reports::explain_text(inputs.profile) : ""));
  }
  return 0;
}

}  // namespace hourglass::cli
