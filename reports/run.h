#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"

// A schedule that was executed, and how it compares with the sequential run and with its prediction. Kernels and
// reports do not know each other: cli/run.cpp fills this in.
namespace hourglass::reports {

struct ExecutedRank {
  std::vector<int> stages;
  double busy_s = 0.0;
  double peak_activations = 0.0;            // micro-batches of a rank, as schedules count them
  double predicted_peak_activations = 0.0;  // by schedules/evaluate
};

struct ExecutedAction {
  std::string name;  // "F", "B", "W", "BW", "F&B"
  int stage = 0, backward_stage = -1;
  int times = 0;  // in a step
  double predicted_s = 0.0, executed_s = 0.0, cpu_s = 0.0;
};

struct ExecutedComparison {
  double predicted_s = 0.0, executed_s = 0.0, fastest_s = 0.0, message_s = 0.0;  // makespans; a message
  double core_s = 0.0, elapsed_s = 0.0;  // makespans by the run's own action times
  int runs = 0, calibration_threads = 0;
  std::vector<ExecutedAction> actions;
};

struct RunReport {
  std::string schedule, attention;
  int micro_batches = 0, stages = 0, directions = 1, cores = 0;
  std::int64_t tokens = 0;  // of a micro-batch
  double parameters = 0.0;
  bool mtp = true;
  std::vector<std::int64_t> layers_per_stage;
  double loss = 0.0, sequential_loss = 0.0;
  int tensors = 0, identical_tensors = 0, additions = 0;
  double largest_difference = 0.0, largest_of_tolerance = 0.0;
  std::string worst_tensor;
  double makespan_s = 0.0;
  std::vector<ExecutedRank> ranks;
  std::optional<ExecutedComparison> comparison;
};

// Without a comparison it holds no times, so that the same input prints the same text.
std::string run_text(const RunReport& report);
base::Json run_json(const RunReport& report, const base::Provenance& provenance);

}  // namespace hourglass::reports
