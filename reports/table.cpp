#include "reports/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/units.h"

namespace hourglass::reports {

std::string Table::text(const std::string& indent, bool prose) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      if (i > 0) line += "  ";
      const bool left = i == 0 || (prose && i + 1 == rows_[r].size());
      line += left ? fmt::format("{:<{}}", rows_[r][i], widths[i]) : fmt::format("{:>{}}", rows_[r][i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += indent + line + "\n";
    if (r > 0) continue;
    std::size_t width = 0;
    for (const std::size_t w : widths) width += w + 2;
    out += indent + std::string(width - 2, '-') + "\n";
  }
  return out;
}

std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return (value < 0.0 && digits != "0" ? "-" : "") + digits;
}

std::string shortened(double value) {
  static constexpr std::array<const char*, 5> units = {"", "k", "M", "B", "T"};
  std::size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < units.size()) {
    value /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.3g}{}", value, units[unit]);
}

std::string seconds_text(double seconds) {
  if (seconds >= 1.0) return fmt::format("{:.3f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

std::string gib(double bytes) { return fmt::format("{:.1f}", bytes / base::gibi); }

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100.0); }

}  // namespace hourglass::reports
