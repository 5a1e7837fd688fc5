#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "planner/budget/budget.h"
#include "planner/budget/uncertainty.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

sim::Inputs reference(const std::vector<std::string>& overrides = {}) {
  return sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json", overrides);
}

// Of steps of the plan's first batch, whose seconds are `inputs.simulated_hours`.
planner::RangeInputs step_range(const sim::Inputs& inputs, double seconds) {
  planner::RangeInputs range;
  range.profile = &inputs.profile;
  range.simulated_hours = seconds;
  range.uncertainty.samples = 4000;
  range.goodput_inputs.gpus = 1;
  range.goodput_inputs.net_s = 1.0;
  range.goodput_inputs.reliability.failures_per_gpu_day = 0.0;
  range.goodput = planner::goodput(range.goodput_inputs);
  return range;
}

}  // namespace

TEST_CASE("quantiles interpolate, in order") {
  std::vector<double> values = {3.0, 1.0, 2.0};
  const planner::Quantiles q = planner::quantiles_of(values);
  CHECK(q.p10 == doctest::Approx(1.2));
  CHECK(q.p50 == doctest::Approx(2.0));
  CHECK(q.p90 == doctest::Approx(2.8));
  std::vector<double> none;
  CHECK_THROWS_AS(planner::quantiles_of(none), base::Error);
}

TEST_CASE("a factor has the quantiles that it was made of") {
  const planner::LogFactor factor = planner::log_factor(0.9, 1.02, 1.3);
  base::Random random(1);
  std::vector<double> draws;
  for (int i = 0; i < 40000; ++i) draws.push_back(std::exp(factor.at(random.normal())));
  const planner::Quantiles q = planner::quantiles_of(draws);
  CHECK(q.p10 == doctest::Approx(0.9).epsilon(0.005));
  CHECK(q.p50 == doctest::Approx(1.02).epsilon(0.005));
  CHECK(q.p90 == doctest::Approx(1.3).epsilon(0.005));
}

TEST_CASE("fitted classes are drawn from their residuals, others from their relative error") {
  const sim::Inputs inputs = reference();
  const std::vector<planner::CostError> errors = planner::cost_errors(inputs.profile);
  const auto find = [&](const std::string& name) {
    return *std::find_if(errors.begin(), errors.end(), [&](const auto& e) { return e.classes.front() == name; });
  };
  // Fitted: predicted / measured - 1 at its tenth is the measured cost at its ninetieth.
  const auto& residuals = inputs.profile.gemm_fp8.basis.residual_quantiles;
  const planner::LogFactor gemm = find("gemm_fp8").factor;
  CHECK(gemm.at(1.2815515655446004) == doctest::Approx(-std::log1p(residuals[0])));
  CHECK(gemm.at(0.0) == doctest::Approx(-std::log1p(residuals[1])));
  CHECK(gemm.at(-1.2815515655446004) == doctest::Approx(-std::log1p(residuals[2])));
  // Carried over from the H100: at least as wide as the profile says.
  const planner::LogFactor carried = find("gemm_bf16").factor;
  CHECK((carried.up + carried.down) / 2.0 == doctest::Approx(std::log1p(0.1113)));
  CHECK(find("attention").factor.up == doctest::Approx(std::log1p(0.1)));
  // Fitted together, drawn together.
  CHECK(find("moe_nvlink").classes == std::vector<std::string>{"moe_nvlink", "moe_rdma"});
}

// A step that is all one class: its range is the class's own, however many kernels it has. Were the errors of kernels
// averaged over the thousands of a step, the range would vanish.
TEST_CASE("one draw for all kernels of a class: its error is not averaged away") {
  const sim::Inputs inputs = reference();
  planner::RangeInputs range = step_range(inputs, 100.0);
  const auto only_attention = [&](const hardware::Profile& profile) {
    double seconds = 0.0;
    for (int kernel = 0; kernel < 1000; ++kernel)
      seconds += 0.1 * inputs.profile.attention.forward_efficiency / profile.attention.forward_efficiency;
    return seconds;
  };
  const planner::Range drawn = planner::draw_range(range, only_attention);
  CHECK(std::log(drawn.net_gpu_hours.p90 / drawn.net_gpu_hours.p50) ==
        doctest::Approx(1.2815515655446004 * std::log1p(0.1)).epsilon(0.05));
  CHECK(std::log(drawn.net_gpu_hours.p50 / drawn.net_gpu_hours.p10) ==
        doctest::Approx(1.2815515655446004 * std::log1p(0.1)).epsilon(0.05));
}

TEST_CASE("the response to one source at a time stands for whole simulations of drawn profiles") {
  sim::Inputs inputs = reference({R"(plan.stages=[{"name":"a","steps":1}])"});
  const sim::Result planned = sim::simulate(inputs);
  inputs.plan.layers_per_stage = planned.layers_per_stage;
  const auto seconds = [&](const hardware::Profile& profile) {
    sim::Inputs changed = inputs;
    changed.profile = profile;
    return sim::simulate(changed).step_time_s;
  };
  planner::RangeInputs range = step_range(inputs, planned.step_time_s);
  const planner::Range drawn = planner::draw_range(range, seconds);
  base::Random random(11);
  const std::vector<planner::CostError> errors = planner::cost_errors(inputs.profile);
  std::vector<double> whole;
  for (int draw = 0; draw < 300; ++draw) {
    hardware::Profile profile = inputs.profile;
    for (const planner::CostError& error : errors)
      profile = planner::slowed(profile, error, std::exp(error.factor.at(random.normal())));
    whole.push_back(seconds(profile));
  }
  const planner::Quantiles truth = planner::quantiles_of(whole);
  CHECK(drawn.net_gpu_hours.p50 == doctest::Approx(truth.p50).epsilon(0.03));
  CHECK(drawn.net_gpu_hours.p10 == doctest::Approx(truth.p10).epsilon(0.04));
  CHECK(drawn.net_gpu_hours.p90 == doctest::Approx(truth.p90).epsilon(0.04));
}

TEST_CASE("the budget's quantiles are ordered, repeat, and widen with what they are drawn from") {
  const auto range_of = [](const std::vector<std::string>& overrides) {
    std::vector<std::string> all = {R"(plan.stages=[{"name":"a","steps":1000}])"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return planner::make_budget(reference(all), nullptr);
  };
  const planner::Budget usual = range_of({});
  for (const planner::Quantiles& q : {usual.total_gpu_hours, usual.gross_gpu_hours, usual.programme_gpu_hours}) {
    CHECK(q.p10 < q.p50);
    CHECK(q.p50 < q.p90);
  }
  CHECK(usual.gross_gpu_hours.p50 > usual.total_gpu_hours.p50);
  CHECK(usual.total_gpu_hours.p10 < usual.gpu_hours);
  CHECK(usual.gpu_hours < usual.total_gpu_hours.p90);
  CHECK(range_of({}).total_gpu_hours.p90 == usual.total_gpu_hours.p90);
  const planner::Budget balanced = range_of({R"(plan.uncertainty.expert_imbalance={"p10":1,"p50":1,"p90":1})"});
  CHECK(balanced.total_gpu_hours.p90 < usual.total_gpu_hours.p90);
  const planner::Budget unsure = range_of({"plan.uncertainty.failure_factor=10"});
  CHECK(unsure.total_gpu_hours.p90 == usual.total_gpu_hours.p90);
  CHECK(unsure.gross_gpu_hours.p90 > usual.gross_gpu_hours.p90);
  CHECK(usual.sensitivities.size() == planner::cost_errors(reference().profile).size() + 1);
  for (std::size_t i = 1; i < usual.sensitivities.size(); ++i)
    CHECK(usual.sensitivities[i - 1].gpu_hours >= usual.sensitivities[i].gpu_hours);
}
