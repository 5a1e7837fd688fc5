#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "sim/training/simulate.h"
#include "sim/training/tune_overlap.h"

using namespace hourglass;

namespace {

// DeepSeek-V3 on few GPUs: 8 pipeline ranks of 32 GPUs, short steps.
sim::Inputs small(std::vector<std::string> overrides = {}) {
  std::vector<std::string> all = {"plan.gpus=256", "plan.pipeline_parallel=8", "plan.expert_parallel=16",
                                  "plan.global_batch=768"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  return sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", all);
}

sim::Result every_gpu(const sim::Inputs& inputs) {
  sim::SimulateOptions options;
  options.fold = sim::Fold::off;
  return sim::simulate(inputs, nullptr, options);
}

double with_variation(const std::string& variation) {
  return sim::simulate(small({"plan.variation=" + variation})).step_time_s;
}

}  // namespace

TEST_CASE("all GPUs one by one and one of each rank give the same step, to the picosecond") {
  for (const char* schedule : {"dualpipe", "1f1b", "zb-h1", "interleaved-overlap"}) {
    for (const char* key : {"plan.contention=true", "plan.contention=false", "plan.overlap_gradient_reduce=true"}) {
      const sim::Inputs inputs =
          small({std::string("plan.schedule=") + schedule, key, "plan.small_batch_schedule=1f1b"});
      const sim::Result folded = sim::simulate(inputs), all = every_gpu(inputs);
      const bool always_beside = std::string(key) == "plan.contention=false";
      if (always_beside) {
        // The sweep takes W beside an all-to-all as slowed for its whole length.
        CHECK(all.step_time_s <= folded.step_time_s);
        continue;
      }
      CHECK(all.step_time_s == folded.step_time_s);
      CHECK(all.simulated_gpus == 256);
      CHECK(folded.simulated_gpus == 8);
      for (std::size_t r = 0; r < 8; ++r) CHECK(all.ranks[r].bubble_s == folded.ranks[r].bubble_s);
    }
  }
}

TEST_CASE(
    "where a rank's time goes adds up to the step, its idle causes to its bubble, the critical path to the step") {
  for (const char* schedule : {"dualpipe", "1f1b", "zb-h1", "interleaved-overlap", "gpipe"}) {
    for (const char* other : {"plan.mtp=true", "plan.overlap_parameter_gather=true",
                              "plan.variation={\"slow_gpus\":[{\"gpu\":40,\"factor\":1.3}],\"expert_skew\":0.2}"}) {
      const sim::Result result =
          sim::simulate(small({std::string("plan.schedule=") + schedule, other, "plan.overlap_gradient_reduce=true"}));
      for (const sim::RankResult& rank : result.ranks) {
        const double sum =
            rank.forward_s + rank.backward_s + rank.weight_s + rank.overlapped_s + rank.optimizer_s + rank.bubble_s;
        CHECK(sum == doctest::Approx(result.step_time_s).epsilon(1e-9));
        CHECK(rank.idle.total() == doctest::Approx(rank.bubble_s).epsilon(1e-9));
        const double exposed = rank.exposed.rdma_s + rank.exposed.nvlink_s + rank.exposed.peer_wait_s;
        CHECK(exposed <= rank.exposed_communication_s + 1e-9);
      }
      const auto& classes = result.critical_path.seconds;
      CHECK(std::accumulate(classes.begin(), classes.end(), 0.0) == doctest::Approx(result.step_time_s).epsilon(1e-9));
    }
  }
}

TEST_CASE("a slow GPU, a slow NIC, a flapping NIC and skewed experts each lengthen the step, the more the worse") {
  const double sound = sim::simulate(small()).step_time_s;
  CHECK(with_variation("{}") == sound);
  const double slow = with_variation(R"({"slow_gpus":[{"gpu":40,"factor":1.1}]})");
  CHECK(slow > sound);
  CHECK(with_variation(R"({"slow_gpus":[{"gpu":40,"factor":1.2}]})") > slow);
  CHECK(with_variation(R"({"slow_nics":[{"gpu":40,"factor":3}]})") > sound);
  CHECK(with_variation(R"({"flapping_nics":[{"gpu":40,"every_s":1,"down_s":0.2}]})") > sound);
  const double skewed = with_variation(R"({"expert_skew":0.2})");
  CHECK(skewed > sound);
  CHECK(with_variation(R"({"expert_skew":0.6})") > skewed);
  // A GPU that is as slow as all is as if all were.
  CHECK(with_variation(R"({"slow_gpus":[{"gpu":40,"factor":1}]})") == sound);
}

TEST_CASE("a slow GPU slows the step by no more than it is slow, and by no less than its own work says") {
  // One pipeline rank, no all-to-all: the step is that GPU's own.
  const std::vector<std::string> plan = {"plan.gpus=8",
                                         "plan.pipeline_parallel=1",
                                         "plan.tensor_parallel=1",
                                         "plan.expert_parallel=1",
                                         "plan.global_batch=64",
                                         "plan.schedule=1f1b",
                                         "plan.mtp=false",
                                         "plan.model=../models/llama-3.1-8b.json",
                                         "plan.precision=bf16",
                                         "plan.recompute=[]",
                                         "plan.communication_sms=0"};
  const auto step = [&](const std::string& variation) {
    std::vector<std::string> all = plan;
    if (!variation.empty()) all.push_back("plan.variation=" + variation);
    return sim::simulate(sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", all));
  };
  const sim::Result sound = step(""), slow = step(R"({"slow_gpus":[{"gpu":3,"factor":1.5}]})");
  const double work = sound.ranks[0].forward_s + sound.ranks[0].backward_s;
  CHECK(slow.step_time_s - sound.step_time_s >= 0.5 * work * 0.999);
  CHECK(slow.step_time_s <= 1.5 * sound.step_time_s);
}

TEST_CASE("folding GPUs that differ, and a run larger than the memory, are refused with the reason") {
  const sim::Inputs inputs = small({R"(plan.variation={"slow_nics":[{"gpu":7,"factor":2}]})"});
  sim::SimulateOptions options;
  options.fold = sim::Fold::on;
  CHECK_THROWS_WITH_AS(sim::simulate(inputs, nullptr, options), doctest::Contains("the NIC of GPU 7 is slow"),
                       base::Error);
  options.fold = sim::Fold::automatic;
  options.memory_limit_bytes = 1e6;
  CHECK_THROWS_WITH_AS(sim::simulate(inputs, nullptr, options), doctest::Contains("GiB of memory"), base::Error);
}

TEST_CASE("hiding the reduction of gradients and the gathering of parameters shortens the step") {
  const double shown = sim::simulate(small()).step_time_s;
  const double reduced = sim::simulate(small({"plan.overlap_gradient_reduce=true"})).step_time_s;
  const double both =
      sim::simulate(small({"plan.overlap_gradient_reduce=true", "plan.overlap_parameter_gather=true"})).step_time_s;
  CHECK(reduced < shown);
  CHECK(both < reduced);
}

TEST_CASE("expert loads: mean one, wider with sigma, and two micro-batches correlate by the persistence") {
  sim::Variation variation;
  variation.expert_skew = 0.5;
  variation.expert_persistence = 0.25;
  double xy = 0.0, xx = 0.0, x_sum = 0.0, y_sum = 0.0;
  constexpr int layers = 400, gpus = 256;
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    const auto a = sim::gpu_loads(variation, 256, gpus, layer, 3), b = sim::gpu_loads(variation, 256, gpus, layer, 4);
    CHECK(std::accumulate(a.begin(), a.end(), 0.0) == doctest::Approx(256.0).epsilon(1e-4));
    for (std::size_t e = 0; e < gpus; ++e) {
      const double x = std::log(static_cast<double>(a[e])), y = std::log(static_cast<double>(b[e]));
      xy += x * y;
      xx += x * x;
      x_sum += x;
      y_sum += y;
    }
  }
  constexpr double n = static_cast<double>(layers) * gpus;
  const double variance = xx / n - x_sum * x_sum / n / n;
  CHECK(std::sqrt(variance) == doctest::Approx(0.5).epsilon(0.03));
  CHECK((xy / n - x_sum * y_sum / n / n) / variance == doctest::Approx(0.25).epsilon(0.1));
  variation.expert_persistence = 1.0;
  CHECK(sim::gpu_loads(variation, 256, 64, 5, 0) == sim::gpu_loads(variation, 256, 64, 5, 99));
  CHECK(sim::gpu_loads(variation, 256, 64, 5, 0) != sim::gpu_loads(variation, 256, 64, 6, 0));
}

TEST_CASE("every order that is listed is sound, no two are the same program, and DeepSeek's is one of them") {
  const std::vector<sim::OverlapOrder> orders = sim::all_overlap_orders();
  for (const sim::OverlapOrder& order : orders) CHECK(sim::order_fault(order) == "");
  CHECK(sim::order_fault(sim::deepseek_overlap_order()) == "");
  // The communication stream merges two chains of two; six merges, no more.
  std::vector<std::string> merges;
  for (const sim::OverlapOrder& order : orders) {
    std::string merge;
    for (const sim::OverlapStep& step : order) {
      if (step.part == model::dispatch || step.part == model::combine) merge += sim::step_name(step);
    }
    merges.push_back(merge);
  }
  std::sort(merges.begin(), merges.end());
  CHECK(std::unique(merges.begin(), merges.end()) - merges.begin() == 6);
  sim::OverlapOrder wrong = sim::deepseek_overlap_order();
  std::swap(wrong[1], wrong[2]);
  CHECK(sim::order_fault(wrong).find("dispatch(F) stands before attention(F)") != std::string::npos);
}

TEST_CASE("the tuned overlap is no worse than the given one, and a bad order is worse than both") {
  const sim::Inputs inputs = small();
  const sim::OverlapTuning tuning = sim::tune_overlap(inputs);
  CHECK(tuning.best.step_s <= tuning.given.step_s);
  sim::Inputs tuned = inputs;
  tuned.plan.overlap_order = tuning.best.order;
  tuned.plan.communication_sms = tuning.best.communication_sms;
  CHECK(sim::simulate(tuned).step_time_s == tuning.best.step_s);
  // One chain after the other overlaps nothing but W.
  sim::Inputs serial = inputs;
  const sim::OverlapOrder& given = inputs.plan.overlap_order;
  serial.plan.overlap_order.clear();
  for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
    for (const sim::OverlapStep& step : given) {
      if (step.pass == pass) serial.plan.overlap_order.push_back(step);
    }
  }
  CHECK(sim::order_fault(serial.plan.overlap_order) == "");
  CHECK(sim::simulate(serial).step_time_s > tuning.given.step_s);
}
