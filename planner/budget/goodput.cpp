// A run works for tau seconds, writes a checkpoint for delta, and goes on. Failures arrive at rate 1/M, at any time,
// also while a checkpoint is written or a restart is under way. A failure costs R (detection, restart, loading) and the
// work since the last checkpoint. Daly (A higher order estimate of the optimum checkpoint interval for restart dumps,
// FGCS 22, 2006, section 3.3) gives the expected wall time of T seconds of work,
//     M exp(R/M) (exp((tau + delta)/M) - 1) T / tau,
// exact for exponential failures. Its minimum over tau:
//     Young (CACM 17(9), 1974):   sqrt(2 delta M)
//     Daly, equation 37:          sqrt(2 delta M) (1 + sqrt(delta / 2M)/3 + (delta / 2M)/9) - delta, M for delta >= 2M.
// We take Daly's, in whole steps.
//
// M = 1 / (rate a GPU-day x GPUs). delta = parameters x bytes a parameter / storage bandwidth, every GPU writing its
// share. Where training waits for a part b of the write only, delta is b of it, and the rest is added to R: until it is
// on disk, a failure still throws the work before it away.
//
// Spares. A share of failures takes a node out for its repair. Nodes under repair come and go as calls in Erlang's loss
// system: with s spares the run stands still while s + 1 are out, and then nothing fails. That share of the time is
// B(s + 1, a), a = node failures a second x seconds of repair; it depends on the mean of the repair only. Spares idle,
// and count as GPU-hours. Without a number in the plan, the one with fewest GPU-hours is taken.
//
// Limits: failures are independent and their rate constant (young clusters fail more); a failure stops the whole job;
// stragglers that do not fail, evaluation and data loading are not here; spares stand ready at once.
#include "planner/budget/goodput.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/units.h"

namespace hourglass::planner {

namespace {

constexpr double never = std::numeric_limits<double>::infinity();

double planned_share(const sim::Reliability& r, double write_s, double restart_s) {
  return r.planned_per_day * (write_s + restart_s - r.detection_s) / base::seconds_per_day;
}

// Erlang's B by its recursion; a is small (tens).
double erlang_loss(double offered, std::int64_t servers) {
  double blocked = 1.0;
  for (std::int64_t n = 1; n <= servers; ++n)
    blocked = offered * blocked / (static_cast<double>(n) + offered * blocked);
  return blocked;
}

double broken_nodes(const sim::Reliability& r, double mtbf_s) { return r.node_share * r.repair_s / mtbf_s; }

// GPU-hours are (gpus + spares x node) / (1 - waiting): falls, then rises.
std::int64_t cheapest_spares(const GoodputInputs& in, double broken) {
  constexpr std::int64_t most = 100000;
  double least = never;
  for (std::int64_t spares = 0; spares <= most; ++spares) {
    const double waiting = waiting_for_nodes(broken, spares);
    const double cost = static_cast<double>(in.gpus + spares * in.gpus_per_host) / (1.0 - waiting);
    if (cost >= least) return spares - 1;
    least = cost;
  }
  return most;
}

void set_interval(Goodput& out, const GoodputInputs& in, double stop_s) {
  const sim::Reliability& r = in.reliability;
  out.chosen_interval = r.checkpoint_interval_s <= 0.0;
  out.interval_s = out.chosen_interval ? daly_interval(stop_s, out.mtbf_s) : r.checkpoint_interval_s;
  out.interval_s = std::max(out.interval_s, out.write_s - stop_s);  // one write at a time
  if (in.step_s <= 0.0 || !std::isfinite(out.interval_s)) return;
  out.interval_steps = std::max(1.0, std::round(out.interval_s / in.step_s));
  out.interval_s = out.interval_steps * in.step_s;
}

}  // namespace

double young_interval(double write_s, double mtbf_s) { return std::sqrt(2.0 * write_s * mtbf_s); }

double daly_interval(double write_s, double mtbf_s) {
  if (!std::isfinite(mtbf_s)) return never;
  if (write_s >= 2.0 * mtbf_s) return mtbf_s;
  const double small = write_s / (2.0 * mtbf_s);
  return young_interval(write_s, mtbf_s) * (1.0 + std::sqrt(small) / 3.0 + small / 9.0) - write_s;
}

double daly_slowdown(double interval_s, double write_s, double mtbf_s, double restart_s) {
  if (!std::isfinite(mtbf_s)) return std::isfinite(interval_s) ? 1.0 + write_s / interval_s : 1.0;
  if (interval_s <= 0.0) return never;
  const double slow = mtbf_s * std::exp(restart_s / mtbf_s) * std::expm1((interval_s + write_s) / mtbf_s) / interval_s;
  return std::isfinite(slow) ? slow : never;
}

double waiting_for_nodes(double broken, std::int64_t spares) { return erlang_loss(broken, spares + 1); }

Goodput goodput(const GoodputInputs& in) {
  const sim::Reliability& r = in.reliability;
  const auto gpus = static_cast<double>(in.gpus);
  Goodput out;
  out.net_s = in.net_s;
  const double failures_per_s = r.failures_per_gpu_day * gpus / base::seconds_per_day;
  out.mtbf_s = failures_per_s > 0.0 ? 1.0 / failures_per_s : never;
  out.checkpoint_bytes = in.parameters * r.bytes_per_parameter;
  out.write_s = out.checkpoint_bytes / (r.storage_bandwidth_per_gpu * gpus);
  const double stop_s = r.blocking_share * out.write_s;
  out.each_restart_s = r.detection_s + r.restart_s + out.write_s;  // it is read as fast as it is written
  // A free checkpoint would be written all the time; between steps is as often as it goes.
  set_interval(out, in, stop_s > 0.0 ? stop_s : 1e-6);
  const double restart_s = out.each_restart_s + (out.write_s - stop_s);
  const double slow = daly_slowdown(out.interval_s, stop_s, out.mtbf_s, restart_s);
  const double planned = planned_share(r, out.write_s, out.each_restart_s);
  const double broken = broken_nodes(r, out.mtbf_s);
  out.chosen_spares = !r.spare_nodes.has_value();
  out.spare_nodes = out.chosen_spares ? cheapest_spares(in, broken) : *r.spare_nodes;
  const double waiting = waiting_for_nodes(broken, out.spare_nodes);
  if (!(slow < 1e3) || planned >= 0.999 || waiting >= 0.999) {
    throw base::Error(fmt::format("with a failure every {:.3g} h and {:.3g} h to restart, the run would not end",
                                  out.mtbf_s / base::seconds_per_hour, restart_s / base::seconds_per_hour),
                      "reliability", "lower failures_per_gpu_day, the restart or the repair");
  }
  const double running = in.net_s * slow;
  out.failures = running / out.mtbf_s;
  out.checkpoint_s = std::isfinite(out.interval_s) ? in.net_s * stop_s / out.interval_s : 0.0;
  // A restart is cut short by the next failure, which begins another.
  out.restart_s = std::isfinite(out.mtbf_s) ? -running * std::expm1(-restart_s / out.mtbf_s) : 0.0;
  out.lost_work_s = running - in.net_s - out.checkpoint_s - out.restart_s;
  out.planned_s = running * planned / (1.0 - planned);
  out.waiting_s = (running + out.planned_s) * waiting / (1.0 - waiting);
  out.wall_s = running + out.planned_s + out.waiting_s;
  out.effective = out.wall_s > 0.0 ? out.net_s / out.wall_s : 1.0;
  out.gross_gpu_hours =
      out.wall_s * (gpus + static_cast<double>(out.spare_nodes * in.gpus_per_host)) / base::seconds_per_hour;
  return out;
}

double wall_over_net(const GoodputInputs& in, const Goodput& planned, double rate, double luck) {
  const sim::Reliability& r = in.reliability;
  const double mtbf_s = planned.mtbf_s / rate, stop_s = r.blocking_share * planned.write_s;
  const double restart_s = planned.each_restart_s + (planned.write_s - stop_s);
  const double sound = daly_slowdown(planned.interval_s, stop_s, never, restart_s);
  const double failing = daly_slowdown(planned.interval_s, stop_s, mtbf_s, restart_s) - sound;
  const double waiting = waiting_for_nodes(broken_nodes(r, mtbf_s) * luck, planned.spare_nodes);
  return (sound + luck * failing) / (1.0 - planned_share(r, planned.write_s, planned.each_restart_s)) / (1.0 - waiting);
}

}  // namespace hourglass::planner
