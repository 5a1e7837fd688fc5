// Schedules with controllable memory (arXiv 2405.15362). A rank's peak activations are the sum of its stages' lifespans
// over the period at which micro-batches follow each other: fix the *building block* -- when each stage of one
// micro-batch runs -- and the memory of the whole schedule is fixed. With stages r and 2p-1-r on rank r, long lifespans
// meet short ones on every rank, and all ranks hold the same. The offsets of v-half and v-min are section 3.3's.
//
// Repeating the block leaves gaps while the pipeline fills and drains. They are closed greedily: forwards and input
// gradients keep the order of the repeated block, each starts as soon as it can, and a weight gradient goes where its
// rank would wait or where memory would exceed the repeated block's peak. Then nothing deadlocks, since the order of
// forwards and input gradients is that of a timetable, and a rank that is full always has a weight gradient to run.
//
// Limits: timed for F = B = W and no latency, as the paper's block is; the order is then kept whatever the costs.
#include "schedules/controllable_memory.h"

#include <algorithm>
#include <array>
#include <deque>

namespace hourglass::schedules {

namespace {

constexpr int period = 6;

struct TimedAction {
  int time;
  Action action;
};

// Forwards and input gradients of one rank in the order of the repeated block.
std::vector<Action> repeated_block(const BuildingBlock& block, int rank, const Shape& shape) {
  const int down = rank, up = 2 * shape.ranks - 1 - rank;
  std::vector<TimedAction> timed;
  for (int i = 0; i < shape.micro_batches; ++i) {
    const int at = period * i;
    timed.push_back({block[0] + at, forward(down, i)});
    timed.push_back({block[1] + at, forward(up, i)});
    timed.push_back({block[2] + at, backward_input(up, i)});
    timed.push_back({block[3] + at, backward_input(down, i)});
  }
  std::sort(timed.begin(), timed.end(), [](const TimedAction& a, const TimedAction& b) { return a.time < b.time; });
  std::vector<Action> order;
  for (const TimedAction& entry : timed) order.push_back(entry.action);
  return order;
}

// Chunks of activations that a rank holds while the block repeats, if each weight gradient takes the first of the two
// free units of the period after its input gradient.
int peak_of_repetition(const BuildingBlock& block) {
  std::array<bool, period> taken{};
  for (const int at : block) taken[static_cast<std::size_t>(at % period)] = true;
  const auto end_of_weight = [&](int input_gradient) {
    int at = input_gradient + 1;
    while (taken[static_cast<std::size_t>(at % period)]) ++at;
    taken[static_cast<std::size_t>(at % period)] = true;
    return at + 1;
  };
  const int up_end = end_of_weight(block[2]), down_end = end_of_weight(block[3]);
  // Micro-batches whose interval [first, end) covers `at`, the intervals being repeated every period.
  const auto floor_periods = [](int time) { return (time >= 0 ? time : time - period + 1) / period; };
  int peak = 0;
  for (int at = 0; at < period; ++at) {
    const auto covering = [&](int first, int end) { return floor_periods(at - first) - floor_periods(at - end); };
    peak = std::max(peak, covering(block[0], down_end) + covering(block[1], up_end));
  }
  return peak;
}

struct GreedyRank {
  std::vector<Action> order;  // forwards and input gradients
  std::size_t next = 0;
  std::deque<Action> weights;
  int held = 0;

  bool finished() const { return next == order.size() && weights.empty(); }
};

// end[kind][stage * m + micro_batch]: the time from which an output can be used.
struct Timetable {
  int stages, micro_batches;
  std::array<std::vector<int>, 2> end;

  Timetable(int stages_, int micro_batches_) : stages(stages_), micro_batches(micro_batches_) {
    const auto size = static_cast<std::size_t>(stages) * static_cast<std::size_t>(micro_batches);
    end.fill(std::vector<int>(size, never));
  }
  int& at(bool backward, int stage, int micro_batch) {
    return end[backward ? 1 : 0][static_cast<std::size_t>(stage) * static_cast<std::size_t>(micro_batches) +
                                 static_cast<std::size_t>(micro_batch)];
  }
  bool ready(const Action& action, int now) {
    const int s = action.stage, i = action.micro_batch;
    if (action.kind == Kind::forward) return s == 0 || at(false, s - 1, i) <= now;
    return at(false, s, i) <= now && (s == stages - 1 || at(true, s + 1, i) <= now);
  }
  void finish(const Action& action, int now) {
    at(action.kind == Kind::backward_input, action.stage, action.micro_batch) = now;
  }

  static constexpr int never = 1 << 30;
};

// Runs what rank `self` should run in [now, now + 1), if anything.
void step(GreedyRank& self, Timetable& timetable, int now, int most_held, std::vector<Action>& actions) {
  const bool left = self.next < self.order.size();
  const bool full = left && self.order[self.next].kind == Kind::forward && self.held == most_held;
  if (left && !full && timetable.ready(self.order[self.next], now)) {
    const Action action = self.order[self.next++];
    timetable.finish(action, now + 1);
    actions.push_back(action);
    if (action.kind == Kind::forward)
      ++self.held;
    else
      self.weights.push_back(backward_weight(action.stage, action.micro_batch));
  } else if (!self.weights.empty()) {
    actions.push_back(self.weights.front());
    self.weights.pop_front();
    --self.held;
  }
}

}  // namespace

Schedule repeat_building_blocks(const std::string& name, const Shape& shape, const std::vector<BuildingBlock>& blocks) {
  Schedule schedule = v_placement(name, shape);
  std::vector<GreedyRank> ranks(blocks.size());
  int most_held = 2;
  for (std::size_t r = 0; r < blocks.size(); ++r) {
    ranks[r].order = repeated_block(blocks[r], static_cast<int>(r), shape);
    most_held = std::max(most_held, peak_of_repetition(blocks[r]));
  }
  Timetable timetable(schedule.stages, schedule.micro_batches);
  const auto finished = [](const GreedyRank& rank) { return rank.finished(); };
  for (int now = 0; !std::all_of(ranks.begin(), ranks.end(), finished); ++now) {
    for (std::size_t r = 0; r < ranks.size(); ++r) step(ranks[r], timetable, now, most_held, schedule.actions[r]);
  }
  return schedule;
}

}  // namespace hourglass::schedules
