// V-Min (arXiv 2405.15362): about (p+4)/3 micro-batches of activations, the least of a V-shaped schedule that still
// keeps all ranks busy for F = B = W; where they differ, ranks wait for each other in every period.
#include "schedules/controllable_memory.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule v_min(const Shape& shape) {
  const int p = shape.ranks, d = p % 3 == 0 ? 2 : 0;
  std::vector<BuildingBlock> blocks;
  for (int i = 0; i < p; ++i) blocks.push_back({i, 2 * p - i - 1, 2 * p + d + i, 4 * p + d - i - 1});
  return repeat_building_blocks("v-min", shape, blocks);
}

}  // namespace hourglass::schedules
