#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/provenance.h"
#include "cli/command.h"
#include "cli/costs.h"
#include "cli/schedule_output.h"
#include "reports/json.h"
#include "reports/tabular.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/formats.h"
#include "schedules/gantt.h"
#include "schedules/letters.h"
#include "schedules/lower_bound.h"
#include "schedules/svg.h"
#include "schedules/validate.h"

namespace hourglass::cli {

namespace {

base::Json provenance_of(const Invocation& invocation) {
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  return base::provenance_json(provenance);
}

std::string list_text() {
  std::string text;
  for (const schedules::CatalogueEntry& entry : schedules::catalogue())
    text += fmt::format("  {:<20} {}\n", entry.name, entry.description);
  return text;
}

base::Json list_json(const Invocation& invocation) {
  base::Json rows = base::Json::array();
  for (const schedules::CatalogueEntry& entry : schedules::catalogue())
    rows.push_back({{"name", entry.name}, {"description", entry.description}});
  return {{"schema_version", reports::schema_version},
          {"provenance", provenance_of(invocation)},
          {"catalogue", std::move(rows)}};
}

// The rows of the csv.
base::Json actions_json(const schedules::Schedule& schedule) {
  base::Json rows = base::Json::array();
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
      const schedules::Action& action = schedule.actions[rank][i];
      base::Json row = {{"rank", rank}, {"position", i}, {"kind", schedules::letter(action.kind)}};
      row["stage"] = action.stage;
      row["micro_batch"] = action.micro_batch;
      if (action.kind == schedules::Kind::overlapped) {
        row["backward_stage"] = action.backward_stage;
        row["backward_micro_batch"] = action.backward_micro_batch;
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string letters_text(const schedules::Schedule& schedule, const schedules::Costs& costs) {
  const schedules::Evaluation e = schedules::evaluate(schedule, costs);
  std::string out = schedules::letters(schedule) + "\n" + schedules::gantt(schedule, costs) + "\n";
  return out +
         fmt::format("makespan {:.6g}, span {:.6g}, largest bubble {:.6g}, peak activations {:.4g} micro-batches\n",
                     e.makespan, e.span, e.bubble, e.peak_activations);
}

void add_check_options(Options& options) {
  options.text("costs", "LIST", "for the times: F=1,B=1,W=1,FB=3,p2p=0");
  options.text("memory-cap", "N", "refuse an order in which a rank holds more micro-batches");
  options.flag("blocking", "refuse an order that deadlocks if sends and receives block");
}

schedules::ValidateOptions validate_options(const Values& values) {
  schedules::ValidateOptions options;
  if (values.has("memory-cap")) options.activation_cap = parse_positive(values.text("memory-cap"), "--memory-cap");
  if (values.has("blocking")) options.point_to_point = schedules::PointToPoint::blocking;
  return options;
}

schedules::Schedule generated(const Values& values) {
  const std::string name = required(values, "name", "the schedule's NAME");
  for (const char* option : {"ranks", "micro-batches"}) {
    if (!values.has(option))
      throw base::UsageError("is missing", std::string("--") + option, "see hourglass schedule --help");
  }
  return schedules::generate(name,
                             {values.get<int>("ranks"), values.get<int>("micro-batches"), values.get<int>("chunks")});
}

schedules::Schedule imported(const Values& values) {
  for (const char* option : {"name", "ranks", "micro-batches"}) {
    if (values.has(option))
      throw base::UsageError("the schedule is given twice", "--validate", "name a file or a schedule, not both");
  }
  return schedules::read_schedule(values.text("validate"));
}

std::string verdict(const schedules::Schedule& s, const schedules::Costs& costs) {
  const schedules::Evaluation e = schedules::evaluate(s, costs);
  return fmt::format(
      "valid: {} ranks, {} stages, {} micro-batches{}\nmakespan {:.6g} (lower bound {:.6g}), span {:.6g}, largest "
      "bubble {:.6g}, "
      "peak activations {:.4g} micro-batches\n",
      s.ranks, s.stages, s.micro_batches, s.directions == 2 ? " in two directions" : "", e.makespan,
      schedules::lower_bound(s, costs), e.span, e.bubble, e.peak_activations);
}

}  // namespace

std::vector<std::string> schedule_formats() {
  return {"letters", "json", "csv", "jsonl", "markdown", "pytorch", "svg"};
}
std::string schedule_formats_help() { return "letters, json, csv, jsonl, markdown, pytorch or svg"; }

std::string schedule_output(const schedules::Schedule& schedule, const schedules::Costs& costs,
                            const std::string& format, const Invocation& invocation) {
  if (format == "json") return schedules::to_json(schedule);
  if (format == "jsonl" || format == "markdown")
    return reports::formatted({{"provenance", provenance_of(invocation)}}, {{"actions", actions_json(schedule)}},
                              format);
  if (format == "csv") return schedules::to_csv(schedule);
  if (format == "pytorch") return schedules::to_pytorch(schedule);
  if (format == "svg") return schedules::to_svg({{schedule.name, &schedule, costs}});
  return letters_text(schedule, costs);
}

int schedule(const Invocation& invocation) {
  if (!invocation.arguments.empty() && invocation.arguments.front() == "synthesize") {
    return synthesize({invocation.argv, {invocation.arguments.begin() + 1, invocation.arguments.end()}});
  }
  Options options;
  options.number<int>("ranks", "P", "pipeline ranks");
  options.number<int>("micro-batches", "M", "micro-batches a step");
  options.number<int>("chunks", "V", "stages a rank, for the schedules that take a number", 0);
  options.text("validate", "FILE", "check this file (our json or csv, or PyTorch's csv) instead of generating");
  options.flag("list", "list the schedules");
  add_check_options(options);
  add_format(options, schedule_formats_help() +
                          " (default letters; with --validate, a verdict; --list: text, json, csv, jsonl or markdown)");
  Values values;
  const Usage usage = {
      "hourglass schedule NAME --ranks P --micro-batches M [options]\n       hourglass schedule synthesize --help\n"
      "       hourglass schedule --validate FILE",
      "Prints a pipeline schedule, checks a foreign one, or searches for a better one.",
      {"name"}};
  if (!parse(invocation, usage, options, values)) return 0;
  if (values.has("list")) {
    write_result(format_of(values, result_formats()),
                 {list_text, [&] { return list_json(invocation); }, {"catalogue"}});
    return 0;
  }
  const bool checking = values.has("validate");
  const std::string format = format_of(values, schedule_formats());
  const schedules::Costs costs = values.has("costs") ? parse_costs(values.text("costs")) : schedules::Costs{};
  const schedules::Schedule made = checking ? imported(values) : generated(values);
  schedules::validate(made, validate_options(values));
  write_out(checking && !values.has("format") ? verdict(made, costs)
                                              : schedule_output(made, costs, format, invocation));
  return 0;
}

}  // namespace hourglass::cli
