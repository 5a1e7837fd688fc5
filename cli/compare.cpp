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
#include "schedules/catalogue.h"
#include "schedules/svg.h"

namespace hourglass::cli {

namespace {

const char* const default_schedules = "1f1b,zb-h1,dualpipe";

planner::CompareOptions compare_options(const Values& values) {
  planner::CompareOptions options;
  options.names = split(values.has("schedules") ? values.text("schedules") : default_schedules, ',');
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
  if (values.has("chunks")) options.chunks = values.get<int>("chunks");
  if (values.has("memory-cap")) options.memory_cap = parse_positive(values.text("memory-cap"), "--memory-cap");
  return options;
}

// The shape of a comparison without a plan; a swept number need not be given.
schedules::Shape shape_of(const Values& values, const std::string& swept) {
  const auto number = [&](const std::string& option, const std::string& variable) {
    if (values.has(option)) return values.get<int>(option);
    if (swept != variable) throw base::UsageError("is missing", "--" + option, "give it, or name a PLAN");
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

void tell(const planner::Comparison& comparison, const Values& values, const std::string& format,
          const base::Provenance& provenance) {
  write_html(values, [&] { return reports::comparison_html(comparison, provenance); });
  write_result(format, {[&] { return reports::comparison_text(comparison); },
                        [&] { return reports::comparison_json(comparison, provenance); },
                        {"schedules"},
                        {{"svg", [&] { return drawing(comparison); }}}});
}

void check_exclusive(const Values& values) {
  if (values.has("plan")) {
    for (const char* name : {"ranks", "micro-batches", "costs"}) {
      if (values.has(name))
        throw base::UsageError("is for a comparison without a plan", std::string("--") + name,
                               "use --set plan.key=value");
    }
  } else if (values.has("set")) {
    throw base::UsageError("overrides a plan, but none is given", "--set", "name a PLAN");
  }
}

int compare_clusters(const Values& values, const Invocation& invocation) {
  for (const char* name : {"ranks", "micro-batches", "costs", "schedules", "chunks", "memory-cap", "sweep"}) {
    if (values.has(name))
      throw base::UsageError("is for comparing schedules, not clusters", std::string("--") + name, "leave one out");
  }
  const std::string format = format_of(values, result_formats());
  const std::vector<std::string> names = split(values.text("clusters"), ',');
  if (names.empty()) throw base::UsageError("the list is empty", "--clusters", "name some, e.g. h800,h100");
  planner::ClusterComparison comparison =
      planner::compare_clusters(required(values, "plan", "PLAN"), names, overrides(values));
  comparison.provenance.argv = invocation.argv;
  write_result(format, {[&] { return reports::clusters_text(comparison); },
                        [&] { return reports::clusters_json(comparison); },
                        {"clusters", "refused"}});
  return 0;
}

Options compare_command_options() {
  Options options;
  options.text("schedules", "A,B,C", "which; 'all' for every one (default 1f1b,zb-h1,dualpipe)");
  options.number<int>("ranks", "P", "without a plan: pipeline ranks");
  options.number<int>("micro-batches", "M", "without a plan: micro-batches a step");
  options.text("costs", "LIST", "without a plan: F=1,B=1,W=1,FB=3,p2p=0, of a whole rank's work for one micro-batch");
  options.number<int>("chunks", "V", "stages a rank, for the schedules that take a number");
  options.text("memory-cap", "N", "leave out what holds more: micro-batches, or with a plan GiB a GPU");
  options.text("sweep", "RANGE",
               "micro_batches=FIRST:LAST[:STEP] or pipeline_ranks=..., as csv (default), json, jsonl or markdown");
  options.text("clusters", "A,B", "with a plan: the same plan on several clusters, each with its own profile");
  add_result_format(options, {"svg"});
  add_overrides(options);
  add_html(options);
  return options;
}

}  // namespace

int compare(const Invocation& invocation) {
  const Options options = compare_command_options();
  Values values;
  const Usage usage = {
      "hourglass compare [PLAN | --ranks P --micro-batches M --costs LIST] [options]",
      "Pipeline schedules side by side, on a plan or on abstract costs; or one plan on several clusters.",
      {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  if (values.has("clusters")) return compare_clusters(values, invocation);
  const bool sweeping = values.has("sweep");
  const std::vector<std::string> formats =
      sweeping ? std::vector<std::string>{"csv", "json", "jsonl", "markdown"} : result_formats({"svg"});
  const std::string format = format_of(values, formats);
  if (sweeping && values.has("html")) throw base::UsageError("is for one comparison", "--html", "leave out --sweep");
  const planner::CompareOptions chosen = compare_options(values);
  check_exclusive(values);
  const planner::SweepRange range = sweeping ? planner::read_sweep_range(values.text("sweep")) : planner::SweepRange{};
  if (values.has("plan")) {
    sim::Inputs inputs = sim::load_inputs(values.text("plan"), overrides(values));
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
  const schedules::Costs costs = values.has("costs") ? parse_costs(values.text("costs")) : schedules::Costs{};
  if (sweeping)
    write_out(render(planner::sweep(range, shape, costs, chosen), format, provenance));
  else
    tell(planner::compare(shape, costs, chosen), values, format, provenance);
  return 0;
}

}  // namespace hourglass::cli
