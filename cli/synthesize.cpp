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

// `hourglass schedule synthesize`: its text tells what was found on every placement, the other formats export the best
// order.
int synthesize(const Invocation& invocation) {
  Options options;
  schedules::SynthesisOptions search;
  options.number<int>("ranks", "P", "pipeline ranks");
  options.number<int>("micro-batches", "M", "micro-batches a step");
  options.text("costs", "LIST", "F=1,B=1,W=1,FB=3,p2p=0, of a whole rank's work for one micro-batch");
  options.text("memory-cap", "N", "largest number of micro-batches whose activations a rank may hold");
  options.text("seconds", "S", "how long to search (default 5)");
  options.text("placement", "NAME", "only flat, 2-loop, 4-loop, V or bidirectional");
  options.fill("rounds", "N", "stop after so many orders instead: repeatable", search.rounds);
  options.number<std::uint64_t>("seed", "N", "of the random choices", search.seed);
  add_format(options, "text (default), " + schedule_formats_help());
  Values values;
  const Usage usage = {"hourglass schedule synthesize --ranks P --micro-batches M [options]",
                       "Searches for an order better than every named schedule, for given costs and memory.",
                       {}};
  if (!parse(invocation, usage, options, values)) return 0;
  std::vector<std::string> formats = {"text"};
  for (const std::string& format : schedule_formats()) formats.push_back(format);
  const std::string format = format_of(values, formats);
  for (const char* option : {"ranks", "micro-batches"}) {
    if (!values.has(option))
      throw base::UsageError("is missing", std::string("--") + option, "see hourglass schedule synthesize --help");
  }
  search.seed = values.get<std::uint64_t>("seed");
  search.ranks = values.get<int>("ranks");
  search.micro_batches = values.get<int>("micro-batches");
  if (values.has("costs")) search.costs = parse_costs(values.text("costs"));
  if (values.has("memory-cap")) search.activation_cap = parse_positive(values.text("memory-cap"), "--memory-cap");
  if (values.has("seconds")) search.seconds = parse_number(values.text("seconds"), "--seconds");
  if (values.has("placement")) {
    search.placement = values.text("placement");
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
