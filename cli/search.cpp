#include "planner/search.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/command.h"
#include "reports/html.h"
#include "reports/search.h"
#include "schedules/catalogue.h"

namespace hourglass::cli {

namespace po = boost::program_options;

int search(const Invocation& invocation) {
  po::options_description options("options");
  options.add_options()("schedules", po::value<std::string>()->value_name("A,B,C"),
                        "which to try; 'all' for every one (default: the plan's)")(
      "memory-headroom", po::value<double>()->value_name("SHARE"),
      "leave this share of a GPU's memory free (default 0)")("global-batch", po::value<std::int64_t>()->value_name("N"),
                                                             "sequences a step, in place of the plan's");
  add_result_format(options);
  add_overrides(options);
  add_html(options);
  po::variables_map values;
  const Usage usage = {"hourglass search PLAN.json [options]",
                       "Tries every legal parallel layout of the plan's GPUs, and explains the fastest that fits.",
                       {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  planner::SearchOptions chosen;
  if (values.count("schedules") > 0) {
    const std::string names = values["schedules"].as<std::string>();
    chosen.schedules = names == "all" ? schedules::names() : split(names, ',');
    for (const std::string& name : chosen.schedules) schedules::catalogue_entry(name);
  }
  if (values.count("memory-headroom") > 0) chosen.memory_headroom = values["memory-headroom"].as<double>();
  if (!(chosen.memory_headroom >= 0.0 && chosen.memory_headroom < 1.0)) {
    throw base::UsageError(fmt::format("{} is not a share", chosen.memory_headroom), "--memory-headroom",
                           "give at least 0 and less than 1");
  }
  std::vector<std::string> assignments = overrides(values);
  if (values.count("global-batch") > 0)
    assignments.push_back(fmt::format("plan.global_batch={}", values["global-batch"].as<std::int64_t>()));
  const std::string file = required(values, "plan", "PLAN.json");
  sim::Inputs inputs = sim::load_inputs(file, assignments);
  inputs.provenance.argv = invocation.argv;
  const planner::SearchResult result = planner::search(inputs, chosen);
  write_html(values, [&] { return reports::search_html(inputs, result); });
  if (format == "text") {
    write_out(reports::search_text(inputs, result, file));
    return 0;
  }
  const base::Json document = reports::search_json(result, inputs.provenance);
  write_result(format, document, document["front"]);
  return 0;
}

}  // namespace hourglass::cli
