#pragma once

#include <array>
#include <string>
#include <vector>

#include "schedules/build.h"

namespace hourglass::schedules {

// When a rank starts F of the descending stage, F of the ascending, B of the ascending and B of the descending stage of
// micro-batch 0, in blocks of unit length.
using BuildingBlock = std::array<int, 4>;

// Repeats the ranks' building blocks every six units of time (one F, B and W for each of the two stages), then moves
// every block forward as far as dependencies and memory let it.
Schedule repeat_building_blocks(const std::string& name, const Shape& shape, const std::vector<BuildingBlock>& blocks);

}  // namespace hourglass::schedules
