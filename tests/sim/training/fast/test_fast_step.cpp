#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "sim/training/fast/step_bounds.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

const std::string plans = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/";

std::int64_t pick(std::mt19937_64& random, std::initializer_list<std::int64_t> values) {
  return values.begin()[random() % values.size()];
}

// A plan drawn from everything that a search varies; false where it is illegal.
bool randomise(sim::Inputs& inputs, std::mt19937_64& random) {
  sim::Plan& plan = inputs.plan;
  const auto names = schedules::names();
  plan.schedule = names[random() % names.size()];
  const schedules::CatalogueEntry& entry = schedules::catalogue_entry(plan.schedule);
  plan.chunks = entry.takes_chunks ? static_cast<int>(pick(random, {2, 3, 4})) : 0;
  const bool moe = model::experts_of(inputs.model) != nullptr;
  plan.parallel = {};
  plan.parallel.tensor = pick(random, {1, 2, 8});
  plan.parallel.pipeline = pick(random, {1, 2, 4, 8, 16});
  plan.parallel.context = pick(random, {1, 1, 2});
  plan.parallel.expert = moe ? pick(random, {1, 8, 32, 64}) : 1;
  plan.parallel.expert_tensor = moe ? pick(random, {1, 1, 2}) : 1;
  plan.micro_batch.sequences = pick(random, {1, 2});
  plan.gpus = 512;
  plan.global_batch = plan.gpus * pick(random, {1, 2, 3});
  plan.precision = static_cast<model::Precision>(random() % 3);
  plan.recompute = {};
  (random() % 2 == 0 ? plan.recompute.full : plan.recompute.norm) = random() % 2 == 0;
  plan.communication_sms = pick(random, {8, 20});
  plan.overlap_weight_gradients = random() % 2 == 0;
  plan.layers_per_stage.clear();
  try {
    sim::complete_parallelism(plan, inputs.model, inputs.cluster, "");
  } catch (const base::Error&) {
    return false;
  }
  return plan.micro_batches() * plan.parallel.pipeline <= 2048;
}

// Bounds that a search asks before it splits the layers. Returns the bound of the step over the step.
double check_bounds(const sim::Inputs& inputs, const sim::FastStep& fast) {
  const sim::StepProgram program(sim::plan_schedule(inputs.plan));
  const sim::ContentTable contents(inputs);
  sim::StepCosts costs(inputs, contents);
  const std::vector<model::ParameterCount> parameters = sim::content_parameters(inputs, contents);
  const schedules::Traits traits{1, program.copies(), program.balance().pairs, program.balance().fused};
  const base::Time step = sim::least_step(inputs, contents, parameters, traits, costs);
  CHECK(step <= fast.step);
  CHECK(sim::least_memory_bytes(inputs, contents, parameters, program, costs) <=
        fast.largest_memory_bytes * (1.0 + 1e-9));
  return base::seconds(step) / base::seconds(fast.step);
}

sim::Inputs load(const std::string& file) { return sim::load_inputs(plans + file, {"plan.contention=false"}); }

// DeepSeek-V3's widths with three kinds of layer in turn: latent attention before a dense MLP, grouped-query attention
// before experts, and before a dense MLP. The MTP module has a layer of the last kind.
sim::Inputs hybrid(std::int64_t layers) {
  sim::Inputs inputs = load("deepseek-v3.json");
  const model::Mixer latent = inputs.model.kinds[0].mixer, grouped = model::GroupedQueryAttention{128, 8, 128};
  const model::Mlp dense = inputs.model.kinds[0].mlp, experts = inputs.model.kinds[1].mlp;
  const std::vector<model::LayerSpec> turns = {{latent, dense}, {grouped, experts}, {grouped, dense}};
  std::vector<model::LayerSpec> all;
  for (std::int64_t i = 0; i < layers; ++i) all.push_back(turns[static_cast<std::size_t>(i) % turns.size()]);
  model::set_layers(inputs.model, all);
  return inputs;
}

void compare(const std::string& name, sim::Inputs inputs, int wanted) {
  std::mt19937_64 random(7);
  int compared = 0;
  double tightness = 0.0;
  for (int tries = 0; compared < wanted && tries < 100 * wanted; ++tries) {
    if (!randomise(inputs, random)) continue;
    CAPTURE(inputs.plan.schedule);
    CAPTURE(inputs.plan.parallel.pipeline);
    sim::Result slow;
    try {
      slow = sim::simulate(inputs);
    } catch (const base::Error& error) {
      CHECK_THROWS_AS(sim::fast_step(inputs), base::Error);
      continue;
    }
    const sim::FastStep fast = sim::fast_step(inputs);
    CHECK(base::seconds(fast.step) == slow.step_time_s);
    CHECK(fast.largest_memory_bytes == doctest::Approx(slow.largest_memory_bytes()).epsilon(1e-14));
    CHECK(fast.layers_per_stage == slow.layers_per_stage);
    tightness += check_bounds(inputs, fast);
    ++compared;
  }
  MESSAGE(name << ": the bound is " << tightness / compared << " of the step");
  CHECK(compared == wanted);
}

}  // namespace

TEST_CASE("the fast step is simulate()'s to the picosecond, on random plans of an MoE model") {
  compare("DeepSeek-V3", load("deepseek-v3.json"), 150);
}

TEST_CASE("and of a dense model") { compare("Llama 405B", load("llama-3.1-405b.json"), 100); }

TEST_CASE("and of a model whose layers take turns, and of one without any order") {
  sim::Inputs inputs = hybrid(50);
  compare("in turns", inputs, 60);
  std::mt19937_64 random(5);
  std::shuffle(inputs.model.layers.begin(), inputs.model.layers.end(), random);
  compare("shuffled", inputs, 60);
}

TEST_CASE(
    "a step of three kinds of layer is the same folded and GPU by GPU, and, without contention, on the fast path") {
  sim::Inputs inputs = hybrid(14);
  sim::Plan& plan = inputs.plan;
  plan.gpus = 64, plan.global_batch = 128;
  plan.parallel = {2, 1, 8, 1, 4, 0};
  plan.layers_per_stage.clear();
  sim::SimulateOptions every_gpu;
  every_gpu.fold = sim::Fold::off;
  for (const char* schedule : {"dualpipe", "1f1b", "zb-h1"}) {
    CAPTURE(schedule);
    plan.schedule = schedule;
    sim::complete_parallelism(plan, inputs.model, inputs.cluster, "");
    plan.contention = true;
    const sim::Result folded = sim::simulate(inputs), whole = sim::simulate(inputs, nullptr, every_gpu);
    CHECK(whole.simulated_gpus == 64);
    CHECK(folded.simulated_gpus == 4);
    CHECK(whole.step_time_s == folded.step_time_s);
    CHECK(whole.largest_memory_bytes() == folded.largest_memory_bytes());
    plan.contention = false;
    const sim::Result alone = sim::simulate(inputs);
    const sim::FastStep fast = sim::fast_step(inputs);
    CHECK(base::seconds(fast.step) == alone.step_time_s);
    CHECK(fast.largest_memory_bytes == doctest::Approx(alone.largest_memory_bytes()).epsilon(1e-14));
    CHECK(fast.layers_per_stage == alone.layers_per_stage);
    CHECK(fast.layers_per_stage == folded.layers_per_stage);
  }
}

TEST_CASE("stages with the same units in the same order have one content, and no others have") {
  sim::Inputs inputs = hybrid(17);
  for (int order = 0; order < 2; ++order) {
    const sim::ContentTable contents(inputs);
    std::map<std::vector<sim::Unit>, sim::ContentTable::Id> known;
    for (std::int64_t begin = 0; begin <= 17; ++begin) {
      for (std::int64_t end = begin; end <= 17; ++end) {
        for (const auto& [first, last] : {std::pair(false, false), {begin == 0, false}, {false, end == 17}}) {
          const sim::ContentTable::Id id = contents.id(begin, end, first, last);
          const std::vector<sim::Unit> units = contents.units(id);
          CHECK(known.try_emplace(units, id).first->second == id);
          std::vector<sim::Unit> layers;
          for (std::int64_t i = begin; i < end; ++i)
            layers.push_back(sim::layer_unit(inputs.model.layers[static_cast<std::size_t>(i)]));
          CHECK(std::equal(layers.begin(), layers.end(), units.begin() + (first ? 1 : 0)));
          CHECK(contents.is_first(id) == first);
          CHECK(contents.is_last(id) == last);
        }
      }
    }
    CHECK(known.size() == contents.size() - 1);  // all but the whole model
    std::mt19937_64 random(11);
    std::shuffle(inputs.model.layers.begin(), inputs.model.layers.end(), random);
  }
  // Dense layers before MoE layers: a content for every pair of counts, and one for every first and last stage.
  CHECK(sim::ContentTable(load("deepseek-v3.json")).size() == 4 * 59 + 2 * 62 + 1);
}

TEST_CASE("the layers of each kind add up over the stages, and their parameters to the model's") {
  const sim::Inputs inputs = hybrid(20);
  const sim::ContentTable contents(inputs);
  const std::vector<model::ParameterCount> parameters = sim::content_parameters(inputs, contents);
  for (const std::vector<std::int64_t>& counts :
       std::vector<std::vector<std::int64_t>>{{20}, {5, 5, 5, 5}, {1, 2, 3, 4, 10, 0}, {7, 1, 12}}) {
    std::map<sim::Unit, std::int64_t> units;
    double total = 0.0;
    for (const sim::ContentTable::Id id : contents.of(counts)) {
      total += parameters[static_cast<std::size_t>(id)].total();
      for (const sim::Unit unit : contents.units(id)) ++units[unit];
    }
    std::vector<std::int64_t> of_kinds = model::layers_of_kinds(inputs.model);
    CHECK(of_kinds == contents.counts());
    ++of_kinds[static_cast<std::size_t>(inputs.model.layers.back())];  // the MTP module's
    for (int kind = 0; kind < inputs.model.kind_count(); ++kind)
      CHECK(units[sim::layer_unit(kind)] == of_kinds[static_cast<std::size_t>(kind)]);
    // The MTP module's embedding is a copy wherever the model's own is on another stage.
    const double copies = counts.size() > 1 ? model::embedding_parameters(inputs.model) : 0.0;
    CHECK(total == model::total_parameters(inputs.model) + model::mtp_parameters(inputs.model).total() + copies);
  }
}

TEST_CASE("eight plans in one sweep are the eight alone") {
  const sim::StepProgram program(schedules::generate("zb-h1", {4, 9, 0}));
  std::mt19937_64 random(3);
  std::vector<sim::Lanes> durations(program.blocks().size()), ends(4);
  sim::Lanes message;
  for (std::size_t l = 0; l < sim::sweep_lanes; ++l) {
    message.at[l] = static_cast<base::Time>(random() % 1000);
    for (sim::Lanes& block : durations) block.at[l] = static_cast<base::Time>(random() % 5000);
  }
  program.sweep(durations.data(), message, ends.data());
  for (std::size_t l = 0; l < sim::sweep_lanes; ++l) {
    std::vector<base::Time> own, alone(4);
    for (const sim::Lanes& block : durations) own.push_back(block.at[l]);
    program.sweep_one(own.data(), message.at[l], alone.data());
    for (std::size_t r = 0; r < 4; ++r) CHECK(ends[r].at[l] == alone[r]);
  }
}

TEST_CASE("a plan with its own network is simulated as a whole") {
  const sim::Inputs inputs =
      sim::load_inputs(plans + "deepseek-v3.json",
                       {"plan.gpus=128", "plan.global_batch=128", "plan.pipeline_parallel=4", "plan.expert_parallel=32",
                        "plan.schedule=1f1b", R"(plan.network={"expert_skew":0.2})"});
  CHECK(base::seconds(sim::fast_step(inputs).step) == sim::simulate(inputs).step_time_s);
}
