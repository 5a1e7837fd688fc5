#include "reports/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/table.h"

namespace hourglass::reports {

namespace {

constexpr std::size_t rows_shown = 12, worst_shown = 5;

std::string error_percent(double error) { return fmt::format("{:+.2f} %", error * 100.0); }

std::string bound_text(double bound) { return bound > 0.0 ? fmt::format("{:.4g} %", bound * 100.0) : "-"; }

}  // namespace

std::string validation_text(const planner::Validation& validation) {
  Table classes({"class", "rows", "median error", "bound", "90th percentile", "bound", "bias", "worst", ""});
  for (const planner::ValidationClass& c : validation.classes) {
    classes.add({c.name, std::to_string(c.errors.rows), fmt::format("{:.2f} %", c.errors.median * 100.0),
                 bound_text(c.median_bound), fmt::format("{:.2f} %", c.errors.p90 * 100.0), bound_text(c.p90_bound),
                 error_percent(c.errors.bias), percent(c.errors.worst), c.exceeded() ? "EXCEEDED" : ""});
  }
  std::string out = "error of every prediction against what was published or measured\n\n" + classes.text() + "\n";
  Table rows({"row", "reported", "predicted", "error"});
  for (const planner::ValidationClass& c : validation.classes) {
    std::vector<const planner::ValidationRow*> own;
    for (const planner::ValidationRow& row : validation.rows) {
      if (row.cls == c.name) own.push_back(&row);
    }
    const bool many = own.size() > rows_shown;
    if (many) {
      std::stable_sort(own.begin(), own.end(),
                       [](const auto* a, const auto* b) { return std::abs(a->error()) > std::abs(b->error()); });
      own.resize(worst_shown);
    }
    for (const planner::ValidationRow* row : own) {
      rows.add({fmt::format("{}{}: {}", many ? "worst " : "", c.name, row->id),
                fmt::format("{:.6g} {}", row->reported, row->unit), fmt::format("{:.6g} {}", row->predicted, row->unit),
                error_percent(row->error())});
    }
  }
  out += rows.text();
  for (const planner::SkippedRow& skipped : validation.skipped)
    out += fmt::format("\nskipped: {}: {}", skipped.id, skipped.reason);
  return out + (validation.skipped.empty() ? "" : "\n");
}

}  // namespace hourglass::reports
