#pragma once

#include <cstdint>

#include "sim/training/plan.h"

// From hours of computing to hours on the calendar: failures, checkpoints, restarts, spare nodes.
namespace hourglass::planner {

// The optimum time of work between checkpoints that take `write_s`, with a failure every `mtbf_s` on average.
double young_interval(double write_s, double mtbf_s);
double daly_interval(double write_s, double mtbf_s);

// Wall time over useful time. `restart_s`: from a failure until the work since the last checkpoint begins again.
// Infinity where no progress is possible. mtbf_s may be infinite.
double daly_slowdown(double interval_s, double write_s, double mtbf_s, double restart_s);

// Share of time that a run waits because more nodes are under repair than there are spares (Erlang's loss formula).
// `broken`: nodes under repair on average if none was ever waited for.
double waiting_for_nodes(double broken, std::int64_t spares);

struct Goodput {
  double net_s = 0.0;  // of computing, on the plan's GPUs
  // Where the wall time goes beside: they add up to wall_s.
  double checkpoint_s = 0.0, restart_s = 0.0, lost_work_s = 0.0, planned_s = 0.0, waiting_s = 0.0;
  double wall_s = 0.0;
  double effective = 1.0;        // net_s / wall_s
  double gross_gpu_hours = 0.0;  // of the plan's GPUs and the spares, for the wall time
  double mtbf_s = 0.0;           // of the whole job; infinity: none fails
  double failures = 0.0;         // expected, of the whole run
  double checkpoint_bytes = 0.0, write_s = 0.0;
  double interval_s = 0.0;       // of work between checkpoints; infinity: none is written
  double interval_steps = 0.0;   // 0: no step is known
  bool chosen_interval = false;  // Daly's optimum, not the plan's own
  double each_restart_s = 0.0;   // detection, restart and loading
  std::int64_t spare_nodes = 0;
  bool chosen_spares = false;
};

struct GoodputInputs {
  sim::Reliability reliability;
  std::int64_t gpus = 0, gpus_per_host = 8;
  double parameters = 0.0;
  double net_s = 0.0;
  double step_s = 0.0;  // checkpoints are written between steps; 0: at any time
};

// Throws base::Error if the run would never end.
Goodput goodput(const GoodputInputs& inputs);

// What a run of the same interval and spares makes of another failure rate: wall time over net time.
// `rate`: factor on the failure rate; `luck`: failures that happen over those expected.
double wall_over_net(const GoodputInputs& inputs, const Goodput& planned, double rate, double luck);

}  // namespace hourglass::planner
