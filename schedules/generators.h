#pragma once

#include "schedules/schedule.h"

// The generators behind the catalogue, one small file each. A generator checks nothing: catalogue.cpp
// has bounded the shape, filled in `chunks` and asked the schedule's own rule.
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

// The rule of a schedule that a shape breaks, "" if none: "needs an even number of ranks; got 7".
std::string interleaved_1f1b_rule(const Shape& shape);
std::string interleaved_overlap_rule(const Shape& shape);
std::string zb_h2_rule(const Shape& shape);
std::string dualpipe_rule(const Shape& shape);
std::string dualpipev_rule(const Shape& shape);

}  // namespace hourglass::schedules
