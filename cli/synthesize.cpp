#include "schedules/synthesize.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "cli/command.h"
#include "cli/costs.h"
#include "cli/schedule_output.h"
#include "reports/json.h"
#include "reports/text.h"

namespace hourglass::cli {

namespace po = boost::program_options;

// `hourglass schedule synthesize`: its text tells what was found on every placement, the other formats export the best
// order.
int synthesize(const Invocation& invocation) {
  po::options_description options("options");
  schedules::SynthesisOptions search;
  options.add_options()("ranks", po::value<int>()->value_name("P"), "pipeline ranks")(
      "micro-batches", po::value<int>()->value_name("M"), "micro-batches a step")(
      "costs", po::value<std::string>()->value_name("LIST"),
      "F=1,B=1,W=1,FB=3,p2p=0, of a whole rank's work for one micro-batch")(
      "memory-cap", po::value<std::string>()->value_name("N"),
      "largest number of micro-batches whose activations a rank may hold")(
      "seconds", po::value<std::string>()->value_name("S"), "how long to search (default 5)")(
      "placement", po::value<std::string>()->value_name("NAME"), "only flat, 2-loop, 4-loop, V or bidirectional")(
      "rounds", po::value(&search.rounds)->value_name("N"), "stop after so many orders instead: repeatable")(
      "seed", po::value(&search.seed)->default_value(1)->value_name("N"), "of the random choices");
  add_format(options, "text (default), " + schedule_formats_help());
  po::variables_map values;
  const Usage usage = {"hourglass schedule synthesize --ranks P --micro-batches M [options]",
                       "Searches for an order better than every named schedule, for given costs and memory.",
                       {}};
  if (!parse(invocation, usage, options, values)) return 0;
  std::vector<std::string> formats = {"text"};
  for (const std::string& format : schedule_formats()) formats.push_back(format);
  const std::string format = format_of(values, formats);
  for (const char* option : {"ranks", "micro-batches"}) {
    if (values.count(option) == 0)
      throw base::UsageError("is missing", std::string("--") + option, "see hourglass schedule synthesize --help");
  }
  search.ranks = values["ranks"].as<int>();
  search.micro_batches = values["micro-batches"].as<int>();
  if (values.count("costs") > 0) search.costs = parse_costs(values["costs"].as<std::string>());
  if (values.count("memory-cap") > 0)
    search.activation_cap = parse_positive(values["memory-cap"].as<std::string>(), "--memory-cap");
  if (values.count("seconds") > 0) search.seconds = parse_number(values["seconds"].as<std::string>(), "--seconds");
  if (values.count("placement") > 0) {
    search.placement = values["placement"].as<std::string>();
    const std::vector<std::string> known = schedules::synthesis_placements();
    if (std::find(known.begin(), known.end(), search.placement) == known.end()) {
      throw base::UsageError(fmt::format("there is no placement '{}'", base::printable(search.placement)),
                             "--placement", base::suggestion(search.placement, known));
    }
  }
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto progress = [](double share, double makespan) {
    fmt::print(stderr, "\rsearching: {:3.0f} %, best {:.6g} ", share * 100.0, makespan);
  };
  const schedules::Synthesis found =
      schedules::synthesize(search, terminal ? std::function<void(double, double)>(progress) : nullptr);
  if (terminal) fmt::print(stderr, "\r{:60}\r", "");
  write_out(format == "text" ? reports::synthesis_text(found)
                             : schedule_output(found.placements.front().schedule, search.costs, format, invocation));
  return 0;
}

}  // namespace hourglass::cli
