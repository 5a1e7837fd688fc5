#include <doctest/doctest.h>

#include <cmath>

#include "base/json.h"
#include "schedules/catalogue.h"
#include "schedules/evaluate.h"
#include "schedules/validate.h"

using namespace hourglass;

// Every printed rate, to the last of its four digits. ZB-H1 holds p micro-batches, ZB-H2 2p - 1.
TEST_CASE("the bubble rates of the Zero Bubble paper come out to four digits") {
  const base::Json cases =
      base::load_json(std::string(HOURGLASS_SOURCE_DIR) + "/configs/published/zero_bubble_rates.json").value["cases"];
  REQUIRE(cases.size() == 4);
  for (const base::Json& each : cases) {
    const int ranks = each["ranks"], micro_batches = each["micro_batches"];
    schedules::Costs costs;
    costs.forward = each["F"];
    costs.backward_input = each["B"];
    costs.backward_weight = each["W"];
    costs.p2p = each["p2p"];
    const double work = micro_batches * (costs.forward + costs.backward());
    for (const auto& [key, printed] : each["bubble_rate"].items()) {
      const std::string& name = key;  // which CAPTURE's lambda can hold
      CAPTURE(name);
      CAPTURE(ranks);
      const schedules::Schedule schedule = schedules::generate(name, {ranks, micro_batches, 0});
      schedules::ValidateOptions options;
      options.activation_cap = name == "zb-h2" ? 2 * ranks - 1 : ranks;
      schedules::validate(schedule, options);
      const schedules::Evaluation evaluation = schedules::evaluate(schedule, costs);
      const double rate = (evaluation.span - work) / evaluation.span;
      CHECK(std::abs(rate - printed.get<double>()) <= 0.5e-4 + 1e-9);
    }
  }
}
