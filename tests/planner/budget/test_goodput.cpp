#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "planner/budget/goodput.h"

using namespace hourglass;
using planner::daly_slowdown;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The model itself, event by event: work, write, fail, restart.
double simulated_wall(double work, double interval, double write, double mtbf, double restart, base::Random& random) {
  const auto until_failure = [&] { return -mtbf * std::log(1.0 - random.uniform()); };
  double wall = 0.0, done = 0.0, failure = until_failure();
  while (done < work) {
    const double segment = interval + write;
    if (failure >= segment) {
      wall += segment;
      failure -= segment;
      done += interval;
      continue;
    }
    wall += failure;
    for (failure = until_failure(); failure < restart; failure = until_failure()) wall += failure;
    wall += restart;
    failure -= restart;
  }
  return wall;
}

planner::GoodputInputs llama() {
  planner::GoodputInputs in;
  in.gpus = 16384;
  in.parameters = 405e9;
  in.net_s = 50.0 * 86400.0;
  in.step_s = 5.0;
  return in;
}

}  // namespace

TEST_CASE("Daly's interval is where the exact wall time is least, Young's close to it") {
  for (const double write : {1.0, 30.0, 300.0, 3000.0}) {
    for (const double mtbf : {3600.0, 86400.0}) {
      double best = 0.0, least = infinity;
      for (double interval = 1.0; interval < 4.0 * mtbf; interval *= 1.0005) {
        const double wall = daly_slowdown(interval, write, mtbf, 600.0);
        if (wall >= least) continue;
        least = wall;
        best = interval;
      }
      CHECK(planner::daly_interval(write, mtbf) == doctest::Approx(best).epsilon(0.02));
      CHECK(daly_slowdown(planner::daly_interval(write, mtbf), write, mtbf, 600.0) ==
            doctest::Approx(least).epsilon(1e-4));
      CHECK(planner::young_interval(write, mtbf) > planner::daly_interval(write, mtbf));
      if (write < 0.001 * mtbf) CHECK(planner::young_interval(write, mtbf) == doctest::Approx(best).epsilon(0.05));
    }
  }
}

TEST_CASE("Daly's wall time is that of runs simulated event by event") {
  base::Random random(7);
  struct Case {
    double interval, write, mtbf, restart;
  };
  for (const Case c : {Case{600, 20, 10000, 900}, Case{3000, 300, 5000, 1500}, Case{200, 5, 86400, 60}}) {
    const double work = c.interval * 100000.0;
    const double wall = simulated_wall(work, c.interval, c.write, c.mtbf, c.restart, random);
    CHECK(wall / work == doctest::Approx(daly_slowdown(c.interval, c.write, c.mtbf, c.restart)).epsilon(0.01));
  }
}

TEST_CASE("waiting for nodes is that of failures and repairs simulated event by event") {
  base::Random random(3);
  for (const double broken : {0.5, 3.0, 10.0}) {
    for (const std::int64_t spares : {0, 2, 8}) {
      // A node fails every 1 / broken on average while the run goes on; each repair takes 1 on average.
      double waiting = 0.0, time = 0.0;
      std::int64_t out = 0;
      for (int event = 0; event < 400000; ++event) {
        const bool stands = out > spares;
        const double failing = stands ? 0.0 : broken, rate = failing + static_cast<double>(out);
        const double pause = -std::log(1.0 - random.uniform()) / rate;
        time += pause;
        if (stands) waiting += pause;
        out += random.uniform() * rate < failing ? 1 : -1;
      }
      const double share = planner::waiting_for_nodes(broken, spares);
      CHECK(std::abs(waiting / time - share) < 0.005);
    }
  }
}

TEST_CASE("the parts of the wall time add up, and their share is the effective training time") {
  planner::GoodputInputs in = llama();
  in.reliability.planned_per_day = 1.0;
  in.reliability.spare_nodes = 5;
  const planner::Goodput g = planner::goodput(in);
  CHECK(g.net_s + g.checkpoint_s + g.restart_s + g.lost_work_s + g.planned_s + g.waiting_s ==
        doctest::Approx(g.wall_s));
  for (const double part : {g.checkpoint_s, g.restart_s, g.lost_work_s, g.planned_s, g.waiting_s}) CHECK(part > 0.0);
  CHECK(g.effective == doctest::Approx(g.net_s / g.wall_s));
  CHECK(g.gross_gpu_hours == doctest::Approx(g.wall_s / 3600.0 * (16384 + 5 * 8)));
  CHECK(g.wall_s / g.net_s == doctest::Approx(planner::wall_over_net(in, g, 1.0, 1.0)));
}

TEST_CASE("Llama 3's rate: a failure every 3.1 hours on 16,384 GPUs") {
  planner::GoodputInputs in = llama();
  in.reliability.spare_nodes = 1000;
  const planner::Goodput g = planner::goodput(in);
  CHECK(g.mtbf_s == doctest::Approx(54.0 * 86400.0 / 419.0));
  CHECK(g.failures * g.mtbf_s == doctest::Approx(g.wall_s).epsilon(1e-6));  // no node is ever waited for
  CHECK(g.write_s == doctest::Approx(405e9 * 10.0 / 2e12));
  CHECK(g.interval_s == doctest::Approx(g.interval_steps * 5.0));
}

TEST_CASE("more failures, slower restarts and slower storage never help") {
  double last = 1.0;
  for (const double rate : {0.0, 1e-5, 1e-4, 5e-4, 2e-3}) {
    planner::GoodputInputs in = llama();
    in.reliability.failures_per_gpu_day = rate;
    const double effective = planner::goodput(in).effective;
    CHECK(effective <= last);
    last = effective;
  }
  const double usual = planner::goodput(llama()).effective;
  planner::GoodputInputs slow_restart = llama(), slow_storage = llama(), background = llama();
  slow_restart.reliability.restart_s *= 2.0;
  slow_storage.reliability.storage_bandwidth_per_gpu /= 10.0;
  background.reliability.storage_bandwidth_per_gpu /= 10.0;
  background.reliability.blocking_share = 0.1;
  CHECK(planner::goodput(slow_restart).effective < usual);
  CHECK(planner::goodput(slow_storage).effective < usual);
  CHECK(planner::goodput(background).effective > planner::goodput(slow_storage).effective);
}

TEST_CASE("where nothing fails nothing is written, unless the plan asks for it") {
  planner::GoodputInputs in = llama();
  in.reliability.failures_per_gpu_day = 0.0;
  CHECK(planner::goodput(in).effective == 1.0);
  CHECK(planner::goodput(in).spare_nodes == 0);
  in.reliability.checkpoint_interval_s = 600.0;
  CHECK(planner::goodput(in).effective == doctest::Approx(600.0 / (600.0 + 2.025)).epsilon(1e-4));
}

TEST_CASE("the chosen number of spares costs fewest GPU-hours") {
  const planner::Goodput chosen = planner::goodput(llama());
  CHECK(chosen.spare_nodes > 0);
  for (const std::int64_t other :
       {chosen.spare_nodes - 1, chosen.spare_nodes + 1, std::int64_t{0}, std::int64_t{100}}) {
    planner::GoodputInputs in = llama();
    in.reliability.spare_nodes = other;
    if (planner::waiting_for_nodes(1.0, other) > 0.999) continue;
    CHECK(planner::goodput(in).gross_gpu_hours >= chosen.gross_gpu_hours);
  }
}

TEST_CASE("a run that fails faster than it restarts is refused") {
  planner::GoodputInputs in = llama();
  in.reliability.failures_per_gpu_day = 1.0;
  CHECK_THROWS_AS(planner::goodput(in), base::Error);
}
