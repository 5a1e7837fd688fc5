#pragma once

#include "schedules/schedule.h"

// The generators behind the catalogue, one small file each. A generator checks only the rules of its own schedule:
// catalogue.cpp has bounded the shape and filled in `chunks`.
namespace hourglass::schedules {

Schedule gpipe(const Shape& shape);
Schedule one_forward_one_backward(const Shape& shape);
Schedule interleaved_1f1b(const Shape& shape);
Schedule interleaved_overlap(const Shape& shape);
Schedule looped_bfs(const Shape& shape);
Schedule zb_h1(const Shape& shape);
Schedule zb_h2(const Shape& shape);
Schedule zb_v(const Shape& shape);
Schedule v_half(const Shape& shape);
Schedule v_min(const Shape& shape);
Schedule dualpipe(const Shape& shape);
Schedule dualpipev(const Shape& shape);

}  // namespace hourglass::schedules
