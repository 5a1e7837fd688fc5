#include "reports/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using base::Json;

constexpr double megawatt_hour = 3.6e9;  // J

std::string duration_text(double seconds) {
  if (seconds >= base::seconds_per_day) return fmt::format("{:.1f} days", seconds / base::seconds_per_day);
  if (seconds >= base::seconds_per_hour) return fmt::format("{:.1f} h", seconds / base::seconds_per_hour);
  return seconds >= 60.0 ? fmt::format("{:.1f} min", seconds / 60.0) : seconds_text(seconds);
}

constexpr const char* margin = "                         ";

std::string quantiles_text(const planner::Quantiles& q) {
  return fmt::format("p10 {}, p50 {}, p90 {} GPU-hours", grouped(q.p10), grouped(q.p50), grouped(q.p90));
}

std::string range_lines(const planner::Budget& budget) {
  std::string out = fmt::format("  range (net)            {}, drawn from the errors of the costs\n",
                                quantiles_text(budget.total_gpu_hours));
  out += fmt::format("{}one deviation of the largest:", margin);
  for (std::size_t i = 0; i < std::min<std::size_t>(3, budget.sensitivities.size()); ++i) {
    const planner::Sensitivity& s = budget.sensitivities[i];
    out += fmt::format("{} {} +{}: +{}", i > 0 ? "," : "", s.cost, percent(s.relative_error), grouped(s.gpu_hours));
  }
  return out + "\n";
}

std::string checkpoint_line(const planner::Goodput& g) {
  if (!std::isfinite(g.interval_s)) return fmt::format("{}no checkpoints: nothing fails\n", margin);
  const std::string steps = g.interval_steps > 0.0 ? fmt::format(" ({:.0f} steps)", g.interval_steps) : "";
  return fmt::format("{}a checkpoint of {:.3g} TB takes {:.1f} s and is written every {}{}, {}\n", margin,
                     g.checkpoint_bytes / base::tera, g.write_s, duration_text(g.interval_s), steps,
                     g.chosen_interval ? "Daly's optimum" : "as the plan says");
}

std::string goodput_lines(const planner::Budget& budget) {
  const planner::Goodput& g = budget.goodput;
  std::string out = fmt::format("  with failures (gross)  {} GPU-hours, {:.1f} days, of which {} train\n",
                                grouped(g.gross_gpu_hours), g.wall_s / base::seconds_per_day, percent(g.effective));
  out += fmt::format("  range (gross)          {}\n", quantiles_text(budget.gross_gpu_hours));
  if (std::isfinite(g.mtbf_s)) {
    out += fmt::format("{}{:.1f} failures expected, one in {}; each costs {} and the work since the last checkpoint\n",
                       margin, g.failures, duration_text(g.mtbf_s), duration_text(g.each_restart_s));
  }
  out += checkpoint_line(g);
  const auto share = [&](double seconds) { return percent(seconds / g.wall_s); };
  if (g.wall_s > 0.0) {
    out += fmt::format("{}checkpoints {}, restarts {}, lost work {}, planned stops {}, waiting for nodes {}\n", margin,
                       share(g.checkpoint_s), share(g.restart_s), share(g.lost_work_s), share(g.planned_s),
                       share(g.waiting_s));
  }
  return out + fmt::format("{}{} spare nodes{}, in the gross hours\n", margin, g.spare_nodes,
                           g.chosen_spares ? " (the cheapest number)" : "");
}

std::string price_line(const planner::Budget& budget) {
  std::string out = "  cost, net and gross   ";
  for (const planner::Price& price : budget.prices) {
    out += fmt::format("{} {} {} and {} at {:.4g} a GPU-hour", &price == &budget.prices.front() ? "" : ";",
                       price.currency, shortened(budget.gpu_hours * price.per_gpu_hour),
                       shortened(budget.goodput.gross_gpu_hours * price.per_gpu_hour), price.per_gpu_hour);
  }
  return out + "\n";
}

std::string energy_line(const planner::Budget& budget) {
  if (budget.power_per_gpu <= 0.0)
    return "  energy                 not known for this GPU: set plan.energy.W_per_gpu\n";
  return fmt::format("  energy                 {} MWh net, {} gross: {} W a GPU with its node at most, PUE {:.2f}\n",
                     grouped(budget.net_energy() / megawatt_hour), grouped(budget.gross_energy() / megawatt_hour),
                     grouped(budget.power_per_gpu), budget.pue);
}

std::string run_lines(const planner::Budget& budget) {
  if (budget.runs.empty()) return "";
  Table table({"other runs", "times", "GPU-hours", "gross", "what"});
  for (const planner::RunBudget& run : budget.runs)
    table.add({run.name, std::to_string(run.count), grouped(run.gpu_hours), grouped(run.gross_gpu_hours), run.what});
  const planner::Quantiles& all = budget.programme_gpu_hours;
  return "\n" + table.text("  ", true) + fmt::format("  with the plan's own run, gross: {}\n", quantiles_text(all));
}

Json quantiles_json(const planner::Quantiles& q) { return {{"p10", q.p10}, {"p50", q.p50}, {"p90", q.p90}}; }

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json goodput_json(const planner::Goodput& g) {
  return {{"effective_training_time", g.effective},
          {"days", g.wall_s / base::seconds_per_day},
          {"gpu_hours", g.gross_gpu_hours},
          {"mean_time_between_failures_s", finite(g.mtbf_s)},
          {"failures", g.failures},
          {"restart_s", g.each_restart_s},
          {"checkpoint_bytes", g.checkpoint_bytes},
          {"checkpoint_write_s", g.write_s},
          {"checkpoint_interval_s", finite(g.interval_s)},
          {"checkpoint_interval_steps", g.interval_steps},
          {"spare_nodes", g.spare_nodes},
          {"wall_time_s",
           {{"net", g.net_s},
            {"checkpoints", g.checkpoint_s},
            {"restarts", g.restart_s},
            {"lost_work", g.lost_work_s},
            {"planned_stops", g.planned_s},
            {"waiting_for_nodes", g.waiting_s},
            {"total", g.wall_s}}}};
}

}  // namespace

std::string operations_text(const planner::Budget& budget) {
  return range_lines(budget) + goodput_lines(budget) + price_line(budget) + energy_line(budget) +
         "  in no line             stragglers beyond the profile's, evaluation, data loading\n" + run_lines(budget);
}

void add_operations(Json& out, const planner::Budget& budget) {
  out["gross_gpu_hours"] = quantiles_json(budget.gross_gpu_hours);
  out["goodput"] = goodput_json(budget.goodput);
  Json prices = Json::array(), runs = Json::array(), assumptions = Json::array();
  for (const planner::Price& price : budget.prices) {
    prices.push_back({{"currency", price.currency},
                      {"per_gpu_hour", price.per_gpu_hour},
                      {"net", budget.gpu_hours * price.per_gpu_hour},
                      {"gross", budget.goodput.gross_gpu_hours * price.per_gpu_hour}});
  }
  out["costs"] = std::move(prices);
  if (budget.power_per_gpu > 0.0) {
    out["energy"] = {{"W_per_gpu", budget.power_per_gpu},
                     {"pue", budget.pue},
                     {"net_MWh", budget.net_energy() / megawatt_hour},
                     {"gross_MWh", budget.gross_energy() / megawatt_hour}};
  }
  for (const planner::RunBudget& run : budget.runs) {
    runs.push_back({{"name", run.name},
                    {"what", run.what},
                    {"count", run.count},
                    {"gpu_hours", run.gpu_hours},
                    {"gross_gpu_hours", run.gross_gpu_hours}});
  }
  out["runs"] = std::move(runs);
  out["programme_gpu_hours"] = quantiles_json(budget.programme_gpu_hours);
  for (const sim::Assumption& each : budget.assumptions)
    assumptions.push_back({{"key", each.key}, {"value", each.value}, {"source", each.source}});
  out["assumptions"] = std::move(assumptions);
}

std::string assumptions_text(const planner::Budget& budget) {
  std::string out = "\nwhat failures, energy and the range rest on\n";
  for (const sim::Assumption& each : budget.assumptions)
    out += fmt::format("  {:<36} {:<10.4g} {}\n", each.key, each.value, each.source);
  return out;
}

}  // namespace hourglass::reports
