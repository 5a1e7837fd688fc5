#include <fmt/format.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/costs.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/letters.h"
#include "schedules/validate.h"

namespace hourglass::cli {

namespace po = boost::program_options;

namespace {

std::string list_of_schedules() {
  std::string text;
  for (const schedules::CatalogueEntry& entry : schedules::catalogue())
    text += fmt::format("  {:<20} {}\n", entry.name, entry.description);
  return text;
}

std::string letters_text(const schedules::Schedule& schedule, const schedules::Costs& costs) {
  const schedules::Evaluation e = schedules::evaluate(schedule, costs);
  std::string out = schedules::letters(schedule) + "\n" + schedules::gantt(schedule, costs) + "\n";
  return out +
         fmt::format("makespan {:.6g}, span {:.6g}, largest bubble {:.6g}, peak activations {:.4g} micro-batches\n",
                     e.makespan, e.span, e.bubble, e.peak_activations);
}

}  // namespace

int schedule(const Invocation& invocation) {
  po::options_description options("options");
  options.add_options()("ranks", po::value<int>()->value_name("P"), "pipeline ranks")(
      "micro-batches", po::value<int>()->value_name("M"), "micro-batches a step")(
      "chunks", po::value<int>()->default_value(0)->value_name("V"),
      "stages a rank, for the schedules that take a number")("costs", po::value<std::string>()->value_name("LIST"),
                                                             "for the times: F=1,B=1,W=1,FB=3,p2p=0")(
      "list", "list the schedules");
  add_format(options, "letters (default)");
  po::variables_map values;
  const Usage usage = {
      "hourglass schedule NAME --ranks P --micro-batches M [options]", "Prints a pipeline schedule.", {"name"}};
  if (!parse(invocation, usage, options, values)) return 0;
  if (values.count("list") > 0) {
    write_out(list_of_schedules());
    return 0;
  }
  format_of(values, {"letters"});
  const std::string name = required(values, "name", "the schedule's NAME");
  for (const char* option : {"ranks", "micro-batches"}) {
    if (values.count(option) == 0)
      throw base::UsageError("is missing", std::string("--") + option, "see hourglass schedule --help");
  }
  const schedules::Costs costs =
      values.count("costs") > 0 ? parse_costs(values["costs"].as<std::string>()) : schedules::Costs{};
  const schedules::Schedule made = schedules::generate(
      name, {values["ranks"].as<int>(), values["micro-batches"].as<int>(), values["chunks"].as<int>()});
  schedules::validate(made);
  write_out(letters_text(made, costs));
  return 0;
}

}  // namespace hourglass::cli
