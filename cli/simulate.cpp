#include "sim/simulate.h"

#include "cli/command.h"
#include "reports/chrome_trace.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/text.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int simulate(const Invocation& invocation) {
  po::options_description options("options");
  add_format(options, "text (default) or json");
  add_overrides(options);
  options.add_options()("explain", "text: also print where every cost comes from");
  options.add_options()("trace", po::value<std::string>()->value_name("FILE"),
                        "write what ran when, for ui.perfetto.dev: trace.json, or trace.json.gz");
  add_html(options);
  po::variables_map values;
  const Usage usage = {
      "hourglass simulate PLAN.json [options]", "One training step of the plan, rank by rank.", {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, {"text", "json"});
  sim::Inputs inputs = sim::load_inputs(required(values, "plan", "PLAN.json"), overrides(values));
  inputs.provenance.argv = invocation.argv;
  const bool traced = values.count("trace") > 0, recorded = traced || values.count("html") > 0;
  sim::StepRecord record;
  const sim::Result result = sim::simulate(inputs, recorded ? &record : nullptr);
  if (traced) write_file(values["trace"].as<std::string>(), reports::chrome_trace(inputs, result, record));
  write_html(values, [&] { return reports::step_html(inputs, result, record); });
  if (format == "json") {
    write_out(reports::step_json(result, inputs.provenance).dump(2) + "\n");
  } else {
    write_out(reports::step_text(inputs, result) +
              (values.count("explain") > 0 ? reports::explain_text(inputs.profile) : ""));
  }
  return 0;
}

}  // namespace hourglass::cli
