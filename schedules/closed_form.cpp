// Closed forms of pipeline schedules, exact only in their regime; all of them without point-to-point time. "Bubble" is
// the largest over ranks of makespan - busy; "span bubble" the same with the longest span of a rank.
//   gpipe, 1f1b          (p-1)(F+BW)               always                        GPipe, arXiv 1811.06965
//   interleaved-1f1b     (p-1)(F+BW)/v             p divides m                   Megatron-LM, arXiv 2104.04473, 2.2
//   zb-h1                (p-1)(F+B-W)              W <= F, W <= B; m >= p        Zero Bubble, arXiv 2401.10241, 2
//   zb-h2, span          (p-1)(F+B-2W)             W <= F, 2W <= F+B
//   zb-v, span           0                         F = B = W; m >= 2p-1
//   dualpipe             (p/2-1)(FB+BW-3W)         F = B = W, BW <= FB <= F+BW   DeepSeek-V3, arXiv 2412.19437, table 2
//   dualpipev            (p-1)(FB+BW-3W)/2         the same                      dualpipe on 2p ranks of half the work
//   interleaved-overlap  a makespan, by counting warm-up, pairs and cool-down    FB >= BW, FB >= F
// Outside its regime a form is printed as not applying; the simulated order is the answer.
#include "schedules/closed_form.h"

#include <algorithm>
#include <cmath>

namespace hourglass::schedules {

namespace {

bool equal(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)}); }
bool at_most(double a, double b) { return a <= b || equal(a, b); }

struct Terms {
  double p, m, v, f, b, w, bw, fb;
  bool free_messages, all_equal;
};

ClosedForm interleaved_overlap_total(const Terms& t) {
  const double fixed = (t.p - 1) + (t.p * (t.v - 1) + 1), pairs = t.m * t.v - t.p * (t.v - 1) - 1;
  return {"[(p-1)(F+BW) + (p(v-1)+1)(F+BW) + (mv-p(v-1)-1) FB] / v", (fixed * (t.f + t.bw) + pairs * t.fb) / t.v,
          "makespan", at_most(t.bw, t.fb) && at_most(t.f, t.fb), "FB >= BW and FB >= F"};
}

std::optional<ClosedForm> form_of(const std::string& name, const Terms& t) {
  if (name == "gpipe" || name == "1f1b")
    return ClosedForm{"(p-1)(F+BW)", (t.p - 1) * (t.f + t.bw), "bubble", true, "always"};
  if (name == "interleaved-1f1b")
    return ClosedForm{"(p-1)(F+BW)/v", (t.p - 1) * (t.f + t.bw) / t.v, "bubble", true, "p divides m"};
  if (name == "interleaved-overlap") return interleaved_overlap_total(t);
  if (name == "zb-h1") {
    return ClosedForm{"(p-1)(F+B-W)", (t.p - 1) * (t.f + t.b - t.w), "bubble",
                      t.m >= t.p && at_most(t.w, t.f) && at_most(t.w, t.b), "m >= p, W <= F, W <= B"};
  }
  if (name == "zb-h2") {
    return ClosedForm{"(p-1)(F+B-2W)", (t.p - 1) * (t.f + t.b - 2 * t.w), "span bubble",
                      at_most(t.w, t.f) && at_most(2 * t.w, t.f + t.b), "W <= F and 2W <= F+B"};
  }
  if (name == "zb-v")
    return ClosedForm{"0", 0.0, "span bubble", t.all_equal && t.m >= 2 * t.p - 1, "m >= 2p-1, F = B = W"};
  // The main step moves at the pace of pairs: cheaper than a full backward, or dearer than their parts, they leave the
  // warm-up and the cool-down out of step with it.
  const double pair_form = t.fb + t.bw - 3 * t.w;
  const bool in_step = t.all_equal && at_most(t.bw, t.fb) && at_most(t.fb, t.f + t.bw);
  if (name == "dualpipe")
    return ClosedForm{"(p/2-1)(FB+BW-3W)", (t.p / 2 - 1) * pair_form, "bubble", in_step, "F = B = W, BW <= FB <= F+BW"};
  if (name == "dualpipev")
    return ClosedForm{"(p-1)(FB+BW-3W)/2", (t.p - 1) * pair_form / 2, "bubble", in_step, "F = B = W, BW <= FB <= F+BW"};
  return std::nullopt;
}

}  // namespace

std::optional<ClosedForm> closed_form(const Schedule& schedule, const Costs& costs) {
  const double chunks = static_cast<double>(schedule.stages) / static_cast<double>(schedule.ranks);
  const Terms terms = {
      static_cast<double>(schedule.ranks),
      static_cast<double>(schedule.micro_batches),
      chunks,
      costs.forward,
      costs.backward_input,
      costs.backward_weight,
      costs.backward(),
      costs.pair(),
      costs.p2p == 0.0,
      equal(costs.forward, costs.backward_input) && equal(costs.backward_input, costs.backward_weight)};
  std::optional<ClosedForm> form = form_of(schedule.name, terms);
  if (!form) return form;
  form->applies = form->applies && terms.free_messages;
  form->regime += form->regime == "always" ? ", p2p = 0" : " and p2p = 0";
  return form;
}

}  // namespace hourglass::schedules
