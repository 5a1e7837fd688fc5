#include "reports/search.h"

#include <fmt/format.h>

#include "base/json.h"
#include "planner/convert/plan_file.h"
#include "planner/search/axes.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using planner::Search;
using planner::SearchChoice;
using planner::SearchPoint;
using planner::SearchResult;

constexpr std::size_t shown_front = 24;

// Axes that the search varies, of those a table can show.
std::vector<std::string> columns_of(const planner::Space& space) {
  std::vector<std::string> columns;
  for (const std::string& axis : planner::axis_names()) {
    const bool always = axis == "schedule" || axis == "tp" || axis == "pp";
    if (always || planner::axis_values(space, axis).size() > 1) columns.push_back(axis);
  }
  return columns;
}

std::vector<std::string> cells_of(const planner::Space& space, const SearchChoice& choice,
                                  const std::vector<std::string>& columns) {
  std::vector<std::string> cells;
  for (const std::string& axis : columns) cells.push_back(planner::axis_value(space, choice, axis));
  return cells;
}

std::string step_text(base::Time step) { return step > 0 ? seconds_text(base::seconds(step)) : "-"; }
std::string memory_text(double bytes) { return bytes > 0.0 ? gib(bytes) : "-"; }

std::string front_table(const Search& search, const SearchResult& result) {
  const std::vector<std::string> columns = columns_of(search.space());
  std::vector<std::string> heading = columns;
  heading.insert(heading.end(), {"step", "peak GiB"});
  if (result.training_tokens > 0.0) heading.insert(heading.end(), {"days", "M$"});
  Table table(heading);
  for (std::size_t i = 0; i < std::min(shown_front, result.front.size()); ++i) {
    const SearchPoint& point = result.front[i];
    std::vector<std::string> row = cells_of(search.space(), search.space().choice(point.id), columns);
    row.push_back(step_text(point.step));
    row.push_back(memory_text(point.peak_memory_bytes));
    if (result.training_tokens > 0.0) {
      row.push_back(fmt::format("{:.1f}", search.days(point)));
      row.push_back(fmt::format("{:.2f}", search.measures(point).cost_per_token * result.training_tokens / 1e6));
    }
    table.add(row);
  }
  std::string out = table.text();
  if (result.front.size() > shown_front) out += fmt::format("  and {} more\n", result.front.size() - shown_front);
  return out;
}

std::string why(const planner::Explanation& e, base::Time best) {
  if (!e.refused.empty()) return e.refused;
  const double loss = base::seconds(e.step) / base::seconds(best) - 1.0;
  return percent(std::abs(loss)) + (loss >= 0.0 ? " slower" : " faster");
}

std::string repeat_command(const Search& search, const SearchChoice& c, const std::string& plan_file) {
  const sim::Inputs& inputs = search.space().clusters[c.cluster];
  std::string out;
  const auto set = [&](const std::string& key, const std::string& value) {
    out += fmt::format(" --set plan.{}={}", key, value);
  };
  set("gpus", std::to_string(c.gpus));
  set("global_batch", std::to_string(c.global_batch));
  set("schedule", c.schedule);
  set("chunks", std::to_string(c.chunks));
  set("tensor_parallel", std::to_string(c.tensor));
  set("pipeline_parallel", std::to_string(c.pipeline));
  set("context_parallel", std::to_string(c.context));
  set("expert_parallel", std::to_string(c.expert));
  set("expert_tensor_parallel", std::to_string(c.expert_tensor));
  set("micro_batch", std::to_string(c.micro_batch));
  set("layers_per_stage", "balanced");
  set("precision", planner::precision_name(c.precision));
  const std::vector<std::string> recompute = model::recompute_names(c.recompute);
  set("recompute", recompute.empty() ? "'[\"none\"]'" : fmt::format("'[\"{}\"]'", fmt::join(recompute, "\",\"")));
  set("communication_sms", std::to_string(c.communication_sms));
  std::string given;  // by the user, and not varied
  for (const std::string& each : inputs.overrides) {
    if (out.find(" --set " + each.substr(0, each.find('=') + 1)) == std::string::npos)
      given += fmt::format(" --set '{}'", each);
  }
  out = "hourglass simulate " + plan_file + given + out;
  if (search.space().clusters.size() > 1) out += fmt::format("   (with \"cluster\": \"{}\")", inputs.plan.cluster_file);
  return out;
}

std::string best_text(const Search& search, const SearchResult& result) {
  const SearchResult::Finalist& best = result.finalists.front();
  const SearchChoice choice = search.space().choice(best.point.id);
  const sim::Inputs inputs = search.inputs_of(choice);
  std::string out = "\nbest:";
  for (const std::string& axis : planner::axis_names())
    out += fmt::format(" {}={}", axis, planner::axis_value(search.space(), choice, axis));
  out += fmt::format(" dp={}\n  step {}", inputs.plan.parallel.data, seconds_text(best.step_time_s));
  if (best.step_time_s != base::seconds(best.point.step))
    out += fmt::format(" with contention on the NICs ({} without; the best of {} simulated with it)",
                       step_text(best.point.step), result.finalists.size());
  out += fmt::format(", peak {} GiB\n  layers of each stage: {}\n  layout: {}\n", gib(best.point.peak_memory_bytes),
                     fmt::join(result.layers_per_stage, " "), planner::layout_string(inputs, result.layers_per_stage));
  return out;
}

std::string neighbours_table(const SearchResult& result) {
  const base::Time best = result.finalists.front().point.step;
  Table table({"changed", "step", "peak GiB", "because"});
  for (const planner::Explanation& each : result.neighbours)
    table.add({each.differs, step_text(each.step), memory_text(each.peak_memory_bytes), why(each, best)});
  return table.text("  ", true);
}

std::string answers_text(const Search& search, const SearchResult& result) {
  std::string out;
  for (const planner::WhyNot& each : result.why_not) {
    out += fmt::format("\nwhy not {}? ", each.question);
    if (!each.best) {
      out += fmt::format("none of {} plans can run: {} are illegal, {} need more memory\n", each.plans, each.illegal,
                         each.too_large);
      continue;
    }
    out += fmt::format("the best such plan takes {}, {}, at {} GiB:\n ", step_text(each.best->step),
                       why(*each.best, result.finalists.front().point.step), gib(each.best->peak_memory_bytes));
    for (const std::string& axis : planner::axis_names())
      out += fmt::format(" {}={}", axis, planner::axis_value(search.space(), each.best->choice, axis));
    out += "\n";
  }
  return out;
}

}  // namespace

std::string search_text(const Search& search, const SearchResult& result, const std::string& plan_file,
                        const planner::Shard& shard) {
  const sim::Inputs& inputs = search.space().clusters.front();
  std::string out =
      fmt::format("{}: {} plans, {} illegal, {} too large, {} beaten by a bound, {} simulated\n", inputs.model.name,
                  grouped(static_cast<double>(result.plans)), grouped(static_cast<double>(result.illegal)),
                  grouped(static_cast<double>(result.too_large)), grouped(static_cast<double>(result.bounded)),
                  grouped(static_cast<double>(result.simulated)));
  if (shard.count > 1)
    out +=
        fmt::format("shard {} of {} ({}) only: merge all for the whole result\n", shard.index, shard.count, shard.from);
  for (const std::string& axis : planner::axis_names()) {
    const std::vector<std::string> values = planner::axis_values(search.space(), axis);
    out += fmt::format("  {:<10} {}\n", axis, fmt::join(values, " "));
  }
  out += fmt::format("\nfront of time, memory, GPUs and cost (at most {} GiB a GPU)\n",
                     gib(search.memory_limit_bytes(inputs)));
  out += front_table(search, result) + best_text(search, result);
  out += "\nwhy not a neighbour of the best\n" + neighbours_table(result) + answers_text(search, result);
  const SearchChoice choice = search.space().choice(result.finalists.front().point.id);
  return out + "\n  " + repeat_command(search, choice, plan_file) + "\n";
}

base::Json search_json(const Search& search, const SearchResult& result, const base::Provenance& provenance,
                       const planner::Shard& shard) {
  const auto choice_json = [&](const SearchChoice& choice) {
    base::Json out;
    for (const std::string& axis : planner::axis_names()) out[axis] = planner::axis_value(search.space(), choice, axis);
    return out;
  };
  const auto point_json = [&](const SearchPoint& p) {
    const planner::Measures m = search.measures(p);
    base::Json out = {{"id", p.id}, {"plan", choice_json(search.space().choice(p.id))}};
    out["step_time_s"] = base::seconds(p.step);
    out["peak_memory_bytes"] = p.peak_memory_bytes;
    out["cost_per_token"] = m.cost_per_token;
    if (result.training_tokens > 0.0) out["days"] = search.days(p);
    return out;
  };
  const auto explanation_json = [&](const planner::Explanation& e) {
    base::Json out = {{"plan", choice_json(e.choice)}};
    if (!e.differs.empty()) out["differs"] = e.differs;
    if (e.step > 0) out["step_time_s"] = base::seconds(e.step);
    if (e.peak_memory_bytes > 0.0) out["peak_memory_bytes"] = e.peak_memory_bytes;
    if (!e.refused.empty()) out["refused"] = e.refused;
    return out;
  };
  base::Json front = base::Json::array(), finalists = base::Json::array(), neighbours = base::Json::array(),
             answers = base::Json::array();
  for (const SearchPoint& p : result.front) front.push_back(point_json(p));
  for (const SearchResult::Finalist& f : result.finalists) {
    finalists.push_back(point_json(f.point));
    finalists.back()["whole_step_time_s"] = f.step_time_s;
  }
  for (const planner::Explanation& e : result.neighbours) neighbours.push_back(explanation_json(e));
  for (const planner::WhyNot& w : result.why_not) {
    answers.push_back(
        {{"question", w.question}, {"plans", w.plans}, {"illegal", w.illegal}, {"too_large", w.too_large}});
    if (w.best) answers.back()["best"] = explanation_json(*w.best);
  }
  const sim::Inputs best = search.inputs_of(search.space().choice(result.finalists.front().point.id));
  return {{"schema_version", "2.0.0"},
          {"provenance", base::provenance_json(provenance)},
          {"search", search.digest()},
          {"shard", {{"index", shard.index}, {"count", shard.count}}},
          {"plans", result.plans},
          {"illegal", result.illegal},
          {"too_large", result.too_large},
          {"bounded", result.bounded},
          {"simulated", result.simulated},
          {"too_slow", result.too_slow},
          {"front", front},
          {"best", finalists.front()},
          {"best_layers_per_stage", result.layers_per_stage},
          {"best_layout", planner::layout_string(best, result.layers_per_stage)},
          {"finalists", finalists},
          {"neighbours", neighbours},
          {"why_not", answers}};
}

}  // namespace hourglass::reports
