// Defaults are published figures where there are any, and say that they are assumed where there are none:
//   failures        The Llama 3 Herd of Models, arXiv 2407.21783, table 5: 419 unexpected interruptions in 54 days on
//                   16,384 H100s
//   nodes taken out the same, section 3.3.4: 78 % were confirmed or suspected hardware issues
//   storage         the same, section 3.3.1: 2 TB/s sustained, over the 16,384 GPUs
//   detection       MegaScale, arXiv 2402.15627, section 6.3: detection and diagnostics in less than 10 minutes
//   power           the cluster's: of a data sheet, so an upper bound
#include "sim/training/plan_operations.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace hourglass::sim {

namespace {

using base::Fields;

constexpr double minute = 60.0;
constexpr double longest_wait = 1e6;  // of anything, in its own unit

// Reads one block and notes which keys the plan states.
class BlockFields {
 public:
  BlockFields(Fields& fields, const std::string& name, std::vector<std::string>& given)
      : fields_(fields.object(name)), prefix_(name + "."), given_(given) {}

  void number(const std::string& key, double& value, double low, double high, double unit = 1.0) {
    if (!fields_.has(key)) return;
    value = fields_.number(key, low, high) * unit;
    given_.push_back(prefix_ + key);
  }
  bool has(const std::string& key) {
    if (!fields_.has(key)) return false;
    given_.push_back(prefix_ + key);
    return true;
  }
  Fields& fields() { return fields_; }

 private:
  Fields fields_;
  std::string prefix_;
  std::vector<std::string>& given_;
};

void read_reliability(BlockFields block, Reliability& r) {
  block.number("failures_per_gpu_day", r.failures_per_gpu_day, 0.0, 1.0);
  block.number("planned_per_day", r.planned_per_day, 0.0, 1000.0);
  block.number("detection_min", r.detection_s, 0.0, longest_wait, minute);
  block.number("restart_min", r.restart_s, 0.0, longest_wait, minute);
  block.number("storage_GBps_per_gpu", r.storage_bandwidth_per_gpu, 1e-6, 1e4, base::giga);
  block.number("bytes_per_parameter", r.bytes_per_parameter, 0.0, 64.0);
  block.number("blocking_share", r.blocking_share, 0.0, 1.0);
  block.number("checkpoint_interval_min", r.checkpoint_interval_s, 1e-3, longest_wait, minute);
  block.number("node_share", r.node_share, 0.0, 1.0);
  block.number("repair_h", r.repair_s, 0.0, longest_wait, base::seconds_per_hour);
  if (block.has("spare_nodes")) r.spare_nodes = block.fields().integer("spare_nodes", 0, 100000);
  block.fields().finish();
}

void read_energy(BlockFields block, Energy& energy) {
  block.number("W_per_gpu", energy.power_per_gpu, 1.0, 1e5);
  block.number("pue", energy.pue, 1.0, 10.0);
  block.fields().finish();
}

void read_uncertainty(BlockFields block, Uncertainty& u) {
  if (block.has("expert_imbalance")) {
    Fields quantiles = block.fields().object("expert_imbalance");
    u.imbalance_p10 = quantiles.number("p10", 1.0, 100.0);
    u.imbalance_p50 = quantiles.number("p50", 1.0, 100.0);
    u.imbalance_p90 = quantiles.number("p90", 1.0, 100.0);
    if (u.imbalance_p10 > u.imbalance_p50 || u.imbalance_p50 > u.imbalance_p90)
      quantiles.fail("p50", "the quantiles fall", "give p10 <= p50 <= p90");
    quantiles.finish();
  }
  block.number("failure_factor", u.failure_factor, 1.0, 1000.0);
  if (block.has("samples")) u.samples = block.fields().integer("samples", 100, 10'000'000);
  if (block.has("seed")) u.seed = block.fields().integer("seed", 0);
  block.fields().finish();
}

std::map<std::string, double> read_prices(Fields fields) {
  std::map<std::string, double> prices;
  for (const std::string& currency : fields.keys()) {
    if (currency.size() != 3 ||
        !std::all_of(currency.begin(), currency.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      fields.fail(base::printable(currency), "is no currency", "write three capitals, for instance EUR");
    if (currency == "USD") fields.fail(currency, "is the cluster's", "set cluster.price_USD_per_gpu_hour");
    prices[currency] = fields.number(currency, 0.0, 1e9);
  }
  fields.finish();
  return prices;
}

ExtraRun read_run(Fields fields, const std::string& plan_file, const std::vector<std::string>& stages) {
  ExtraRun run;
  run.name = fields.text("name");
  run.count = fields.integer_or("count", 1, 1, 1'000'000);
  const int given = fields.has("plan") + fields.has("stage") + fields.has("gpu_hours");
  if (given != 1) fields.fail("name", "the run names none or several of plan, stage and gpu_hours", "give exactly one");
  if (fields.has("plan")) {
    const std::filesystem::path folder = std::filesystem::path(plan_file).parent_path();
    run.plan_file = (folder / fields.text("plan")).lexically_normal().string();
  }
  if (fields.has("stage")) {
    run.stage = fields.choice("stage", stages);
    if (fields.has("tokens") == fields.has("share"))
      fields.fail("stage", "needs tokens or share, one of them", "give for instance \"share\": 0.05");
    run.tokens = fields.number_or("tokens", 0.0, 1.0, 1e18);
    run.share = fields.number_or("share", 0.0, 1e-9, 1e3);
  }
  run.gpu_hours = fields.number_or("gpu_hours", 0.0, 0.0, 1e12);
  fields.finish();
  return run;
}

std::vector<Assumption> reliability_figures(const Reliability& r) {
  const std::string llama = "The Llama 3 Herd of Models, arXiv 2407.21783";
  return {
      {"reliability.failures_per_gpu_day", r.failures_per_gpu_day,
       llama + ", table 5: 419 unexpected interruptions in 54 days on 16,384 GPUs"},
      {"reliability.planned_per_day", r.planned_per_day, "assumed: none"},
      {"reliability.detection_min", r.detection_s / minute,
       "MegaScale, arXiv 2402.15627, section 6.3: detection and diagnostics in less than 10 minutes"},
      {"reliability.restart_min", r.restart_s / minute, "assumed"},
      {"reliability.storage_GBps_per_gpu", r.storage_bandwidth_per_gpu / base::giga,
       llama + ", section 3.3.1: 2 TB/s sustained, for 16,384 GPUs"},
      {"reliability.bytes_per_parameter", r.bytes_per_parameter,
       "BF16 weights, FP32 master weights and BF16 moments (arXiv 2412.19437, section 3.3.3)"},
      {"reliability.blocking_share", r.blocking_share, "assumed: training waits for the whole write"},
      {"reliability.node_share", r.node_share, llama + ", section 3.3.4: 78 % confirmed or suspected hardware issues"},
      {"reliability.repair_h", r.repair_s / base::seconds_per_hour, "assumed: a day"}};
}

}  // namespace

Operations read_operations(Fields& fields, const std::string& plan_file, const std::vector<std::string>& stages,
                           const Sharding& sharding) {
  Operations out;
  out.reliability.bytes_per_parameter = checkpoint_bytes(sharding);
  if (fields.has("reliability")) read_reliability({fields, "reliability", out.given}, out.reliability);
  if (fields.has("energy")) read_energy({fields, "energy", out.given}, out.energy);
  if (fields.has("uncertainty")) read_uncertainty({fields, "uncertainty", out.given}, out.uncertainty);
  if (fields.has("prices_per_gpu_hour")) out.prices = read_prices(fields.object("prices_per_gpu_hour"));
  if (fields.has("runs")) {
    for (Fields& run : fields.objects("runs")) out.runs.push_back(read_run(run, plan_file, stages));
  }
  return out;
}

void add_operation_blocks(base::Json& document) {
  if (!document.is_object()) return;
  for (const char* block : {"reliability", "energy", "uncertainty", "prices_per_gpu_hour"}) {
    if (!document.contains(block)) document[block] = base::Json::object();
  }
}

double power_per_gpu(const Energy& energy, const hardware::Cluster& cluster) {
  return energy.power_per_gpu > 0.0 ? energy.power_per_gpu : cluster.power_per_gpu;
}

std::vector<Assumption> assumptions(const Operations& operations, const hardware::Cluster& cluster) {
  std::vector<Assumption> all = reliability_figures(operations.reliability);
  const auto power = cluster.sources.find("power_W_per_gpu");
  all.push_back({"energy.W_per_gpu", power_per_gpu(operations.energy, cluster),
                 power != cluster.sources.end() ? power->second : "the cluster states none"});
  all.push_back(
      {"energy.pue", operations.energy.pue,
       "assumed: between 1.1 of the largest operators and the 1.56 average of Uptime Institute's survey of 2024"});
  all.push_back(
      {"uncertainty.expert_imbalance.p50", operations.uncertainty.imbalance_p50,
       "Loss-Free Balancing, arXiv 2408.15664, table 2: the fullest expert 4 % above the mean over a validation "
       "set"});
  all.push_back({"uncertainty.expert_imbalance.p90", operations.uncertainty.imbalance_p90, "assumed"});
  all.push_back({"uncertainty.failure_factor", operations.uncertainty.failure_factor,
                 "assumed: rates of published runs lie within a factor of about four (docs/budget.md)"});
  for (Assumption& each : all) {
    const bool stated = std::any_of(operations.given.begin(), operations.given.end(),
                                    [&](const std::string& key) { return each.key.starts_with(key); });
    if (stated) each.source = "the plan";
  }
  return all;
}

}  // namespace hourglass::sim
