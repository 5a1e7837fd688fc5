#pragma once

#include <string>
#include <vector>

#include "kernels/run/executor.h"
#include "schedules/schedule.h"

// What a run should take, from costs measured beforehand, and how that compares with what it took.
namespace hourglass::kernels {

struct RunCosts {
  std::vector<std::vector<StageCost>> ranks;  // of each rank: every stage's, on the rank's core
  double message_s = 0.0;                     // from one rank to another
};

// Half a round trip of `bytes` between two threads, one of which always waits: the median of many.
double measure_message(double bytes);

double predicted_seconds(const schedules::Action& action, const std::vector<StageCost>& costs);

struct Prediction {
  double makespan_s = 0.0;
  std::vector<std::vector<double>> start_s, end_s;  // of each rank's actions
};
// schedules/evaluate.h with a cost for every action, because a stage with the embedding or the head costs what it
// costs: start = max(end of the action before on the rank, end of each input from another rank + message). Throws
// base::Error if the schedule deadlocks. `seconds` of each rank's actions.
Prediction predict(const schedules::Schedule& schedule, const std::vector<std::vector<double>>& seconds,
                   double message_s);
Prediction predict(const schedules::Schedule& schedule, const RunCosts& costs);

// Actions of one kind at one stage, over all runs.
struct ActionComparison {
  schedules::Kind kind = schedules::Kind::forward;
  int stage = 0, backward_stage = -1;  // the latter for pairs
  int count = 0;                       // in a step
  double predicted_s = 0.0;
  double executed_s = 0.0, cpu_s = 0.0;  // medians
};
struct RunComparison {
  double predicted_s = 0.0;  // makespans
  double executed_s = 0.0;   // median of the runs
  double fastest_s = 0.0;    // of the runs
  // The median run's own action times put through predict(), elapsed and on the core. From predicted_s to core_s it is
  // costs that were not as measured beforehand, from there to elapsed_s ranks that lost their core to others, and from
  // there to executed_s messages and threads.
  double core_s = 0.0, elapsed_s = 0.0;
  std::size_t median_run = 0;
  std::vector<ActionComparison> actions;  // by stage and kind
  double error() const { return predicted_s / executed_s - 1.0; }
};
RunComparison compare_runs(const schedules::Schedule& schedule, const RunCosts& costs,
                           const std::vector<Timeline>& runs);

}  // namespace hourglass::kernels
