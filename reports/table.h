#pragma once

#include <string>
#include <vector>

namespace hourglass::reports {

// A text table: the first column to the left, the others to the right, two spaces between, a rule under the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // `prose`: the last column to the left as well.
  std::string text(const std::string& indent = "  ", bool prose = false) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// A number as a person reads it: digits grouped by commas ("2,664,000").
std::string grouped(double value);
// Three significant digits with k, M, B or T ("14.8T").
std::string shortened(double value);
std::string seconds_text(double seconds);  // "10.4 s", "31.2 ms", "850 us"
std::string gib(double bytes);             // "71.3"
std::string percent(double fraction);      // "4.2 %"

}  // namespace hourglass::reports
