// DualPipeV (DeepSeek's DualPipe repository, "cut-in-half" after Sea AI Lab): the lower half of a DualPipe folded onto
// the upper. Rank r holds stages r and 2p-1-r of one V-shaped pipeline, which takes the places of DualPipe's two
// directions, so there is one copy of the parameters; rank r of dualpipev(p, m) runs the very sequence of rank r of
// dualpipe(2p, 2m). 2p+1 chunks (p + 1/2 micro-batches) of activations.
#include "schedules/build.h"
#include "schedules/dualpipe.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

std::string dualpipev_rule(const Shape& shape) { return too_few(shape, 2 * shape.ranks, "2p"); }

Schedule dualpipev(const Shape& shape) {
  const int p = shape.ranks, m = shape.micro_batches;
  Schedule schedule = v_placement("dualpipev", shape);
  for (int r = 0; r < p; ++r) {
    const DualPipeRank rank{p, r, m, {r, 2 * p - 1 - r}, {0, 0}};
    append_dualpipe_steps(rank, schedule.actions[static_cast<std::size_t>(r)]);
  }
  return schedule;
}

}  // namespace hourglass::schedules
