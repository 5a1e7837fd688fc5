#include "reports/json.h"

#include "base/json.h"
#include "model/counts.h"
#include "reports/budget.h"
#include "reports/causes.h"

namespace hourglass::reports {

base::Json heading(const base::Provenance& provenance) {
  return {{"schema_version", schema_version}, {"provenance", base::provenance_json(provenance)}};
}

namespace {

using base::Json;

Json flops_json(const sim::Flops& flops) { return {{"causal", flops.causal}, {"non_causal", flops.non_causal}}; }

Json rank_json(const sim::RankResult& rank) {
  return {{"pipeline_rank", rank.pipeline_rank},
          {"forward_s", rank.forward_s},
          {"backward_s", rank.backward_s},
          {"weight_s", rank.weight_s},
          {"overlapped_s", rank.overlapped_s},
          {"optimizer_s", rank.optimizer_s},
          {"bubble_s", rank.bubble_s},
          {"exposed_communication_s", rank.exposed_communication_s},
          {"launch_s", rank.launch_s},
          {"exposed_communication", exposed_json(rank.exposed)},
          {"idle", idle_json(rank.idle)},
          {"overlapped_pairs", rank.overlapped_pairs},
          {"peak_memory_bytes", rank.peak_memory_bytes},
          {"peak_memory_at_s", rank.peak_memory_at_s},
          {"memory",
           {{"parameters", rank.memory.parameters},
            {"gradients", rank.memory.gradients},
            {"optimizer", rank.memory.optimizer},
            {"activations", rank.memory.activations},
            {"buffers", rank.memory.buffers}}}};
}

Json step_fields(const sim::Result& result) {
  Json out = {{"schedule", result.schedule},
              {"gpus", result.gpus},
              {"micro_batches", result.micro_batches},
              {"layers_per_stage", result.layers_per_stage},
              {"step_time_s", result.step_time_s},
              {"tokens_per_step", result.tokens_per_step},
              {"tokens_per_day", result.tokens_per_day},
              {"tokens_per_second_per_gpu", result.tokens_per_second_per_gpu},
              {"model_tflops_per_gpu", flops_json(result.model_tflops_per_gpu)},
              {"mfu", flops_json(result.mfu)},
              {"memory_capacity_bytes", result.memory_capacity_bytes},
              {"fits", result.fits()}};
  Json ranks = Json::array();
  for (const sim::RankResult& rank : result.ranks) ranks.push_back(rank_json(rank));
  out["ranks"] = std::move(ranks);
  out["slowest_rank"] = result.busiest_rank;
  out["bubble_ratio"] = result.bubble_ratio;
  out["critical_path"] = critical_path_json(result.critical_path);
  out["folding"] = {{"folded", result.not_folded.empty()},
                    {"not_folded_because", result.not_folded},
                    {"simulated_gpus", result.simulated_gpus}};
  if (!result.network) return out;
  Json links = Json::array();
  for (const sim::HotLink& link : result.network->hottest)
    links.push_back({{"link", link.name}, {"bytes", link.bytes}, {"utilization", link.utilization}});
  Json cells = Json::array();
  for (const hardware::LinkCell& cell : result.network->cells) {
    cells.push_back({{"kind", cell.kind},
                     {"place", cell.place},
                     {"links", cell.links},
                     {"failed", cell.failed},
                     {"min_utilization", cell.least},
                     {"mean_utilization", cell.mean},
                     {"max_utilization", cell.most}});
  }
  out["network"] = {{"dispatch_factor", result.network->dispatch_factor},
                    {"combine_factor", result.network->combine_factor},
                    {"imbalance", result.network->imbalance},
                    {"dispatch_nic_bytes", result.network->dispatch_nic_bytes},
                    {"dispatch_nvlink_bytes", result.network->dispatch_nvlink_bytes},
                    {"hottest_links", std::move(links)},
                    {"links", std::move(cells)}};
  return out;
}

Json stage_json(const planner::StageBudget& stage) {
  Json out = {{"name", stage.name},
              {"tokens", stage.tokens},
              {"steps", stage.steps},
              {"sequence_length", stage.sequence_length},
              {"global_batch", stage.global_batch},
              {"gpu_hours", stage.gpu_hours},
              {"days", stage.days},
              {"cost_usd", stage.cost_usd}};
  if (stage.ramp) {
    out["batch_ramp"] = {{"tokens", stage.ramp->tokens},
                         {"first_batch", stage.ramp->first_batch},
                         {"gpu_hours", stage.ramp->gpu_hours},
                         {"small_batch_schedule", stage.ramp->small_batch_schedule},
                         {"small_batch_below", stage.ramp->small_batch_below}};
  }
  if (stage.step) out["step"] = step_fields(*stage.step);
  return out;
}

Json compared_json(const planner::ComparedSchedule& each) {
  const schedules::Evaluation& e = each.evaluation;
  Json out = {{"name", each.name},
              {"makespan", e.makespan},
              {"span", e.span},
              {"bubble", e.bubble},
              {"bubble_ratio", e.bubble_ratio},
              {"span_bubble_ratio", e.span_bubble_ratio},
              {"peak_activations", e.peak_activations},
              {"parameter_copies", e.parameter_copies},
              {"overlapped_pairs", e.overlapped_pairs},
              {"lower_bound", each.lower_bound}};
  if (each.closed_form) {
    out["closed_form"] = {{"formula", each.closed_form->formula},
                          {"value", each.closed_form->value},
                          {"of", each.closed_form->quantity},
                          {"applies", each.closed_form->applies},
                          {"regime", each.closed_form->regime}};
  }
  Json ranks = Json::array();
  for (const schedules::RankEvaluation& rank : e.ranks) {
    ranks.push_back({{"busy", rank.busy},
                     {"bubble", rank.bubble},
                     {"peak_activations", rank.peak_activations},
                     {"overlapped_pairs", rank.overlapped_pairs}});
  }
  out["ranks"] = std::move(ranks);
  if (each.step) {
    double bubble = 0.0;
    for (const sim::RankResult& rank : each.step->ranks) bubble = std::max(bubble, rank.bubble_s);
    out["step_time_s"] = each.step->step_time_s;
    out["bubble_s"] = bubble;
    out["step_bubble_ratio"] = each.step->bubble_ratio;
    out["peak_memory_bytes"] = each.step->largest_memory_bytes();
    out["fits"] = each.step->fits();
  }
  return out;
}

Json comparison_fields(const planner::Comparison& comparison) {
  const schedules::Costs& c = comparison.costs;
  Json all = Json::array(), refused = Json::array();
  for (const planner::ComparedSchedule& each : comparison.schedules) all.push_back(compared_json(each));
  for (const planner::RefusedSchedule& each : comparison.refused)
    refused.push_back({{"name", each.name}, {"reason", each.reason}});
  return {{"costs",
           {{"F", c.forward},
            {"B", c.backward_input},
            {"W", c.backward_weight},
            {"FB", c.pair()},
            {"p2p", c.p2p},
            {"unit", comparison.unit}}},
          {"schedules", std::move(all)},
          {"refused", std::move(refused)}};
}

}  // namespace

Json budget_json(const planner::Budget& budget, const base::Provenance& provenance) {
  Json out = heading(provenance);
  out["plan"] = budget.plan;
  out["model"] = budget.model;
  out["cluster"] = budget.cluster;
  out["profile"] = budget.profile;
  out["gpus"] = budget.gpus;
  out["price_usd_per_gpu_hour"] = budget.price_per_gpu_hour;
  Json stages = Json::array();
  for (const planner::StageBudget& stage : budget.stages) stages.push_back(stage_json(stage));
  out["stages"] = std::move(stages);
  out["gpu_hours"] = budget.gpu_hours;
  out["total_gpu_hours"] = {
      {"p10", budget.total_gpu_hours.p10}, {"p50", budget.total_gpu_hours.p50}, {"p90", budget.total_gpu_hours.p90}};
  out["days"] = budget.days;
  out["cost_usd"] = budget.cost_usd;
  Json sensitivities = Json::array();
  for (const planner::Sensitivity& s : budget.sensitivities) {
    sensitivities.push_back({{"cost", s.cost}, {"relative_error", s.relative_error}, {"gpu_hours", s.gpu_hours}});
  }
  out["sensitivities"] = std::move(sensitivities);
  add_operations(out, budget);
  return out;
}

base::Json tuning_json(const sim::OverlapTuning& tuning) {
  const auto choice_json = [](const sim::OverlapChoice& choice) {
    Json order = Json::array();
    for (const sim::OverlapStep& step : choice.order) order.push_back(sim::step_name(step));
    return Json{{"order", std::move(order)},
                {"communication_sms", choice.communication_sms},
                {"pair_s", choice.pair_s},
                {"step_time_s", choice.step_s}};
  };
  Json splits = Json::array();
  for (const sim::OverlapChoice& choice : tuning.by_split) splits.push_back(choice_json(choice));
  return {{"orders", tuning.orders},
          {"splits", tuning.splits},
          {"given", choice_json(tuning.given)},
          {"best", choice_json(tuning.best)},
          {"by_split", std::move(splits)}};
}

Json step_json(const sim::Result& result, const base::Provenance& provenance) {
  Json out = heading(provenance);
  out.update(step_fields(result));
  return out;
}

Json comparison_json(const planner::Comparison& comparison, const base::Provenance& provenance) {
  Json out = heading(provenance);
  out.update(comparison_fields(comparison));
  return out;
}

Json sweep_json(const planner::Sweep& sweep, const base::Provenance& provenance) {
  Json out = heading(provenance);
  out["variable"] = sweep.range.variable;
  Json points = Json::array();
  for (const planner::SweepPoint& point : sweep.points) {
    Json each = {{"value", point.value}};
    each.update(comparison_fields(point.comparison));
    points.push_back(std::move(each));
  }
  out["points"] = std::move(points);
  return out;
}

Json validation_json(const planner::Validation& validation, const base::Provenance& provenance) {
  Json out = heading(provenance);
  Json rows = Json::array(), classes = Json::array(), skipped = Json::array();
  for (const planner::ValidationRow& row : validation.rows) {
    rows.push_back({{"id", row.id},
                    {"class", row.cls},
                    {"reported", row.reported},
                    {"predicted", row.predicted},
                    {"error", row.error()},
                    {"unit", row.unit}});
  }
  for (const planner::ValidationClass& c : validation.classes) {
    classes.push_back({{"class", c.name},
                       {"rows", c.errors.rows},
                       {"median_abs_error", c.errors.median},
                       {"p90_abs_error", c.errors.p90},
                       {"worst", c.worst},
                       {"worst_abs_error", c.errors.worst},
                       {"bias", c.errors.bias},
                       {"exceeded", c.exceeded()}});
  }
  for (const planner::SkippedRow& each : validation.skipped)
    skipped.push_back({{"id", each.id}, {"reason", each.reason}});
  out["rows"] = std::move(rows);
  out["classes"] = std::move(classes);
  out["skipped"] = std::move(skipped);
  return out;
}

Json model_json(const model::ModelSpec& model, std::int64_t sequence_length, const base::Provenance& provenance) {
  Json out = heading(provenance);
  out["name"] = model.name;
  out["family"] = model.family;
  out["layers"] = model.layer_count();
  out["parameters"] = {{"total", model::total_parameters(model)},
                       {"activated", model::activated_parameters(model)},
                       {"embedding", model::embedding_parameters(model)},
                       {"head", model::head_parameters(model)},
                       {"mtp_modules", model::mtp_parameters(model).total() * static_cast<double>(model.mtp_modules)}};
  out["kv_cache_bytes_per_token"] = model::kv_cache_bytes_per_token(model);
  const bool mtp = model.mtp_modules > 0;
  const auto flops = [&](bool causal, bool with_mtp) {
    return model::training_flops_per_token(model, sequence_length, causal, with_mtp);
  };
  out["sequence_length"] = sequence_length;
  out["training_flops_per_token"] = {{"causal", flops(true, false)}, {"non_causal", flops(false, false)}};
  if (mtp)
    out["training_flops_per_token_with_mtp"] = {{"causal", flops(true, true)}, {"non_causal", flops(false, true)}};
  return out;
}

}  // namespace hourglass::reports
