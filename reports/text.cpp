#include "reports/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "model/counts.h"
#include "reports/budget.h"
#include "reports/causes.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::string dollars(double usd) { return usd >= 1e6 ? fmt::format("${:.3f}M", usd / 1e6) : "$" + grouped(usd); }

std::string fixed(double value, int digits) { return fmt::format("{:.{}f}", value, digits); }

// Where the time of each pipeline rank goes, in seconds, and what it holds, in GiB.
std::string rank_table(const sim::Result& result) {
  Table table({"rank", "F", "B", "W", "F&B", "update", "bubble", "exposed comm", "| parameters", "gradients",
               "optimizer", "activations", "buffers", "peak"});
  for (const sim::RankResult& rank : result.ranks) {
    table.add({std::to_string(rank.pipeline_rank), fixed(rank.forward_s, 3), fixed(rank.backward_s, 3),
               fixed(rank.weight_s, 3), fixed(rank.overlapped_s, 3), fixed(rank.optimizer_s, 3),
               fixed(rank.bubble_s, 3), fixed(rank.exposed_communication_s, 3), gib(rank.memory.parameters),
               gib(rank.memory.gradients), gib(rank.memory.optimizer), gib(rank.memory.activations),
               gib(rank.memory.buffers), gib(rank.peak_memory_bytes)});
  }
  return table.text();
}

std::string memory_line(const sim::Result& result) {
  const auto fullest = std::max_element(
      result.ranks.begin(), result.ranks.end(),
      [](const sim::RankResult& a, const sim::RankResult& b) { return a.peak_memory_bytes < b.peak_memory_bytes; });
  const std::string verdict = result.fits() ? "fits" : "DOES NOT FIT";
  return fmt::format("  memory         {}: rank {} peaks at {} of {} GiB, {} into the step\n", verdict,
                     fullest->pipeline_rank, gib(fullest->peak_memory_bytes), gib(result.memory_capacity_bytes),
                     seconds_text(fullest->peak_memory_at_s));
}

// "5 4 4 ... 3": layers of each stage.
std::string layers_line(const sim::Result& result) {
  std::string line;
  for (const std::int64_t layers : result.layers_per_stage) line += fmt::format(" {}", layers);
  return fmt::format("  layers a stage{}; the embedding opens the first stage, the head closes the last\n", line);
}

std::string step_lines(const sim::Result& r) {
  std::string out;
  out += fmt::format("  step time      {} for {} tokens ({} micro-batches a pipeline, {})\n",
                     seconds_text(r.step_time_s), grouped(r.tokens_per_step), r.micro_batches, r.schedule);
  out += fmt::format("  throughput     {} tokens a day, {} tokens/s a GPU\n", shortened(r.tokens_per_day),
                     grouped(r.tokens_per_second_per_gpu));
  out +=
      fmt::format("  model FLOPs    {:.1f} TFLOP/s a GPU causal, {:.1f} non-causal; MFU of the BF16 peak {} and {}\n",
                  r.model_tflops_per_gpu.causal, r.model_tflops_per_gpu.non_causal, percent(r.mfu.causal),
                  percent(r.mfu.non_causal));
  out += fmt::format("  bubble         at most {} of the step; rank {} waits least\n", percent(r.bubble_ratio),
                     r.busiest_rank);
  return out;
}

std::string stage_row_text(double value, const std::string& text) { return value > 0.0 ? text : "-"; }

std::string stages_table(const planner::Budget& budget) {
  Table table({"stage", "tokens", "sequence", "batch", "steps", "step", "GPU-hours", "days", "cost"});
  for (const planner::StageBudget& s : budget.stages) {
    const bool simulated = s.step.has_value();
    table.add({s.name, stage_row_text(s.tokens, shortened(s.tokens)),
               simulated ? std::to_string(s.sequence_length) : "-", simulated ? std::to_string(s.global_batch) : "-",
               stage_row_text(s.steps, grouped(s.steps)), simulated ? seconds_text(s.step->step_time_s) : "-",
               grouped(s.gpu_hours), fixed(s.days, 1), dollars(s.cost_usd)});
  }
  table.add({"total", "", "", "", "", "", grouped(budget.gpu_hours), fixed(budget.days, 1), dollars(budget.cost_usd)});
  return table.text();
}

std::string ramp_lines(const planner::Budget& budget) {
  std::string out;
  for (const planner::StageBudget& stage : budget.stages) {
    if (!stage.ramp) continue;
    out += fmt::format("  {}: the batch grows from {} to {} over the first {} tokens, {} of its GPU-hours", stage.name,
                       stage.ramp->first_batch, stage.global_batch, shortened(stage.ramp->tokens),
                       grouped(stage.ramp->gpu_hours));
    if (!stage.ramp->small_batch_schedule.empty()) {
      out += fmt::format("; under {} while the batch is below {}", stage.ramp->small_batch_schedule,
                         stage.ramp->small_batch_below);
    }
    out += "\n";
  }
  return out;
}

}  // namespace

std::string budget_text(const planner::Budget& budget) {
  std::string out =
      fmt::format("{} on {} GPUs of cluster {} (costs: profile {}; ${:.2f} a GPU-hour)\n\n", budget.model,
                  grouped(static_cast<double>(budget.gpus)), budget.cluster, budget.profile, budget.price_per_gpu_hour);
  out += stages_table(budget) + "\n" + ramp_lines(budget) + operations_text(budget);
  for (const planner::StageBudget& stage : budget.stages) {
    if (!stage.step) continue;
    out += fmt::format("\none step of {}\n", stage.name);
    out += step_lines(*stage.step) + memory_line(*stage.step);
    if (&stage != &budget.stages.front()) continue;
    out += layers_line(*stage.step) + "\n  seconds of a step and GiB at the peak, by pipeline rank\n" +
           rank_table(*stage.step);
  }
  return out;
}

namespace {

std::string network_lines(const sim::ExpertNetwork& n) {
  std::string out = fmt::format(
      "  network        dispatch x{:.3f}, combine x{:.3f} of one balanced group alone; fullest GPU x{:.3f} of the mean "
      "load\n"
      "                 a GPU's dispatch: {:.1f} MB over its NIC, {:.1f} MB over NVLink; hottest links:\n",
      n.dispatch_factor, n.combine_factor, n.imbalance, n.dispatch_nic_bytes / base::mega,
      n.dispatch_nvlink_bytes / base::mega);
  for (const sim::HotLink& link : n.hottest) {
    out += fmt::format("                   {:<40} {:>8.1f} MB  {:>5.1f} % of its time\n", link.name,
                       link.bytes / base::mega, link.utilization * 100.0);
  }
  return out;
}

}  // namespace

std::string tuning_text(const sim::OverlapTuning& t) {
  std::string out = fmt::format("\n  overlap tuned: {} orders of a pair's steps under each of {} splits of the SMs\n",
                                t.orders, t.splits);
  const std::pair<const char*, const sim::OverlapChoice*> rows[] = {{"given", &t.given}, {"best", &t.best}};
  for (const auto& [name, choice] : rows) {
    out += fmt::format("    {:<6} {:>2} SMs, step {:.3f} s: {}\n", name, choice->communication_sms, choice->step_s,
                       sim::order_text(choice->order));
  }
  Table table({"SMs", "a layer pair, ms", "step, s"});
  for (const sim::OverlapChoice& choice : t.by_split)
    table.add({std::to_string(choice.communication_sms), fixed(choice.pair_s * 1e3, 3), fixed(choice.step_s, 3)});
  return out + table.text();
}

std::string step_text(const sim::Inputs& inputs, const sim::Result& result) {
  const model::Parallelism& p = inputs.plan.parallel;
  std::string out = fmt::format("{} on {} GPUs of cluster {} (costs: profile {})\n", inputs.model.name,
                                grouped(static_cast<double>(result.gpus)), inputs.cluster.name, inputs.profile.name);
  out += fmt::format("  parallelism    tensor {}, context {}, pipeline {}, data {}, expert {}\n", p.tensor, p.context,
                     p.pipeline, p.data, p.expert);
  out += step_lines(result) + memory_line(result) + layers_line(result);
  if (result.network) out += network_lines(*result.network);
  if (!result.not_folded.empty()) {
    out +=
        fmt::format("  every GPU      {} GPUs simulated one by one ({}); of each rank, the one that computes longest\n",
                    grouped(static_cast<double>(result.simulated_gpus)), result.not_folded);
  }
  return out + "\n  seconds of a step and GiB at the peak, by pipeline rank\n" + rank_table(result) +
         causes_text(result);
}

std::string comparison_text(const planner::Comparison& comparison) {
  const schedules::Costs& c = comparison.costs;
  const std::string unit = comparison.unit.empty() ? "" : " " + comparison.unit;
  std::string out = fmt::format(
      "{}\n  costs of a rank's work for one micro-batch: F={:.4g} B={:.4g} W={:.4g} FB={:.4g} p2p={:.4g}{}\n\n",
      comparison.title, c.forward, c.backward_input, c.backward_weight, c.pair(), c.p2p, unit);
  const bool with_plan = std::any_of(comparison.schedules.begin(), comparison.schedules.end(),
                                     [](const auto& s) { return s.step.has_value(); });
  std::vector<std::string> heading = {"schedule",    "makespan", "span",  "bubble", "of makespan", "of span",
                                      "activations", "copies",   "pairs", "bound",  "gap"};
  if (with_plan) heading.insert(heading.end(), {"step", "step bubble", "peak GiB", "fits"});
  Table table(heading);
  for (const planner::ComparedSchedule& s : comparison.schedules) {
    const schedules::Evaluation& e = s.evaluation;
    std::vector<std::string> row = {s.name,
                                    fmt::format("{:.6g}", e.makespan),
                                    fmt::format("{:.6g}", e.span),
                                    fmt::format("{:.6g}", e.bubble),
                                    percent(e.bubble_ratio),
                                    percent(e.span_bubble_ratio),
                                    fmt::format("{:.4g}", e.peak_activations),
                                    std::to_string(e.parameter_copies),
                                    std::to_string(e.overlapped_pairs),
                                    fmt::format("{:.6g}", s.lower_bound),
                                    percent(s.lower_bound > 0.0 ? e.makespan / s.lower_bound - 1.0 : 0.0)};
    if (s.step) {
      row.insert(row.end(), {seconds_text(s.step->step_time_s), percent(s.step->bubble_ratio),
                             gib(s.step->largest_memory_bytes()), s.step->fits() ? "yes" : "no"});
    }
    table.add(row);
  }
  out += table.text();
  out += "\n  closed forms of the literature, beside what the order really gives\n";
  for (const planner::ComparedSchedule& s : comparison.schedules) {
    if (!s.closed_form) continue;
    out += fmt::format("  {:<20} {} = {:.6g} of the {}: {}\n", s.name, s.closed_form->formula, s.closed_form->value,
                       s.closed_form->quantity,
                       s.closed_form->applies ? "applies" : "does not apply here (" + s.closed_form->regime + ")");
  }
  for (const planner::RefusedSchedule& refused : comparison.refused)
    out += fmt::format("  {:<20} not run: {}\n", refused.name, refused.reason);
  return out;
}

std::string synthesis_text(const schedules::Synthesis& synthesis) {
  const schedules::Synthesized& best = synthesis.placements.front();
  const double gap = best.lower_bound > 0.0 ? best.evaluation.makespan / best.lower_bound - 1.0 : 0.0;
  std::string out = fmt::format("best of {} orders: makespan {:.6g} on {} placement, {}\n\n",
                                grouped(static_cast<double>(synthesis.orders)), best.evaluation.makespan,
                                best.placement, gap < 1e-9 ? "optimal there" : percent(gap) + " above the lower bound");
  Table table(
      {"placement", "makespan", "bound", "gap", "activations", "copies", "best named that fits", "makespan", "saved"});
  for (const schedules::Synthesized& each : synthesis.placements) {
    const double makespan = each.evaluation.makespan;
    const bool named = !each.best_named.empty();
    table.add({each.placement, fmt::format("{:.6g}", makespan), fmt::format("{:.6g}", each.lower_bound),
               percent(makespan / each.lower_bound - 1.0), fmt::format("{:.4g}", each.evaluation.peak_activations),
               std::to_string(each.evaluation.parameter_copies), named ? each.best_named : "-",
               named ? fmt::format("{:.6g}", each.best_named_makespan) : "-",
               named ? percent(1.0 - makespan / each.best_named_makespan) : "-"});
  }
  return out + table.text() + "\n  --format letters, json, csv, pytorch or svg writes the best order\n";
}

std::string model_text(const model::ModelSpec& model, std::int64_t sequence_length) {
  std::string out = fmt::format("{} ({}): {} layers", model.name, model.family, model.layer_count());
  if (const model::MixtureOfExperts* experts = model::experts_of(model)) {
    const std::int64_t sparse = model::expert_layers(model);
    out += fmt::format(", {} dense and {} with {} routed experts of which a token uses {}",
                       model.layer_count() - sparse, sparse, experts->routed_experts, experts->experts_per_token);
  }
  out += fmt::format("\n  parameters            {} ({}), activated by a token {}\n",
                     grouped(model::total_parameters(model)), shortened(model::total_parameters(model)),
                     shortened(model::activated_parameters(model)));
  if (model.mtp_modules > 0) {
    out += fmt::format(
        "  MTP                   {} module of {} parameters beside the shared embedding and head, not in the total\n",
        model.mtp_modules, shortened(model::mtp_parameters(model).total()));
  }
  out += fmt::format("  KV cache              {} B a token in BF16\n", grouped(model::kv_cache_bytes_per_token(model)));
  const auto gflops = [&](bool causal, bool mtp) {
    return fmt::format("{:.1f}", model::training_flops_per_token(model, sequence_length, causal, mtp) / base::giga);
  };
  out += fmt::format(
      "  training at {:<9} {} GFLOP a token causal, {} non-causal{}\n", sequence_length, gflops(true, false),
      gflops(false, false),
      model.mtp_modules > 0 ? fmt::format("; with MTP {} and {}", gflops(true, true), gflops(false, true)) : "");
  return out;
}

std::string explain_text(const hardware::Profile& profile) {
  std::string out = fmt::format("\nwhere the costs come from (profile {})\n", profile.name);
  for (const hardware::ClassOrigin& each : hardware::origins(profile)) {
    out += fmt::format("  {:<18} {:<12} +-{:<6} {}\n", each.name, hardware::name_of(each.basis.origin),
                       percent(each.basis.relative_error), each.basis.source);
  }
  return out;
}

}  // namespace hourglass::reports
