#include <doctest/doctest.h>

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
  const bool moe = inputs.model.moe.routed_experts > 0;
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
  const sim::ScheduleTraits traits{1, program.copies(), program.balance().pairs, program.balance().fused};
  const base::Time step = sim::least_step(inputs, contents, parameters, traits, costs);
  CHECK(step <= fast.step);
  CHECK(sim::least_memory_bytes(inputs, contents, parameters, program, costs) <=
        fast.largest_memory_bytes * (1.0 + 1e-9));
  return base::seconds(step) / base::seconds(fast.step);
}

void compare(const std::string& file, int wanted) {
  sim::Inputs inputs = sim::load_inputs(plans + file, {"plan.contention=false"});
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
  MESSAGE(file << ": the bound is " << tightness / compared << " of the step");
  CHECK(compared == wanted);
}

}  // namespace

TEST_CASE("the fast step is simulate()'s to the picosecond, on random plans of an MoE model") {
  compare("deepseek-v3.json", 150);
}

TEST_CASE("and of a dense model") { compare("llama-3.1-405b.json", 100); }

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
