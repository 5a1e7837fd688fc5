#include "reports/search.h"

#include <fmt/format.h>

#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::vector<std::string> row_of(const planner::SearchPoint& point) {
  const planner::SearchChoice& c = point.choice;
  return {c.schedule + (c.chunks > 0 ? fmt::format(" v{}", c.chunks) : ""),
          std::to_string(c.tensor),
          std::to_string(c.pipeline),
          std::to_string(c.context),
          std::to_string(c.expert),
          std::to_string(c.micro_batch),
          c.full_recompute ? "full" : "plan's",
          point.simulated ? seconds_text(point.step_time_s) : "-",
          point.peak_memory_bytes > 0.0 ? gib(point.peak_memory_bytes) : "-"};
}

const std::vector<std::string> heading = {"schedule",    "tp",        "pp",   "cp",      "ep",
                                          "micro-batch", "recompute", "step", "peak GiB"};

std::string repeat_command(const planner::SearchChoice& c, const std::string& plan_file) {
  std::string out = "hourglass simulate " + plan_file;
  const auto set = [&](const std::string& key, const std::string& value) {
    out += fmt::format(" --set plan.{}={}", key, value);
  };
  set("schedule", c.schedule);
  set("chunks", std::to_string(c.chunks));
  set("tensor_parallel", std::to_string(c.tensor));
  set("pipeline_parallel", std::to_string(c.pipeline));
  set("context_parallel", std::to_string(c.context));
  set("expert_parallel", std::to_string(c.expert));
  set("micro_batch", std::to_string(c.micro_batch));
  set("layers_per_stage", "balanced");
  if (c.full_recompute) set("recompute", "'[\"full\"]'");
  return out;
}

}  // namespace

std::string search_text(const sim::Inputs& inputs, const planner::SearchResult& result, const std::string& plan_file) {
  std::string out = fmt::format(
      "{} on {} GPUs of cluster {}, {} sequences a step: {} plans, {} illegal, {} too large, {} "
      "simulated\n\nfront of time and memory (at most {} GiB a GPU)\n",
      inputs.model.name, grouped(static_cast<double>(inputs.plan.gpus)), inputs.cluster.name, inputs.plan.global_batch,
      result.points.size(), result.illegal, result.too_large, result.simulated, gib(result.memory_limit_bytes));
  Table front(heading);
  for (const std::size_t i : result.front) front.add(row_of(result.points[i]));
  out += front.text() + "\nwhy not a neighbour of the fastest\n";
  const planner::SearchPoint& best = result.points[result.front.front()];
  std::vector<std::string> columns = heading;
  columns.emplace_back("because");
  Table neighbours(columns);
  for (const std::size_t i : result.neighbours) {
    const planner::SearchPoint& point = result.points[i];
    std::vector<std::string> row = row_of(point);
    row.push_back(point.refused.empty() ? percent(point.step_time_s / best.step_time_s - 1.0) + " slower"
                                        : point.refused);
    neighbours.add(row);
  }
  return out + neighbours.text("  ", true) + "\n  " + repeat_command(best.choice, plan_file) + "\n";
}

base::Json search_json(const planner::SearchResult& result, const base::Provenance& provenance) {
  const auto point_json = [&](std::size_t i) {
    const planner::SearchPoint& p = result.points[i];
    const planner::SearchChoice& c = p.choice;
    base::Json out = {{"schedule", c.schedule},        {"chunks", c.chunks},
                      {"tensor_parallel", c.tensor},   {"pipeline_parallel", c.pipeline},
                      {"context_parallel", c.context}, {"expert_parallel", c.expert},
                      {"micro_batch", c.micro_batch},  {"full_recompute", c.full_recompute}};
    if (p.simulated) {
      out["step_time_s"] = p.step_time_s;
      out["peak_memory_bytes"] = p.peak_memory_bytes;
    }
    if (!p.refused.empty()) out["refused"] = p.refused;
    return out;
  };
  base::Json front = base::Json::array(), neighbours = base::Json::array();
  for (const std::size_t i : result.front) front.push_back(point_json(i));
  for (const std::size_t i : result.neighbours) neighbours.push_back(point_json(i));
  return {{"schema_version", schema_version},
          {"provenance", base::provenance_json(provenance)},
          {"plans", result.points.size()},
          {"illegal", result.illegal},
          {"too_large", result.too_large},
          {"simulated", result.simulated},
          {"memory_limit_bytes", result.memory_limit_bytes},
          {"front", front},
          {"neighbours", neighbours}};
}

}  // namespace hourglass::reports
