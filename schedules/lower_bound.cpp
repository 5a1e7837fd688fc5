// Lower bounds on the makespan, from the placement alone.
//
// One machine with heads and tails. A rank must do F, B and W of its stages for every micro-batch. Work of stage s
// cannot start before its head (the way of a micro-batch from the entry to it) and leaves at least its tail after it:
//     F: head  sum of F before s                       tail  F after s, all B, W of stage 0
//     B: head  all F, B after s                        tail  B before s, W of stage 0
//     W: head  of B, and B                             tail  0
// with p2p for every change of rank on the way. If the rank could preempt, running what is there with the longest tail
// would be optimal (Jackson's preemptive schedule; Carlier 1982), so its makespan bounds every order from below.
// Micro-batches of a direction have the same heads and tails and count as one job.
//
// Pairs. An overlapped pair does F and BW in FB. If FB < F + B + W, every job is shortened by FB / (F + B + W): a pair
// then holds at least the shortened work of both, and work alone more than it. On the way a step costs at least min(F,
// FB), or min(B, FB), and the last B with its W at least min(B + W, FB): FB may be smaller than B + W.
//
// Little's law. Each micro-batch occupies its activations on a rank from F's start to W's end; with a cap on their
// number, makespan >= m x shortest lifetime / cap.
#include "schedules/lower_bound.h"

#include <algorithm>
#include <vector>

namespace hourglass::schedules {

namespace {

struct Job {
  double head = 0.0, work = 0.0, tail = 0.0;
};

// Jackson's preemptive schedule: always the job with the longest tail among those that have arrived.
double one_machine(std::vector<Job> jobs) {
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.head < b.head; });
  double now = 0.0, bound = 0.0;
  for (std::size_t arrived = 0;;) {
    while (arrived < jobs.size() && jobs[arrived].head <= now) ++arrived;
    const auto end = jobs.begin() + static_cast<std::ptrdiff_t>(arrived);
    const auto urgent = std::max_element(jobs.begin(), end, [](const Job& a, const Job& b) {
      return (a.work > 0.0 ? a.tail : -1.0) < (b.work > 0.0 ? b.tail : -1.0);
    });
    const bool idle = urgent == end || urgent->work <= 0.0;
    if (idle && arrived == jobs.size()) return bound;
    if (idle) {
      now = jobs[arrived].head;
      continue;
    }
    const double until_next = arrived < jobs.size() ? jobs[arrived].head - now : urgent->work;
    const double run = std::min(urgent->work, until_next);
    now += run;
    urgent->work -= run;
    if (run == until_next && urgent->work < 1e-12 * now) urgent->work = 0.0;
    if (urgent->work <= 0.0) bound = std::max(bound, now + urgent->tail);
  }
}

// The way of a micro-batch through one direction's stages, per stage.
struct Way {
  std::vector<double> to_forward, to_backward;        // from the entry to the start of F, of B
  std::vector<double> after_forward, after_backward;  // from their end to the micro-batch's last W at stage 0
};

Way way_through(const std::vector<int>& placement, double forward, double backward, double weight, double p2p) {
  const std::size_t stages = placement.size();
  Way way{std::vector<double>(stages, 0.0), std::vector<double>(stages, 0.0), std::vector<double>(stages, 0.0),
          std::vector<double>(stages, 0.0)};
  const auto hop = [&](std::size_t s) { return placement[s] != placement[s + 1] ? p2p : 0.0; };
  for (std::size_t s = 0; s + 1 < stages; ++s) way.to_forward[s + 1] = way.to_forward[s] + forward + hop(s);
  way.to_backward[stages - 1] = way.to_forward[stages - 1] + forward;
  way.after_backward[0] = weight;
  for (std::size_t s = stages - 1; s > 0; --s) way.to_backward[s - 1] = way.to_backward[s] + backward + hop(s - 1);
  for (std::size_t s = 0; s + 1 < stages; ++s) way.after_backward[s + 1] = way.after_backward[s] + backward + hop(s);
  way.after_forward[stages - 1] = backward + way.after_backward[stages - 1];
  for (std::size_t s = stages - 1; s > 0; --s) way.after_forward[s - 1] = way.after_forward[s] + forward + hop(s - 1);
  return way;
}

}  // namespace

double lower_bound(const Schedule& schedule, const Costs& costs, double activation_cap) {
  const double chunks = static_cast<double>(schedule.stages) / static_cast<double>(schedule.ranks);
  const double pair = costs.pair() / chunks;
  const double forward = costs.forward / chunks, backward = costs.backward_input / chunks,
               weight = costs.backward_weight / chunks;
  const double alone = forward + backward + weight;
  const double shortened = alone > 0.0 ? std::min(1.0, pair / alone) : 1.0;
  const double step_forward = std::min(forward, pair), step_backward = std::min(backward, pair),
               last = std::max(0.0, std::min(step_backward + weight, pair) - step_backward);
  std::vector<std::vector<Job>> jobs(static_cast<std::size_t>(schedule.ranks));
  double bound = 0.0;
  std::vector<double> occupied(static_cast<std::size_t>(schedule.ranks), 0.0);
  for (std::size_t d = 0; d < schedule.placement.size(); ++d) {
    const std::vector<int>& placement = schedule.placement[d];
    const double count = static_cast<double>(schedule.micro_batches) / static_cast<double>(schedule.directions);
    const Way way = way_through(placement, step_forward, step_backward, last, costs.p2p);
    for (std::size_t s = 0; s < placement.size(); ++s) {
      const auto rank = static_cast<std::size_t>(placement[s]);
      const double work = count * shortened;
      // A pair's input gradient is there only at its end, so inside a rank no job can be taken to follow its own B
      // sooner.
      jobs[rank].push_back({way.to_forward[s], work * forward, way.after_forward[s]});
      jobs[rank].push_back({way.to_backward[s], work * backward, way.after_backward[s]});
      jobs[rank].push_back({way.to_backward[s] + (pair < alone ? 0.0 : backward), work * weight, 0.0});
      occupied[rank] += count / chunks *
                        (way.to_backward[s] + (pair < alone ? step_backward : backward + weight) - way.to_forward[s]);
    }
  }
  for (std::size_t rank = 0; rank < jobs.size(); ++rank) {
    bound = std::max(bound, one_machine(jobs[rank]));
    if (activation_cap > 0.0) bound = std::max(bound, occupied[rank] / activation_cap);
  }
  return bound;
}

}  // namespace hourglass::schedules
