// What is recomputed: the bubble rates of the Zero Bubble paper (schedules alone), every kernel sample that the shipped
// profiles were fitted to or could be (in sample; docs/calibration.md has the held-out errors), the phases and the wall
// time of DeepSeek's published DualPipe block, its GPU-hours, and what failures cost published runs. Bounds in
// published/bounds.json turn a regression into exit code 3. GEMMs with fewer than 64 rows are skipped and counted.
#include "planner/validation/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/predict.h"
#include "planner/budget/budget.h"
#include "planner/validation/published_goodput.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "sim/training/blocks.h"

namespace hourglass::planner {

namespace {

constexpr double smallest_rows = 64.0, training_rows = 1024.0;

void add_bubble_rates(Validation& out, const std::string& file) {
  const base::JsonFile document = base::load_json(file);
  base::Fields fields(document.value, file);
  fields.text("what");
  fields.text("source");
  for (base::Fields& each : fields.objects("cases")) {
    const std::string model = each.text("model");
    const int ranks = static_cast<int>(each.integer("ranks", 1, 1024)),
              micro_batches = static_cast<int>(each.integer("micro_batches", 1, 100000));
    schedules::Costs costs;
    costs.forward = each.number("F");
    costs.backward_input = each.number("B");
    costs.backward_weight = each.number("W");
    costs.p2p = each.number("p2p");
    const double work = micro_batches * (costs.forward + costs.backward());
    base::Fields rates = each.object("bubble_rate");
    for (const std::string& name : rates.keys()) {
      const double span = schedules::evaluate(schedules::generate(name, {ranks, micro_batches, 0}), costs).span;
      out.rows.push_back(
          {fmt::format("{} {}", model, name), "bubble rate", rates.number(name), (span - work) / span, ""});
    }
    each.finish();
  }
  fields.finish();
}

// The compute phases of an overlapped pair of one MoE layer, and the pair's wall time over several layers.
void add_trace(Validation& out, base::Fields trace) {
  trace.text("source");
  const sim::Inputs inputs = sim::load_inputs(base::resolve(base::Config::plan, trace.text("plan"), trace.file()), {});
  const sim::UnitPrices prices(inputs);
  const sim::Unit layer = sim::layer_unit(model::expert_kind(inputs.model));
  const std::vector<sim::Unit> layers(static_cast<std::size_t>(trace.integer("layers", 1, 1000)), layer);
  const sim::Block block = sim::build_block(schedules::Kind::overlapped, layers, layers, prices);
  out.rows.push_back({"overlapped block of DeepSeek's trace", "trace block", trace.number("block_ms"),
                      base::seconds(sim::duration(block)) * 1e3, "ms"});
  out.rows.push_back({"communication that the trace's block does not hide", "trace exposed communication",
                      trace.number("exposed_communication_ms"),
                      base::seconds(sim::duration(block) - block.compute) * 1e3, "ms"});
  base::Fields phases = trace.object("phases_us");
  for (const std::string& name : phases.keys()) {
    const model::Part part = name.starts_with("attention") ? model::attention : model::mlp;
    const model::Pass pass = name.ends_with("F")   ? model::Pass::forward
                             : name.ends_with("B") ? model::Pass::backward_input
                                                   : model::Pass::backward_weight;
    base::Time time = 0;
    for (const sim::PricedRun& run : prices.of(layer, pass, true)[part]) time += run.communication ? 0 : run.work;
    out.rows.push_back({"trace " + name, "trace phase", phases.number(name), base::seconds(time) * 1e6, "us"});
  }
  trace.finish();
}

void add_gpu_hours(Validation& out, base::Fields hours) {
  hours.text("source");
  const Budget budget =
      net_budget(sim::load_inputs(base::resolve(base::Config::plan, hours.text("plan"), hours.file()), {}), nullptr);
  for (base::Fields& row : hours.objects("rows")) {
    const std::vector<std::string> names = row.texts("stages");
    double predicted = 0.0;
    for (const StageBudget& stage : budget.stages) {
      if (std::find(names.begin(), names.end(), stage.name) != names.end()) predicted += stage.gpu_hours;
    }
    out.rows.push_back({"DeepSeek-V3 " + row.text("id"), "gpu hours", row.number("gpu_hours"), predicted, "GPU-hours"});
    row.finish();
  }
  hours.finish();
}

// GEMMs of few rows are a class of their own: the shipped profiles are fitted to those of training.
std::string class_of(const hardware::Sample& s) {
  std::string cls = s.op;
  if (!s.recipe.empty() || s.dtype == "e4m3") cls += s.recipe == "tensor" ? " fp8 tensor" : " fp8";
  if (s.op == "dispatch" || s.op == "combine") return s.op + (s.at("low_latency") > 0.0 ? " low latency" : "");
  if (s.shape.contains("n") && s.at("m") < training_rows && !s.weight_gradient) cls += ", few rows";
  return cls;
}

void add_samples(Validation& out, const hardware::Cluster& cluster, const hardware::Profile& profile,
                 const hardware::SampleSet& set) {
  std::map<std::string, std::size_t> skipped;
  for (std::size_t i = 0; i < set.samples.size(); ++i) {
    const hardware::Sample& s = set.samples[i];
    const bool gemm = s.shape.contains("n");
    if (gemm && s.op != "grouped_gemm" && s.at("m") < smallest_rows) {
      ++skipped["fewer than 64 rows: decoding, not training"];
      continue;
    }
    const double predicted = hardware::predict_seconds(cluster, profile, s);
    out.rows.push_back({fmt::format("{}#{}", set.path, i), class_of(s), s.seconds * 1e6, predicted * 1e6, "us"});
  }
  for (const auto& [reason, count] : skipped)
    out.skipped.push_back({fmt::format("{} ({} samples)", set.path, count), reason});
}

void add_shipped_samples(Validation& out, const std::string& configs) {
  const std::pair<const char*, std::vector<const char*>> machines[] = {
      {"h100",
       {"h100_gemm_bf16", "h100_linear_fp8_block", "h100_linear_fp8_tensor", "h100_nccl_one_node", "h100_deepep"}},
      {"h800", {"h800_deepgemm", "h800_infersim_gemm", "h800_attention", "h800_trace_gemm", "h800_deepep"}}};
  for (const auto& [machine, files] : machines) {
    const std::string cluster_file = fmt::format("{}/clusters/{}.json", configs, machine),
                      profile_file = fmt::format("{}/profiles/{}.json", configs, machine);
    const hardware::Cluster cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
    const hardware::Profile profile = hardware::read_profile(base::load_json(profile_file).value, profile_file);
    for (const char* file : files) {
      hardware::SampleSet set = hardware::load_samples(fmt::format("{}/measurements/{}.json", configs, file));
      set.path = file;
      add_samples(out, cluster, profile, set);
    }
  }
}

void add_bounds(Validation& out, const std::string& file) {
  const base::JsonFile document = base::load_json(file);
  base::Fields fields(document.value, file);
  fields.text("what");
  base::Fields classes = fields.object("classes");
  fields.finish();
  for (const std::string& name : classes.keys()) {
    base::Fields bound = classes.object(name);
    const double median = bound.number("median"), p90 = bound.number("p90");
    bound.finish();
    for (ValidationClass& each : out.classes) {
      if (each.name != name) continue;
      each.median_bound = median;
      each.p90_bound = p90;
    }
  }
}

}  // namespace

Validation validate_published(const std::string& configs) {
  Validation out;
  const std::string folder = configs + "/published/";
  add_bubble_rates(out, folder + "zero_bubble_rates.json");
  const base::JsonFile document = base::load_json(folder + "deepseek_v3.json");
  base::Fields fields(document.value, document.path);
  fields.text("what");
  add_gpu_hours(out, fields.object("gpu_hours"));
  add_trace(out, fields.object("trace"));
  fields.finish();
  add_goodput(out, folder + "goodput.json");
  add_runs(out, folder + "runs.json", configs);
  add_shipped_samples(out, configs);
  summarise(out);
  add_bounds(out, folder + "bounds.json");
  return out;
}

Validation validate_samples(const hardware::Cluster& cluster, const hardware::Profile& profile,
                            const std::vector<hardware::SampleSet>& sets) {
  Validation out;
  for (const hardware::SampleSet& set : sets) add_samples(out, cluster, profile, set);
  summarise(out);
  return out;
}

}  // namespace hourglass::planner
