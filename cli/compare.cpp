#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/costs.h"
#include "planner/compare/clusters.h"
#include "planner/compare/comparison.h"
#include "planner/compare/sweep.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/solve.h"
#include "reports/tabular.h"
#include "reports/text.h"
#include "schedules/svg.h"

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
    options.memory_cap = parse_positive(values["memory-cap"].as<std::string>(), "--memory-cap");
  return options;
}

// The shape of a comparison without a plan; a swept number need not be given.
schedules::Shape shape_of(const po::variables_map& values, const std::string& swept) {
  const auto number = [&](const std::string& option, const std::string& variable) {
    if (values.count(option) > 0) return values[option].as<int>();
    if (swept != variable) throw base::UsageError("is missing", "--" + option, "give it, or name a PLAN.json");
    return 1;
  };
  return {number("ranks", "pipeline_ranks"), number("micro-batches", "micro_batches"), 0};
}

std::string drawing(const planner::Comparison& comparison) {
  std::vector<schedules::Drawing> drawings;
  for (const planner::ComparedSchedule& each : comparison.schedules)
    drawings.push_back({each.name, &each.schedule, comparison.costs});
  return schedules::to_svg(drawings);
}

// A row for every value and schedule that can run there.
std::string render(const planner::Sweep& sweep, const std::string& format, const base::Provenance& provenance) {
  const base::Json document = reports::sweep_json(sweep, provenance);
  if (format == "json") return document.dump(2) + "\n";
  base::Json rows = base::Json::array();
  for (const base::Json& point : document["points"]) {
    for (const base::Json& schedule : point["schedules"]) {
      rows.push_back({{sweep.range.variable, point["value"]}});
      rows.back().update(schedule);
    }
  }
  return reports::formatted(document, {{"points", rows}}, format);
}

void tell(const planner::Comparison& comparison, const po::variables_map& values, const std::string& format,
          const base::Provenance& provenance) {
  write_html(values, [&] { return reports::comparison_html(comparison, provenance); });
  write_result(format, {[&] { return reports::comparison_text(comparison); },
                        [&] { return reports::comparison_json(comparison, provenance); },
                        {"schedules"},
                        {{"svg", [&] { return drawing(comparison); }}}});
}

void check_exclusive(const po::variables_map& values) {
  if (values.count("plan") > 0) {
    for (const char* name : {"ranks", "micro-batches", "costs"}) {
      if (values.count(name) > 0)
        throw base::UsageError("is for a comparison without a plan", std::string("--") + name,
                               "use --set plan.key=value");
    }
  } else if (values.count("set") > 0) {
    throw base::UsageError("overrides a plan, but none is given", "--set", "name a PLAN.json");
  }
}

int compare_clusters(const po::variables_map& values, const Invocation& invocation) {
  for (const char* name : {"ranks", "micro-batches", "costs", "schedules", "chunks", "memory-cap", "sweep"}) {
    if (values.count(name) > 0)
      throw base::UsageError("is for comparing schedules, not clusters", std::string("--") + name, "leave one out");
  }
  const std::string format = format_of(values, result_formats());
  const std::vector<std::string> names = split(values["clusters"].as<std::string>(), ',');
  if (names.empty()) throw base::UsageError("the list is empty", "--clusters", "name some, e.g. h800,h100");
  planner::ClusterComparison comparison =
      planner::compare_clusters(required(values, "plan", "PLAN.json"), names, overrides(values));
  comparison.provenance.argv = invocation.argv;
  write_result(format, {[&] { return reports::clusters_text(comparison); },
                        [&] { return reports::clusters_json(comparison); },
                        {"clusters", "refused"}});
  return 0;
}

po::options_description compare_command_options() {
  po::options_description options("options");
  options.add_options()("schedules", po::value<std::string>()->value_name("A,B,C"),
                        "which; 'all' for every one (default 1f1b,zb-h1,dualpipe)")(
      "ranks", po::value<int>()->value_name("P"), "without a plan: pipeline ranks")(
      "micro-batches", po::value<int>()->value_name("M"), "without a plan: micro-batches a step")(
      "costs", po::value<std::string>()->value_name("LIST"),
      "without a plan: F=1,B=1,W=1,FB=3,p2p=0, of a whole rank's work for one micro-batch")(
      "chunks", po::value<int>()->value_name("V"), "stages a rank, for the schedules that take a number")(
      "memory-cap", po::value<std::string>()->value_name("N"),
      "leave out what holds more: micro-batches, or with a plan GiB a GPU")(
      "sweep", po::value<std::string>()->value_name("RANGE"),
      "micro_batches=FIRST:LAST[:STEP] or pipeline_ranks=..., as csv (default), json, jsonl or markdown");
  options.add_options()("clusters", po::value<std::string>()->value_name("A,B"),
                        "with a plan: the same plan on several clusters, each with its own profile");
  add_result_format(options, {"svg"});
  add_overrides(options);
  add_html(options);
  return options;
}

}  // namespace

int compare(const Invocation& invocation) {
  const po::options_description options = compare_command_options();
  po::variables_map values;
  const Usage usage = {
      "hourglass compare [PLAN.json | --ranks P --micro-batches M --costs LIST] [options]",
      "Pipeline schedules side by side, on a plan or on abstract costs; or one plan on several clusters.",
      {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  if (values.count("clusters") > 0) return compare_clusters(values, invocation);
  const bool sweeping = values.count("sweep") > 0;
  const std::vector<std::string> formats =
      sweeping ? std::vector<std::string>{"csv", "json", "jsonl", "markdown"} : result_formats({"svg"});
  const std::string format = format_of(values, formats);
  if (sweeping && values.count("html") > 0)
    throw base::UsageError("is for one comparison", "--html", "leave out --sweep");
  const planner::CompareOptions chosen = compare_options(values);
  check_exclusive(values);
  const planner::SweepRange range =
      sweeping ? planner::read_sweep_range(values["sweep"].as<std::string>()) : planner::SweepRange{};
  if (values.count("plan") > 0) {
    sim::Inputs inputs = sim::load_inputs(values["plan"].as<std::string>(), overrides(values));
    inputs.provenance.argv = invocation.argv;
    if (sweeping)
      write_out(render(planner::sweep(range, inputs, chosen), format, inputs.provenance));
    else
      tell(planner::compare(inputs, chosen), values, format, inputs.provenance);
    return 0;
  }
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  const schedules::Shape shape = shape_of(values, range.variable);
  const schedules::Costs costs =
      values.count("costs") > 0 ? parse_costs(values["costs"].as<std::string>()) : schedules::Costs{};
  if (sweeping)
    write_out(render(planner::sweep(range, shape, costs, chosen), format, provenance));
  else
    tell(planner::compare(shape, costs, chosen), values, format, provenance);
  return 0;
}

}  // namespace hourglass::cli
