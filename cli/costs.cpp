#include "cli/costs.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "cli/command.h"

namespace hourglass::cli {

double parse_number(const std::string& text, const std::string& where) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < 0.0 ||
      value > 1e15) {
    throw base::UsageError(fmt::format("'{}' is not a number from 0 to 1e15", base::printable(text)), where,
                           "write e.g. 1.3");
  }
  return value;
}

double parse_positive(const std::string& text, const std::string& where) {
  const double value = parse_number(text, where);
  if (value <= 0.0) throw base::UsageError(fmt::format("{} is not more than 0", value), where, "choose more");
  return value;
}

schedules::Costs parse_costs(const std::string& text) {
  schedules::Costs costs;
  std::set<std::string> seen;
  for (const std::string& part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (equals == std::string::npos) {
      throw base::UsageError(fmt::format("'{}' is not KEY=NUMBER", base::printable(part)), "--costs",
                             "write e.g. F=1,B=1.3,W=0.7,FB=1.9,p2p=0.05");
    }
    if (!seen.insert(key).second)
      throw base::UsageError(fmt::format("'{}' is given twice", base::printable(key)), "--costs", "give it once");
    const double value = parse_number(part.substr(equals + 1), "--costs " + base::printable(key));
    if (key == "F")
      costs.forward = value;
    else if (key == "B")
      costs.backward_input = value;
    else if (key == "W")
      costs.backward_weight = value;
    else if (key == "FB")
      costs.overlapped = value;
    else if (key == "p2p")
      costs.p2p = value;
    else
      throw base::UsageError(fmt::format("there is no cost '{}'", base::printable(key)), "--costs",
                             "the costs are F, B, W, FB and p2p");
  }
  if (seen.empty()) throw base::UsageError("the list is empty", "--costs", "write e.g. F=1,B=1,W=1");
  return costs;
}

}  // namespace hourglass::cli
