#include "reports/html.h"

#include <fmt/format.h>

#include "base/json.h"
#include "reports/json.h"
#include "reports/page.h"
#include "reports/search.h"
#include "reports/span_names.h"
#include "reports/table.h"
#include "reports/timeline.h"

namespace hourglass::reports {

namespace {

using base::Json;

Json page_data(const char* kind, const std::string& title, const std::string& subtitle, Json document) {
  return {{"kind", kind}, {"title", title}, {"subtitle", subtitle}, {"document", std::move(document)}};
}

std::string subtitle_of(const sim::Inputs& inputs) {
  const model::Parallelism& p = inputs.plan.parallel;
  return fmt::format("{} GPUs of cluster {}, {}: tensor {}, context {}, pipeline {}, data {}, expert {}; profile {}",
                     grouped(static_cast<double>(inputs.plan.gpus)), inputs.cluster.name, inputs.cluster.gpu, p.tensor,
                     p.context, p.pipeline, p.data, p.expert, inputs.profile.name);
}

Json operators_json(const model::ModelSpec& model, const sim::StepRecord& record) {
  Json rows = Json::array();
  for (const sim::OperatorCost& op : record.operators) {
    rows.push_back({{"name", op.of.name},
                    {"class", model::facts(op.of.kind).name},
                    {"unit", name_of(model, op.unit)},
                    {"part", name_of(op.part)},
                    {"pass", base::letter(op.pass)},
                    {"communication", op.communication},
                    {"flops", op.flops},
                    {"bytes", op.bytes},
                    {"message_bytes", op.message_bytes},
                    {"seconds", op.seconds},
                    {"overlapped_seconds", op.overlapped_seconds},
                    {"profile_class", op.profile_class}});
  }
  return rows;
}

Json origins_json(const hardware::Profile& profile) {
  Json rows = Json::array();
  for (const hardware::ClassOrigin& each : hardware::origins(profile)) {
    rows.push_back({{"class", each.name},
                    {"origin", hardware::name_of(each.basis.origin)},
                    {"relative_error", each.basis.relative_error},
                    {"source", each.basis.source}});
  }
  return rows;
}

}  // namespace

std::string step_html(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record) {
  const std::string title = fmt::format("One training step of {}", inputs.model.name);
  Json data = page_data("simulate", title, subtitle_of(inputs), step_json(result, inputs.provenance));
  data["timeline"] = step_timeline(record);
  data["operators"] = operators_json(inputs.model, record);
  data["origins"] = origins_json(inputs.profile);
  data["gpu"] = {{"name", inputs.cluster.gpu},
                 {"bf16_flops", inputs.cluster.bf16_flops},
                 {"fp8_flops", inputs.cluster.fp8_flops},
                 {"memory_bandwidth", inputs.cluster.memory_bandwidth}};
  return html_page(title + " · Hourglass", data);
}

std::string comparison_html(const planner::Comparison& comparison, const base::Provenance& provenance) {
  Json data = page_data("compare", "Pipeline schedules side by side", comparison.title,
                        comparison_json(comparison, provenance));
  Json timelines = Json::array();
  for (const planner::ComparedSchedule& each : comparison.schedules)
    timelines.push_back(schedule_timeline(each.schedule, each.evaluation, comparison.unit));
  data["timelines"] = std::move(timelines);
  return html_page("Pipeline schedules · Hourglass", data);
}

std::string budget_html(const planner::Budget& budget, const sim::Inputs& inputs) {
  const std::string title = fmt::format("GPU-hour budget of {}", budget.model);
  Json data = page_data("plan", title, subtitle_of(inputs), budget_json(budget, inputs.provenance));
  data["origins"] = origins_json(inputs.profile);
  return html_page(title + " · Hourglass", data);
}

std::string validation_html(const planner::Validation& validation, const base::Provenance& provenance) {
  Json data = page_data("validate", "Predictions against what was published and measured",
                        fmt::format("{} rows in {} classes", validation.rows.size(), validation.classes.size()),
                        validation_json(validation, provenance));
  return html_page("Validation · Hourglass", data);
}

std::string search_html(const sim::Inputs& inputs, const planner::Search& search, const planner::SearchResult& result,
                        const planner::Shard& shard) {
  const std::string title = fmt::format("Plans for {}", inputs.model.name);
  const std::string subtitle = fmt::format("{} legal plans, {} simulated", grouped(static_cast<double>(result.plans)),
                                           grouped(static_cast<double>(result.simulated)));
  Json data = page_data("search", title, subtitle, search_json(search, result, inputs.provenance, shard));
  const sim::Inputs best = search.inputs_of(search.space().choice(result.finalists.front().point.id));
  data["memory_limit_bytes"] = search.memory_limit_bytes(best);
  return html_page(title + " · Hourglass", data);
}

}  // namespace hourglass::reports
