#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"
#include "schedules/catalogue.h"
#include "schedules/dependencies.h"
#include "sim/engine/engine.h"
#include "sim/training/blocks.h"
#include "sim/training/lower.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

const std::string plans = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/";

sim::Inputs inputs_with(const std::vector<std::string>& overrides) {
  return sim::load_inputs(plans + "deepseek-v3.json", overrides);
}

// A small step of the reference model: a schedule, few micro-batches.
sim::Inputs small(const std::string& schedule, std::int64_t micro_batches) {
  return inputs_with({"plan.schedule=" + schedule, "plan.global_batch=" + std::to_string(micro_batches * 128)});
}

struct Lowered {
  schedules::Schedule schedule;
  sim::StageLayout layout;
  sim::Lowered lowered;
  sim::Timeline timeline;
};

Lowered lower(const sim::Inputs& inputs) {
  const sim::UnitPrices prices(inputs);
  Lowered out;
  out.schedule = sim::plan_schedule(inputs.plan);
  out.layout = sim::candidate_layouts(inputs, out.schedule, prices).front();
  sim::BlockLibrary blocks(out.layout.stages, prices);
  out.lowered = sim::lower(inputs, out.schedule, out.layout, blocks);
  out.timeline = sim::run(out.lowered.graph);
  return out;
}

}  // namespace

TEST_CASE("on every rank the parts of the time add up to the step") {
  for (const std::string& name : schedules::names()) {
    CAPTURE(name);
    const sim::Result result = sim::simulate(small(name, 64));
    for (const sim::RankResult& rank : result.ranks) {
      const double sum =
          rank.forward_s + rank.backward_s + rank.weight_s + rank.overlapped_s + rank.optimizer_s + rank.bubble_s;
      CHECK(sum == doctest::Approx(result.step_time_s).epsilon(1e-9));
      CHECK(rank.bubble_s >= 0.0);
      CHECK(rank.exposed_communication_s >= 0.0);
    }
    CHECK(result.tokens_per_step == 64.0 * 128.0 * 4096.0);
  }
}

TEST_CASE("a block begins exactly when the rank is free and its last input is there") {
  for (const std::string name : {"1f1b", "zb-h1", "dualpipe", "interleaved-overlap"}) {
    CAPTURE(name);
    const sim::Inputs inputs = small(name, 32);
    const Lowered all = lower(inputs);
    const base::Time message = sim::message_time(inputs);
    const schedules::Dependencies dependencies = schedules::derive_dependencies(all.schedule);
    std::vector<sim::ActionTasks> flat;
    for (const auto& rank : all.lowered.actions) flat.insert(flat.end(), rank.begin(), rank.end());
    for (std::size_t r = 0; r < all.lowered.actions.size(); ++r) {
      for (std::uint32_t i = dependencies.rank_begin[r]; i < dependencies.rank_begin[r + 1]; ++i) {
        const base::Time begin = all.timeline.end[flat[i].begin];
        // A message may also queue behind another one of its sender, so what is tight is a bound from below.
        base::Time earliest = i > dependencies.rank_begin[r] ? all.timeline.end[flat[i - 1].end] : 0;
        for (std::uint32_t d = dependencies.input_begin[i]; d < dependencies.input_begin[i + 1]; ++d) {
          const schedules::Dependency& input = dependencies.inputs[d];
          earliest = std::max(earliest, all.timeline.end[flat[input.producer].end] + (input.remote ? message : 0));
        }
        REQUIRE(begin >= earliest);
        REQUIRE(begin <= earliest + message);
      }
    }
  }
}

TEST_CASE("1f1b holds p - r micro-batches on rank r") {
  const sim::Inputs inputs = small("1f1b", 32);
  const Lowered all = lower(inputs);
  const auto peaks = sim::measure_memory(inputs, all.schedule, all.layout, all.lowered, all.timeline);
  for (std::size_t rank = 0; rank < peaks.size(); ++rank) {
    const double one = sim::stage_activations(inputs, all.layout, rank).total;
    CHECK(peaks[rank].memory.activations == doctest::Approx(one * static_cast<double>(16 - rank)).epsilon(1e-12));
  }
}

TEST_CASE("dualpipe holds two copies of the parameters, and shards the optimizer over both") {
  const sim::Result once = sim::simulate(small("1f1b", 32)), twice = sim::simulate(small("dualpipe", 32));
  double parameters_once = 0.0, parameters_twice = 0.0, optimizer_once = 0.0, optimizer_twice = 0.0;
  for (std::size_t rank = 0; rank < 16; ++rank) {
    parameters_once += once.ranks[rank].memory.parameters;
    parameters_twice += twice.ranks[rank].memory.parameters;
    optimizer_once += once.ranks[rank].memory.optimizer;
    optimizer_twice += twice.ranks[rank].memory.optimizer;
  }
  CHECK(parameters_twice == doctest::Approx(2.0 * parameters_once));
  CHECK(optimizer_twice == doctest::Approx(optimizer_once));
}

TEST_CASE("the parameters of all ranks are the model's, the MTP module's included and shared parts once") {
  const sim::Inputs inputs = small("1f1b", 32);
  const Lowered all = lower(inputs);
  double total = 0.0;
  for (std::size_t stage = 0; stage < all.layout.stages.size(); ++stage)
    total += sim::stage_parameters(inputs, all.layout, stage).total();
  // With one copy, the last stage holds the embedding that its MTP module shares with the first.
  const double expected = model::total_parameters(inputs.model) + model::mtp_parameters(inputs.model).total() +
                          model::embedding_parameters(inputs.model);
  CHECK(total == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("every layer sits on one stage") {
  for (const std::string name : {"1f1b", "zb-v", "interleaved-1f1b", "dualpipe"}) {
    const Lowered all = lower(small(name, 32));
    std::int64_t layers = 0;
    for (const std::int64_t count : all.layout.layers) layers += count;
    CHECK(layers == 61);
  }
}

TEST_CASE("given layers are taken as given") {
  const sim::Inputs inputs = inputs_with({"plan.layers_per_stage=[4,4,4,4,4,4,4,4,4,4,4,4,4,4,3,2]"});
  const sim::Result result = sim::simulate(inputs);
  CHECK(result.layers_per_stage[14] == 3);
  CHECK(result.layers_per_stage[15] == 2);
}

TEST_CASE("the same inputs give the same step, bit for bit") {
  CHECK(sim::simulate(small("dualpipe", 40)).step_time_s == sim::simulate(small("dualpipe", 40)).step_time_s);
}

TEST_CASE("slower costs never shorten the step") {
  const sim::Inputs inputs = small("dualpipe", 32);
  const double step = sim::simulate(inputs).step_time_s;
  for (const hardware::ClassOrigin& each : hardware::origins(inputs.profile)) {
    CAPTURE(each.name);
    sim::Inputs slow = inputs;
    slow.profile = hardware::slowed(inputs.profile, each.name, 1.3);
    CHECK(sim::simulate(slow).step_time_s >= step);
  }
}

TEST_CASE("recomputing more takes longer and holds less") {
  const auto with = [](const std::string& recompute) {
    return sim::simulate(inputs_with({"plan.schedule=1f1b", "plan.global_batch=4096", "plan.recompute=" + recompute}));
  };
  const sim::Result none = with("[\"none\"]"), some = with("[\"norm\",\"mla_up_proj\",\"swiglu\"]"),
                    full = with("[\"full\"]");
  CHECK(none.step_time_s < some.step_time_s);
  CHECK(some.step_time_s < full.step_time_s);
  CHECK(none.ranks[0].memory.activations > some.ranks[0].memory.activations);
  CHECK(some.ranks[0].memory.activations > full.ranks[0].memory.activations);
}

TEST_CASE("a schedule that cannot run the plan's micro-batches says its rule") {
  CHECK_THROWS_AS(sim::simulate(small("dualpipe", 8)), base::Error);
}

// deepseek-ai/profile-data train.json @4496024: one DualPipe pair of four MoE layers on an H800 takes 129.0 ms; its
// kernels' classes set the profile, so this is agreement in sample, not a prediction. Router and launch gaps are what
// is missing.
TEST_CASE("a pair of four MoE layers takes what DeepSeek's trace shows, within 5 %") {
  sim::Inputs inputs = small("dualpipe", 32);
  const sim::UnitPrices prices(inputs);
  sim::StageLayout layout;
  layout.stages.assign(16, std::vector<sim::Unit>(4, sim::layer_unit(model::expert_kind(inputs.model))));
  sim::BlockLibrary blocks(layout.stages, prices);
  const double pair = base::seconds(sim::duration(blocks.of({schedules::Kind::overlapped, 3, 0, 4, 1})));
  CHECK(pair == doctest::Approx(0.1290).epsilon(0.05));
}
