#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/error.h"
#include "base/json.h"
#include "planner/convert/plan_file.h"
#include "planner/search/axes.h"
#include "planner/search/search.h"
#include "planner/search/search_engine.h"
#include "planner/search/search_files.h"
#include "planner/search/search_sanity.h"
#include "planner/validation/validate.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

const std::string plans = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/";

sim::Inputs small() {
  return sim::load_inputs(
      plans + "llama-3.1-405b.json",
      {"plan.model=../models/llama-3.1-8b.json", "plan.gpus=64", "plan.global_batch=128", "plan.tensor_parallel=2",
       "plan.pipeline_parallel=4", "plan.schedule=1f1b", "plan.chunks=0"});
}

planner::SearchOptions with_schedules(std::vector<std::string> names) {
  planner::SearchOptions options;
  options.space.schedules = std::move(names);
  return options;
}

std::vector<planner::UnitResult> run(planner::Search& search, const std::vector<std::uint64_t>& units) {
  std::vector<planner::UnitResult> results;
  search.run(units, [&](planner::UnitResult result) { results.push_back(std::move(result)); });
  return results;
}

std::vector<std::uint64_t> all_units(const planner::Search& search) { return planner::units_of({}, search.units()); }

std::string told(const planner::SearchResult& result) {
  std::string out = std::to_string(result.bounded) + " " + std::to_string(result.simulated);
  for (const planner::SearchPoint& point : result.front)
    out += " " + std::to_string(point.id) + ":" + std::to_string(point.step);
  return out;
}

std::string scratch(const std::string& name) {
  return (std::filesystem::temp_directory_path() / (name + std::to_string(std::random_device()()))).string();
}

}  // namespace

TEST_CASE("what a search says of a plan is what simulating it says") {
  const sim::Inputs inputs = small();
  planner::Search search(planner::space_of(inputs, {}, {}), {});
  const planner::SearchResult result = search.conclude(run(search, all_units(search)));
  CHECK(result.illegal + result.too_large + result.bounded + result.simulated == result.plans);
  for (const planner::SearchPoint& point : result.front) {
    sim::Inputs again = inputs;
    again.plan = planner::apply(inputs.plan, search.space().choice(point.id));
    again.plan.contention = false;
    sim::complete_parallelism(again.plan, again.model, again.cluster, "");
    const sim::Result simulated = sim::simulate(again);
    CHECK(simulated.step_time_s == base::seconds(point.step));
    CHECK(simulated.largest_memory_bytes() == doctest::Approx(point.peak_memory_bytes).epsilon(1e-14));
    CHECK(point.peak_memory_bytes <= inputs.cluster.memory_bytes);
  }
}

TEST_CASE("bounds leave the front as it is") {
  const sim::Inputs inputs = small();
  planner::SearchOptions every = with_schedules({"1f1b", "interleaved-1f1b", "zb-h1"});
  every.bound = false;
  const planner::SearchResult all = planner::search(inputs, every);
  every.bound = true;
  const planner::SearchResult some = planner::search(inputs, every);
  CHECK(some.simulated < all.simulated);
  CHECK(some.bounded > 0);
  REQUIRE(some.front.size() == all.front.size());
  for (std::size_t i = 0; i < all.front.size(); ++i) CHECK(some.front[i].id == all.front[i].id);
}

TEST_CASE("the numbers of a plan are legal if and only if they can be completed") {
  const sim::Inputs inputs = sim::load_inputs(plans + "deepseek-v3.json", {});
  const planner::Space space = planner::space_of(inputs, {}, {});
  std::mt19937_64 random(5);
  for (int i = 0; i < 2000; ++i) {
    const planner::SearchChoice choice = space.choice(random() % space.size());
    if (choice.expert_tensor > choice.tensor) continue;
    sim::Plan plan = planner::apply(inputs.plan, choice), completed = plan;
    bool possible = true;
    try {
      sim::complete_parallelism(completed, inputs.model, inputs.cluster, "");
    } catch (const base::Error&) {
      possible = false;
    }
    CHECK(planner::legal(plan, inputs) == possible);
    if (possible) CHECK(plan.parallel.data == completed.parallel.data);
  }
}

TEST_CASE("shards, in any number, add up to the whole") {
  const sim::Inputs inputs = small();
  const planner::SearchOptions options = with_schedules({"1f1b", "zb-h1"});
  planner::Search whole(planner::space_of(inputs, {}, options.space), options);
  const std::string expected = told(whole.conclude(run(whole, all_units(whole))));
  for (const std::int64_t count : {2, 5}) {
    std::vector<planner::UnitResult> results;
    for (std::int64_t i = 0; i < count; ++i) {
      planner::Search part(planner::space_of(inputs, {}, options.space), options);
      for (planner::UnitResult& each : run(part, planner::units_of({i, count, ""}, part.units())))
        results.push_back(std::move(each));
    }
    CHECK(told(whole.conclude(results)) == expected);
  }
}

TEST_CASE("a results file that was cut off is continued, with nothing lost and nothing twice") {
  const planner::SearchOptions options = with_schedules({"1f1b", "zb-h1"});
  planner::Search search(planner::space_of(small(), {}, options.space), options);
  const std::vector<std::uint64_t> units = all_units(search);
  const std::vector<planner::UnitResult> results = run(search, units);
  REQUIRE(results.size() > 3);
  const std::string path = scratch("hourglass-search-");
  {
    planner::ResultsFile file(path, search);
    for (std::size_t i = 0; i < 3; ++i) file.add(results[i]);
  }
  std::ofstream(path, std::ios::app) << R"({"unit":7,"pl)";  // killed while it wrote
  {
    planner::ResultsFile file(path, search);
    REQUIRE(file.done().size() == 3);
    CHECK(planner::unit_line(file.done()[1]) == planner::unit_line(results[1]));
    CHECK_THROWS_AS(planner::merged({path}, search), base::Error);  // units are missing
    for (std::size_t i = 3; i < results.size(); ++i) file.add(results[i]);
  }
  const std::vector<planner::UnitResult> merged = planner::merged({path, path}, search);
  CHECK(merged.size() == units.size());
  CHECK(told(search.conclude(merged)) == told(search.conclude(results)));
  planner::SearchOptions others = with_schedules({"gpipe"});
  planner::Search other(planner::space_of(small(), {}, others.space), others);
  CHECK_THROWS_AS(planner::ResultsFile(path, other), base::Error);
  std::filesystem::remove(path);
}

TEST_CASE("a search that nothing can satisfy is an error") {
  planner::SearchOptions options = with_schedules({"1f1b"});
  options.memory_headroom = 0.999;
  CHECK_THROWS_AS(planner::search(small(), options), base::Error);
}

TEST_CASE("questions name an axis and a value") {
  const planner::Space space = planner::space_of(small(), {}, {});
  CHECK(planner::restricted(space, "pp=8").pipelines == std::vector<std::int64_t>{8});
  CHECK(planner::restricted(space, "pipeline_parallel=8").pipelines == std::vector<std::int64_t>{8});
  CHECK(planner::restricted(space, "pp=7").pipelines == std::vector<std::int64_t>{7});
  CHECK(planner::restricted(space, "schedule=interleaved-1f1b").schedules.size() > 1);
  CHECK(planner::restricted(space, "schedule=interleaved-1f1b-v4").schedules.size() == 1);
  for (const char* wrong : {"pp", "pq=3", "schedule=1f2b", "pp=0", "precision=fp4"})
    CHECK_THROWS_AS(planner::restricted(space, wrong), base::UsageError);
}

TEST_CASE("a plan is written as a layout string, as flags and as a file that reads back") {
  sim::Inputs inputs = small();
  CHECK(planner::layout_string(inputs, {7, 8, 8, 9}) == "Ettttttt|(tttttttt|)*2tttttttttL");
  const std::string flags = planner::megatron_flags(inputs, {7, 8, 8, 9});
  CHECK(flags.find("--tensor-model-parallel-size 2\n") != std::string::npos);
  CHECK(flags.find("--pipeline-model-parallel-layout \"Ettttttt|") != std::string::npos);
  inputs.plan.layers_per_stage = {7, 8, 8, 9};
  base::Json document = sim::plan_json(inputs.plan);
  document["model"] = std::filesystem::absolute(inputs.plan.model_file).string();
  document["cluster"] = std::filesystem::absolute(inputs.plan.cluster_file).string();
  document["profile"] = std::filesystem::absolute(inputs.plan.profile_file).string();
  const std::string path = scratch("hourglass-plan-");
  std::ofstream(path) << document.dump();
  CHECK(sim::simulate(sim::load_inputs(path, {})).step_time_s == sim::simulate(inputs).step_time_s);
  std::filesystem::remove(path);
}

TEST_CASE("a shard is read from the words of a launcher or a user") {
  CHECK(planner::parse_shard("2/8").index == 2);
  CHECK(planner::parse_shard("2/8").count == 8);
  for (const char* wrong : {"8/8", "-1/2", "1", "a/b", "1/0", "1/2/3"})
    CHECK_THROWS_AS(planner::parse_shard(wrong), base::UsageError);
}

TEST_CASE("published layouts among all of their space: one that is nearly the best, one that does not fit") {
  const std::string configs = std::string(HOURGLASS_SOURCE_DIR) + "/configs";
  base::Json runs = base::load_json(configs + "/published/runs.json").value;
  base::Json few = base::Json::array();
  for (const base::Json& row : runs["rows"]) {
    if (row["id"] == "e2e0384" || row["id"] == "e2e0601") few.push_back(row);
  }
  few.push_back(few.front());  // the same plan from another container counts once
  runs["rows"] = few;
  const std::string file = scratch("runs") + ".json";
  std::ofstream(file) << runs.dump();
  const std::vector<planner::SanityRow> rows = planner::search_sanity(file, configs);
  std::filesystem::remove(file);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].id == "e2e0384");
  CHECK(rows[0].refused.empty());
  CHECK(rows[0].best_s > 0.0);
  CHECK(rows[0].best_s <= rows[0].step_s);
  CHECK(rows[0].step_s < 1.1 * rows[0].best_s);
  CHECK((rows[0].faster == 0) == (rows[0].best_s == rows[0].step_s));
  CHECK(rows[0].faster < rows[0].simulated / 10);
  CHECK(rows[1].refused.find("GiB") != std::string::npos);
}

TEST_CASE(
    "a file without a list of runs is refused; rows that are none, or too many ways of parallelism, are left out") {
  const std::string configs = std::string(HOURGLASS_SOURCE_DIR) + "/configs", file = scratch("runs") + ".json";
  for (const char* text : {"5", "{}", R"({"rows": 5})"}) {
    std::ofstream(file) << text;
    CHECK_THROWS_WITH_AS(planner::published_runs(file, configs), doctest::Contains("no list of runs"), base::Error);
  }
  std::ofstream(file)
      << R"([5, null, {"model": "Llama 3.1 8B", "hardware": "H100", "gpus": 8, "MBS": 1, "GBS": 8, "seq": 4096,
                             "precision": "bf16", "TP": 9999999, "PP": 9999999, "CP": 9999999}])";
  CHECK(planner::published_runs(file, configs).empty());
  std::filesystem::remove(file);
}
