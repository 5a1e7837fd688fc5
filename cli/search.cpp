#include "planner/search/search.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/mpi.h"
#include "cli/progress.h"
#include "planner/convert/plan_file.h"
#include "planner/search/search_files.h"
#include "reports/html.h"
#include "reports/search.h"
#include "schedules/catalogue.h"

namespace hourglass::cli {

namespace {

Options search_options() {
  Options options;
  options.text("schedules", "A,B,C", "which to try (default: all)");
  options.text("clusters", "A,B", "clusters to try: names (h800,h100) or files (default: the plan's)");
  options.text("gpus", "A,B", "GPU counts to try (default: the plan's)");
  options.text("max-gpus", "N", "try all powers of two of nodes up to N GPUs");
  options.text("max-days", "DAYS", "the plan's training stages must end in this");
  options.text("memory-headroom", "SHARE", "leave this share of a GPU's memory free (default 0)");
  options.text("global-batch", "A,B", "sequences a step to try (default: the plan's)");
  options.text("precisions", "A,B", "bf16, fp8_block, fp8_tensor to try (default: the plan's)");
  options.flag("every-recompute", "try every set of recomputed operators instead of a ladder of eight");
  options.flag("no-bound", "simulate every plan that fits, also where it cannot win");
  options.texts("why-not", "KEY=VALUE",
                "explain why the best plan has not this value: pp=8, schedule=1f1b, ...; may be repeated");
  options.text("shard", "I/N", "do one of N parts (default: from Slurm's or MPI's environment, else all)");
  options.text("results", "FILE", "write JSON Lines there; a file that is there is continued");
  options.words("merge", "FILE...", "the result of all shards' files, nothing is run");
  add_result_format(options, {"plan", "megatron", "layout"});
  add_overrides(options);
  add_html(options);
  return options;
}

std::vector<std::int64_t> counts(const Values& values, const char* name) {
  std::vector<std::int64_t> all;
  if (!values.has(name)) return all;
  for (const std::string& part : split(values.text(name), ',')) {
    const bool digits = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || std::stoll(part) == 0)
      throw base::UsageError(fmt::format("'{}' is no count", base::printable(part)), std::string("--") + name,
                             "give whole numbers, separated by commas");
    all.push_back(std::stoll(part));
  }
  return all;
}

double number(const Values& values, const char* name, double absent) {
  if (!values.has(name)) return absent;
  const std::string text = values.text(name);
  try {
    std::size_t used = 0;
    const double value = std::stod(text, &used);
    if (used == text.size() && value >= 0.0 && value < 1e30) return value;
  } catch (const std::exception&) {
  }
  throw base::UsageError(fmt::format("'{}' is no number from 0 on", base::printable(text)), std::string("--") + name);
}

std::vector<model::Precision> precisions(const Values& values) {
  std::vector<model::Precision> all;
  if (!values.has("precisions")) return all;
  for (const std::string& part : split(values.text("precisions"), ',')) {
    if (part != "bf16" && part != "fp8_block" && part != "fp8_tensor")
      throw base::UsageError(fmt::format("'{}' is no precision", base::printable(part)), "--precisions",
                             base::suggestion(part, {"bf16", "fp8_block", "fp8_tensor"}));
    all.push_back(part == "bf16"        ? model::Precision::bf16
                  : part == "fp8_block" ? model::Precision::fp8_block
                                        : model::Precision::fp8_tensor);
  }
  return all;
}

// The plan names cluster and profile; it does not hold them.
void tell_what_no_plan_holds(const std::vector<std::string>& overrides) {
  for (const std::string& each : overrides) {
    if (!each.starts_with("plan."))
      fmt::print(stderr, "not in the plan: give it --set {} again\n", base::printable(each));
  }
}

planner::SearchOptions read_options(const Values& values) {
  planner::SearchOptions chosen;
  if (values.has("schedules") && values.text("schedules") != "all") {
    chosen.space.schedules = split(values.text("schedules"), ',');
    for (const std::string& name : chosen.space.schedules)
      place_among(schedules::names(), name, "schedule", "--schedules");
  }
  chosen.space.gpus = counts(values, "gpus");
  chosen.space.global_batches = counts(values, "global-batch");
  const std::vector<std::int64_t> most = counts(values, "max-gpus");
  if (!most.empty()) chosen.space.max_gpus = most.front();
  chosen.space.precisions = precisions(values);
  chosen.space.every_recompute = values.has("every-recompute");
  chosen.memory_headroom = number(values, "memory-headroom", 0.0);
  if (chosen.memory_headroom >= 1.0)
    throw base::UsageError(fmt::format("{} is not a share", chosen.memory_headroom), "--memory-headroom",
                           "give at least 0 and less than 1");
  chosen.max_days = number(values, "max-days", 0.0);
  chosen.bound = !values.has("no-bound");
  if (values.has("why-not")) chosen.why_not = values.texts("why-not");
  return chosen;
}

// A name is looked for as if it stood in the plan.
std::vector<sim::Inputs> on_clusters(sim::Inputs& inputs, const std::string& plan, const Values& values,
                                     const std::vector<std::string>& assignments) {
  if (!values.has("clusters")) return {};
  std::vector<sim::Inputs> all;
  for (const std::string& name : split(values.text("clusters"), ',')) {
    const std::string file = base::resolve(base::Config::cluster, name, base::is_path(name) ? "" : plan);
    all.push_back(planner::on_cluster(inputs, file, assignments));
  }
  if (all.empty()) throw base::UsageError("names no cluster", "--clusters", "give for instance h800,h100");
  inputs = all.front();
  all.erase(all.begin());
  return all;
}

// The units of this process, those already in the results file excepted. Empty if another process has the result.
std::vector<planner::UnitResult> run_units(planner::Search& search, const planner::Shard& shard,
                                           const Processes& processes, const std::string& file) {
  std::vector<planner::UnitResult> results;
  std::unique_ptr<planner::ResultsFile> lines;
  std::vector<std::uint64_t> units = planner::units_of(shard, search.units());
  if (!file.empty()) {
    lines = std::make_unique<planner::ResultsFile>(file, search);
    for (const planner::UnitResult& known : lines->done()) {
      const auto found = std::lower_bound(units.begin(), units.end(), known.unit);
      if (found == units.end() || *found != known.unit) continue;
      units.erase(found);
      results.push_back(known);
    }
  }
  const std::size_t before = results.size();
  std::uint64_t simulated = 0;
  ProgressLine progress("search");
  search.run(units, [&](planner::UnitResult result) {
    if (lines) lines->add(result);
    simulated += result.simulated;
    results.push_back(std::move(result));
    const auto done = static_cast<double>(results.size() - before) / static_cast<double>(units.size());
    if (!progress.show(done, fmt::format("{} plans simulated", simulated)))
      throw base::Error("stopped", "search", file.empty() ? "" : "run the same command again to go on");
  });
  if (processes.count() == 1) return results;
  std::string own;
  for (const planner::UnitResult& result : results) own += planner::unit_line(result);
  results.clear();
  for (const std::string& text : processes.gather(own)) {
    for (const std::string& line : split(text, '\n')) results.push_back(planner::unit_from_line(line, "MPI"));
  }
  return processes.rank() == 0 ? planner::without_repeats(std::move(results), search.units(), "MPI") : results;
}

std::string best_as(const std::string& format, const planner::Search& search, const planner::SearchResult& result) {
  const planner::SearchChoice choice = search.space().choice(result.finalists.front().point.id);
  sim::Inputs best = search.inputs_of(choice);
  if (format == "megatron") return planner::megatron_flags(best, result.layers_per_stage);
  if (format == "layout") return planner::layout_string(best, result.layers_per_stage) + "\n";
  best.plan.layers_per_stage = result.layers_per_stage;
  return sim::plan_json(best.plan).dump(2) + "\n";
}

}  // namespace

int search(const Invocation& invocation) {
  Values values;
  const Usage usage = {
      "hourglass search PLAN [options]",
      "Tries every legal plan for the model: parallelism, schedule, batch, recomputation, SMs, clusters; "
      "explains the cheapest that fits.",
      {"plan"}};
  if (!parse(invocation, usage, search_options(), values)) return 0;
  const std::string format = format_of(values, result_formats({"plan", "megatron", "layout"}));
  const planner::SearchOptions chosen = read_options(values);
  const std::string file = required(values, "plan", "PLAN");
  const Processes processes;
  planner::Shard shard = processes.count() > 1 ? planner::Shard{processes.rank(), processes.count(), "MPI"}
                                               : planner::shard_from_environment();
  if (values.has("shard")) {
    if (processes.count() > 1) throw base::UsageError("has no place under MPI", "--shard", "leave it out");
    shard = planner::parse_shard(values.text("shard"));
  }
  sim::Inputs inputs = sim::load_inputs(file, overrides(values), true);
  inputs.provenance.argv = invocation.argv;
  const std::vector<sim::Inputs> others =
      on_clusters(inputs, base::resolve(base::Config::plan, file), values, overrides(values));
  planner::Search search(planner::space_of(inputs, others, chosen.space), chosen);
  if (chosen.max_days > 0.0 && search.training_tokens() <= 0.0)
    throw base::UsageError("the plan has no training stages", "--max-days", "add stages to it");
  std::vector<planner::UnitResult> units;
  if (values.has("merge")) {
    units = planner::merged(values.texts("merge"), search);
    shard = {};
  } else {
    std::string results = values.has("results") ? values.text("results") : "";
    if (!results.empty() && processes.count() > 1) results += fmt::format(".{}", processes.rank());
    units = run_units(search, shard, processes, results);
    if (processes.count() > 1) {
      if (processes.rank() != 0) return 0;
      shard = {};
    }
  }
  const planner::SearchResult result = search.conclude(std::move(units));
  if (format == "plan") tell_what_no_plan_holds(inputs.overrides);
  write_html(values, [&] { return reports::search_html(inputs, search, result, shard); });
  const auto best = [&] { return best_as(format, search, result); };
  write_result(format, {[&] { return reports::search_text(search, result, file, shard); },
                        [&] { return reports::search_json(search, result, inputs.provenance, shard); },
                        {"front"},
                        {{"plan", best}, {"megatron", best}, {"layout", best}}});
  return 0;
}

}  // namespace hourglass::cli
