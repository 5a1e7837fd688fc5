#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "cli/command.h"
#include "cli/costs.h"
#include "planner/comparison.h"
#include "reports/json.h"
#include "reports/text.h"

namespace hourglass::cli {

namespace po = boost::program_options;

namespace {

const char* const default_schedules = "1f1b,zb-h1,dualpipe";

planner::CompareOptions compare_options(const po::variables_map& values) {
  planner::CompareOptions options;
  options.names = split(values.count("schedules") > 0 ? values["schedules"].as<std::string>() : default_schedules, ',');
  if (options.names.empty())
    throw base::UsageError("the list is empty", "--schedules", "name some, e.g. " + std::string(default_schedules));
  if (options.names.size() == 1 && options.names.front() == "all") options.names = schedules::names();
  for (const std::string& name : options.names) {
    const std::vector<std::string> known = schedules::names();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw base::UsageError(fmt::format("there is no schedule '{}'", base::printable(name)), "--schedules",
                             base::suggestion(name, known));
    }
  }
  if (values.count("chunks") > 0) options.chunks = values["chunks"].as<int>();
  if (values.count("memory-cap") > 0)
    options.memory_cap = parse_number(values["memory-cap"].as<std::string>(), "--memory-cap");
  return options;
}

}  // namespace

int compare(const Invocation& invocation) {
  po::options_description options("options");
  options.add_options()("schedules", po::value<std::string>()->value_name("A,B,C"),
                        "which; 'all' for every one (default 1f1b,zb-h1,dualpipe)")(
      "ranks", po::value<int>()->value_name("P"), "without a plan: pipeline ranks")(
      "micro-batches", po::value<int>()->value_name("M"), "without a plan: micro-batches a step")(
      "costs", po::value<std::string>()->value_name("LIST"),
      "without a plan: F=1,B=1,W=1,FB=3,p2p=0, of a whole rank's work for one micro-batch")(
      "chunks", po::value<int>()->value_name("V"), "stages a rank, for the schedules that take a number")(
      "memory-cap", po::value<std::string>()->value_name("N"),
      "leave out what holds more: micro-batches, or with a plan GiB a GPU");
  add_format(options, "text (default) or json");
  add_overrides(options);
  po::variables_map values;
  const Usage usage = {"hourglass compare [PLAN.json | --ranks P --micro-batches M --costs LIST] [options]",
                       "Pipeline schedules side by side, on a plan or on abstract costs.",
                       {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, {"text", "json"});
  const planner::CompareOptions chosen = compare_options(values);
  base::Provenance provenance;
  planner::Comparison comparison;
  if (values.count("plan") > 0) {
    for (const char* name : {"ranks", "micro-batches", "costs"}) {
      if (values.count(name) > 0)
        throw base::UsageError("is for a comparison without a plan", std::string("--") + name,
                               "use --set plan.key=value");
    }
    const sim::Inputs inputs = sim::load_inputs(values["plan"].as<std::string>(), overrides(values));
    provenance = inputs.provenance;
    comparison = planner::compare(inputs, chosen);
  } else {
    if (values.count("set") > 0)
      throw base::UsageError("overrides a plan, but none is given", "--set", "name a PLAN.json");
    for (const char* name : {"ranks", "micro-batches"}) {
      if (values.count(name) == 0)
        throw base::UsageError("is missing", std::string("--") + name, "give it, or name a PLAN.json");
    }
    const schedules::Costs costs =
        values.count("costs") > 0 ? parse_costs(values["costs"].as<std::string>()) : schedules::Costs{};
    comparison = planner::compare({values["ranks"].as<int>(), values["micro-batches"].as<int>(), 0}, costs, chosen);
  }
  provenance.argv = invocation.argv;
  if (format == "json")
    write_out(reports::comparison_json(comparison, provenance).dump(2) + "\n");
  else
    write_out(reports::comparison_text(comparison));
  return 0;
}

}  // namespace hourglass::cli
