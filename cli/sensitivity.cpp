#include "reports/sensitivity.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"

namespace hourglass::cli {

int sensitivity(const Invocation& invocation) {
  Options options;
  options.number<double>("change", "PERCENT", "how far each input moves to both sides (default 10)");
  add_result_format(options, {"svg"});
  add_overrides(options);
  Values values;
  const Usage usage = {"hourglass sensitivity PLAN [options]",
                       "What the run's time owes to links, chips and balance: each input moved and simulated again, "
                       "largest effect first.",
                       {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats({"svg"}));
  const double change = values.has("change") ? values.get<double>("change") : 10.0;
  if (!(change >= 0.1 && change <= 50.0))
    throw base::UsageError(fmt::format("{} % is out of range", change), "--change", "give 0.1 to 50");
  sim::Inputs inputs = sim::load_inputs(required(values, "plan", "PLAN"), overrides(values));
  inputs.provenance.argv = invocation.argv;
  const planner::Tornado tornado = planner::sensitivity(inputs, change / 100.0);
  write_result(format, {[&] { return reports::sensitivity_text(tornado); },
                        [&] { return reports::sensitivity_json(tornado, inputs.provenance); },
                        {"levers"},
                        {{"svg", [&] { return reports::sensitivity_svg(tornado); }}}});
  return 0;
}

}  // namespace hourglass::cli
