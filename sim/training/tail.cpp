#include "sim/training/tail.h"

#include "base/error.h"

namespace hourglass::sim {

hardware::Cost move_cost(const hardware::Platform& on, const Move& move) {
  if (move.stride > 1) {
    throw base::Error("parts of a data-parallel group exchange what they hold, which is not simulated yet", "sharding",
                      "split over all GPUs that hold the same parameters");
  }
  return hardware::cost_of(on, operator_of(move));
}

TailTimes tail_times(const Inputs& inputs, const Sharding& sharding, const model::ParameterCount& parameters,
                     int copies) {
  const hardware::Platform platform = inputs.platform();
  TailTimes times;
  for (const Move& move : moves_of_step(sharding, inputs.plan.parallel, parameters, copies)) {
    switch (move.when) {
      case Event::each_forward:
      case Event::each_backward:
        break;
      case Event::first_forward:
      case Event::last_backward:
      case Event::step_end:
        (move.of_parameters() ? times.all_gather : times.reduce_scatter) +=
            base::time_from_seconds(move_cost(platform, move).seconds);
        break;
    }
  }
  for (const model::Optimizer& update : updates(sharding, inputs.plan.parallel, parameters, copies))
    times.optimizer += base::time_from_seconds(hardware::cost_of(platform, update).seconds);
  return times;
}

}  // namespace hourglass::sim
