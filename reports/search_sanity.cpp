#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "reports/json.h"
#include "reports/search.h"
#include "reports/table.h"

namespace hourglass::reports {

std::string sanity_text(const std::vector<planner::SanityRow>& rows) {
  Table table({"run", "model", "GPUs", "published layout", "step", "best", "behind", "faster plans", "best layout"});
  std::vector<double> behind;
  std::size_t unfit = 0;
  for (const planner::SanityRow& row : rows) {
    const bool compared = row.best_s > 0.0 && row.step_s > 0.0;
    const std::string fits = row.refused.empty() ? "" : " (" + row.refused + ")";
    if (!row.refused.empty()) ++unfit;
    if (compared) behind.push_back(row.step_s / row.best_s - 1.0);
    table.add({row.id, row.model, std::to_string(row.gpus), row.layout + fits,
               compared ? seconds_text(row.step_s) : "-", compared ? seconds_text(row.best_s) : "-",
               compared ? percent(behind.back()) : "-", fmt::format("{} of {}", row.faster, row.simulated), row.best});
  }
  std::sort(behind.begin(), behind.end());
  std::string out =
      "published layouts in a search over their GPUs, batch and precision (1f1b and interleaved 1f1b)\n\n" +
      table.text("  ", true);
  out += fmt::format("\n{} runs, {} do not fit into memory here", rows.size(), unfit);
  if (!behind.empty())
    out += fmt::format("; behind the best: median {}, 90th percentile {}, worst {}", percent(behind[behind.size() / 2]),
                       percent(behind[behind.size() * 9 / 10]), percent(behind.back()));
  return out + "\n";
}

base::Json sanity_json(const std::vector<planner::SanityRow>& rows, const base::Provenance& provenance) {
  base::Json all = base::Json::array();
  for (const planner::SanityRow& row : rows) {
    all.push_back({{"id", row.id},
                   {"model", row.model},
                   {"gpus", row.gpus},
                   {"layout", row.layout},
                   {"step_time_s", row.step_s},
                   {"best_step_time_s", row.best_s},
                   {"best_layout", row.best},
                   {"faster", row.faster},
                   {"simulated", row.simulated}});
    if (!row.refused.empty()) all.back()["refused"] = row.refused;
  }
  return {
      {"schema_version", schema_version}, {"provenance", base::provenance_json(provenance)}, {"rows", std::move(all)}};
}

}  // namespace hourglass::reports
