// Every schedule must give the loss and the gradients of the sequential run, and an order that cannot run must end.
#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/run/executor.h"
#include "kernels/run/predict.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/formats.h"
#include "tests/kernels/math/finite_difference.h"

using namespace hourglass;
using namespace hourglass::kernels;
using schedules::Kind;

namespace {

// The whole architecture, a few thousand parameters.
ModelShape tiny(std::vector<Index> layers_per_stage) {
  ModelShape shape;
  shape.length = 6, shape.sequences = 2, shape.hidden = 12, shape.vocabulary = 17;
  shape.heads = 2, shape.kv_heads = 1, shape.head_dim = 4;
  shape.nope_dim = 3, shape.rope_dim = 2, shape.v_dim = 4, shape.q_rank = 6, shape.kv_rank = 5;
  shape.dense_intermediate = 10, shape.expert_intermediate = 4, shape.shared_intermediate = 5;
  shape.router = {8, 2, 4, 2, 2.5};
  shape.layers_per_stage = std::move(layers_per_stage);
  return shape;
}

// 2, 1, 0, 1, 2, ...: uneven, with stages that only pass on.
std::vector<Index> uneven(int stages) {
  std::vector<Index> layers;
  for (int s = 0; s < stages; ++s) layers.push_back(std::vector<Index>{2, 1, 0, 1}[static_cast<std::size_t>(s % 4)]);
  return layers;
}

template <class T>
void check_same(const schedules::Schedule& schedule, const ModelShape& shape) {
  CAPTURE(schedule.name);
  CAPTURE(schedule.ranks);
  CAPTURE(schedule.micro_batches);
  const auto model = PipelineModel<T>::make(shape, 3);
  const auto batch = random_batch(shape, schedule.micro_batches, 4);
  SequentialStep<T> reference = run_sequentially(model, batch);
  Executor<T> executor(model, schedule, batch);
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second in the memory of the first
    ExecutedStep<T> step = executor.run();
    CHECK(step.losses == reference.losses);  // bit for bit
    CHECK(step.loss == reference.loss);
    const GradientDifference difference =
        compare_gradients(reference, step.gradients, gradient_terms(shape, schedule.micro_batches));
    CAPTURE(difference.worst);
    CHECK(difference.largest_of_tolerance <= 1.0);
    CHECK(difference.tensors > 10 * schedule.stages);
    const schedules::Evaluation evaluation = schedules::evaluate(schedule, {});
    for (std::size_t r = 0; r < step.timeline.actions.size(); ++r) {
      CHECK(step.timeline.actions[r].size() == schedule.actions[r].size());
      CHECK(step.timeline.peak_saved[r] * schedule.ranks ==
            doctest::Approx(evaluation.ranks[r].peak_activations * schedule.stages));
    }
  }
}

std::string fault_of(const schedules::Schedule& schedule) {
  const ModelShape shape = tiny(std::vector<Index>(static_cast<std::size_t>(schedule.stages), 1));
  const auto model = PipelineModel<float>::make(shape, 3);
  const auto batch = random_batch(shape, schedule.micro_batches, 4);
  try {
    Executor<float>(model, schedule, batch).run();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

schedules::Schedule one_stage_each(int ranks, int micro_batches) {
  schedules::Schedule schedule{"hand-made", ranks, micro_batches, ranks, 1, {{}}, {}};
  for (int r = 0; r < ranks; ++r) schedule.placement[0].push_back(r);
  schedule.actions.resize(static_cast<std::size_t>(ranks));
  return schedule;
}

}  // namespace

TEST_CASE("the sequential run's gradients against finite differences, through every kind of stage") {
  for (const AttentionChoice attention : {AttentionChoice::mla, AttentionChoice::gqa}) {
    ModelShape shape = tiny({1, 0, 2, 1});
    shape.attention = attention;
    auto model = PipelineModel<double>::make(shape, 3);
    const auto batch = random_batch(shape, 3, 4);
    SequentialStep<double> step = run_sequentially(model, batch);
    CHECK(step.loss == doctest::Approx(1.3 * std::log(17.0)).epsilon(0.3));  // nothing is learnt yet; MTP weighs 0.3
    for (std::size_t s = 0; s < model.stages.size(); ++s) {
      const auto values = model.weights[s].list(), gradients = step.gradients[s].list();
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i].name.ends_with("embedding")) continue;  // two copies, below
        CAPTURE(values[i].name);
        check_gradient(
            *values[i].tensor, *gradients[i].tensor, [&] { return run_sequentially(model, batch).loss; }, 1e-5);
      }
    }
    check_gradient(
        model.weights.front().embedding, step.gradients.front().embedding,
        [&] {
          model.weights.back().embedding = model.weights.front().embedding;
          return run_sequentially(model, batch).loss;
        },
        1e-5);
  }
}

TEST_CASE("every schedule gives the loss and the gradients of the sequential run") {
  for (const schedules::CatalogueEntry& entry : schedules::catalogue()) {
    for (const auto& [ranks, micro_batches] : {std::pair{1, 3}, {2, 4}, {2, 6}, {3, 7}, {4, 8}, {4, 12}}) {
      schedules::Schedule schedule;
      try {
        schedule = schedules::generate(entry.name, {ranks, micro_batches, 0});
      } catch (const base::Error&) {
        continue;  // not a shape of this schedule; that each has run at least once is checked below
      }
      check_same<double>(schedule, tiny(uneven(schedule.stages)));
    }
    const schedules::Schedule schedule = schedules::generate(entry.name, {4, 8, 0});
    check_same<float>(schedule, tiny(uneven(schedule.stages)));
  }
}

TEST_CASE("more chunks, GQA, no MTP module, one direction's stage order from a file") {
  ModelShape shape = tiny(uneven(6));
  shape.attention = AttentionChoice::gqa;
  shape.mtp = false;
  check_same<double>(schedules::generate("interleaved-1f1b", {2, 4, 3}), shape);
  const schedules::Schedule file =
      schedules::read_schedule(std::string(HOURGLASS_SOURCE_DIR) + "/tests/cli/data/dualpipev.csv");
  check_same<double>(file, tiny(uneven(file.stages)));
}

TEST_CASE("two directions: each copy gets its own micro-batches, and the tolerance can be missed") {
  const schedules::Schedule schedule = schedules::generate("dualpipe", {4, 8, 0});
  const ModelShape shape = tiny(uneven(4));
  const auto model = PipelineModel<double>::make(shape, 3);
  auto batch = random_batch(shape, 8, 4);
  SequentialStep<double> reference = run_sequentially(model, batch);
  std::swap(batch.front(), batch.back());  // from one direction to the other: the same sum
  ExecutedStep<double> step = Executor<double>(model, schedule, batch).run();
  CHECK(compare_gradients(reference, step.gradients, gradient_terms(shape, 8)).largest_of_tolerance <= 1.0);
  CHECK(step.losses.front() == reference.losses.back());
  batch.front() = batch.back();  // one twice, one never
  ExecutedStep<double> wrong = Executor<double>(model, schedule, batch).run();
  CHECK(compare_gradients(reference, wrong.gradients, gradient_terms(shape, 8)).largest_of_tolerance > 1e6);
}

TEST_CASE("orders that cannot run end at once, and say why") {
  const auto f = [](int s, int m) { return schedules::Action{Kind::forward, s, m, -1, -1}; };
  const auto b = [](int s, int m) { return schedules::Action{Kind::backward, s, m, -1, -1}; };
  SUBCASE("a cycle of two ranks") {
    const std::string fault =
        fault_of(schedules::read_schedule(std::string(HOURGLASS_SOURCE_DIR) + "/tests/cli/data/deadlock.csv"));
    CHECK(fault.find("the ranks deadlock") != std::string::npos);
    CHECK(fault.find("rank 0 waits at BW0@0 for the gradient of micro-batch 0 from stage 1 on rank 1") !=
          std::string::npos);
    CHECK(fault.find("rank 1 waits at F1@1 for the activations of micro-batch 1 from stage 0 on rank 0") !=
          std::string::npos);
  }
  SUBCASE("a rank that has finished will send nothing more") {
    schedules::Schedule schedule = one_stage_each(3, 1);
    schedule.actions = {{f(0, 0), b(0, 0)}, {}, {f(2, 0), b(2, 0)}};
    const std::string fault = fault_of(schedule);
    CHECK(fault.find("rank 0 waits at BW0@0") != std::string::npos);
    CHECK(fault.find("rank 1 has finished") != std::string::npos);
  }
  SUBCASE("faults of one rank stop the others") {
    schedules::Schedule schedule = one_stage_each(2, 1);
    schedule.actions = {{f(0, 0), b(0, 0)}, {f(1, 0), {Kind::backward_weight, 1, 0, -1, -1}}};
    CHECK(fault_of(schedule).find("rank 1 cannot run W0@1: its input gradient has not run") != std::string::npos);
    schedule.actions = {{f(0, 0), b(0, 0)}, {f(0, 0)}};
    CHECK(fault_of(schedule).find("rank 1 cannot run F0@0: its stage is on rank 0") != std::string::npos);
    schedule.actions = {{f(0, 0), b(0, 0)}, {f(1, 7)}};
    CHECK(fault_of(schedule).find("1 micro-batches") != std::string::npos);
    schedule.actions = {{f(0, 0), f(0, 0)}, {f(1, 0), b(1, 0)}};
    CHECK(fault_of(schedule).find("forward has run before") != std::string::npos);
  }
  SUBCASE("work that is never done") {
    schedules::Schedule schedule = one_stage_each(1, 2);
    schedule.actions = {{f(0, 0), b(0, 0), f(0, 1), {Kind::backward_input, 0, 1, -1, -1}}};
    CHECK(fault_of(schedule).find("1 micro-batches of 2 are computed at stage 0") != std::string::npos);
  }
  SUBCASE("a model of other stages") {
    const ModelShape shape = tiny({1, 1, 1});
    const auto model = PipelineModel<float>::make(shape, 3);
    const auto batch = random_batch(shape, 2, 4);
    const schedules::Schedule schedule = schedules::generate("1f1b", {2, 2, 0});
    CHECK_THROWS_AS(Executor<float>(model, schedule, batch), base::Error);
  }
}

TEST_CASE("a prediction with equal stages is the evaluator's") {
  for (const schedules::CatalogueEntry& entry : schedules::catalogue()) {
    const schedules::Schedule schedule = schedules::generate(entry.name, {4, 8, 0});
    const schedules::Evaluation expected = schedules::evaluate(schedule, {1.0, 1.3, 0.7, -1.0, 0.05, 1.0});
    const double share = static_cast<double>(schedule.ranks) / schedule.stages;
    const std::vector<StageCost> stages(static_cast<std::size_t>(schedule.stages), {share, 1.3 * share, 0.7 * share});
    const RunCosts costs{std::vector<std::vector<StageCost>>(4, stages), 0.05};
    const Prediction prediction = predict(schedule, costs);
    CHECK(prediction.makespan_s == doctest::Approx(expected.makespan));
    CHECK(prediction.start_s[3][5] == doctest::Approx(expected.start[expected.rank_begin[3] + 5]));
  }
}

TEST_CASE("a comparison of runs: medians by kind and stage, and the replay of the median run") {
  const schedules::Schedule schedule = schedules::generate("1f1b", {2, 2, 0});
  const std::vector<StageCost> stages{{1.0, 2.0, 3.0}, {1.0, 2.0, 3.0}};
  const RunCosts costs{{stages, stages}, 0.0};
  std::vector<Timeline> runs;
  for (const double slowness : {1.0, 3.0, 1.2}) {
    const Prediction ideal = predict(schedule, {{{{slowness, 2.0, 3.0}, {1.0, 2.0, 3.0}}, stages}, 0.0});
    Timeline run;
    run.makespan_s = ideal.makespan_s;
    for (std::size_t r = 0; r < 2; ++r) {
      run.actions.emplace_back();
      for (std::size_t i = 0; i < ideal.start_s[r].size(); ++i)
        run.actions[r].push_back({0.0, ideal.start_s[r][i], ideal.end_s[r][i], 0.5});
    }
    runs.push_back(run);
  }
  const RunComparison comparison = compare_runs(schedule, costs, runs);
  CHECK(comparison.median_run == 2);
  CHECK(comparison.predicted_s == doctest::Approx(runs[0].makespan_s));
  CHECK(comparison.executed_s == doctest::Approx(runs[2].makespan_s));
  CHECK(comparison.elapsed_s == doctest::Approx(comparison.executed_s));
  CHECK(comparison.core_s == doctest::Approx(3.0));  // the critical path has six actions of 0.5
  CHECK(comparison.fastest_s == doctest::Approx(runs[0].makespan_s));
  REQUIRE(comparison.actions.size() == 4);
  CHECK(comparison.actions[0].kind == Kind::forward);
  CHECK(comparison.actions[0].count == 2);
  CHECK(comparison.actions[0].predicted_s == doctest::Approx(1.0));
  CHECK(comparison.actions[0].executed_s == doctest::Approx(1.2));
  CHECK(comparison.actions[0].cpu_s == doctest::Approx(0.5));
  CHECK(comparison.actions[1].kind == Kind::backward);
  CHECK(comparison.actions[1].executed_s == doctest::Approx(5.0));
}
