// V-Half (arXiv 2405.15362): about p/2 + 1 micro-batches of activations, half of 1F1B's, for a bubble of its size.
#include "schedules/controllable_memory.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

Schedule v_half(const Shape& shape) {
  const int p = shape.ranks, d = p % 2 == 0 ? 3 : 0;
  std::vector<BuildingBlock> blocks;
  for (int i = 0; i < p; ++i) blocks.push_back({2 * i, 3 * p - i - 2, 3 * p + d + 2 * i - 1, 6 * p + d - i - 2});
  return repeat_building_blocks("v-half", shape, blocks);
}

}  // namespace hourglass::schedules
