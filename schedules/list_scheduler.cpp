// List scheduling in simulated time. Events are (time, rank): a rank may have become free or an input may have arrived.
// At an event a free rank looks at its candidates -- for every stage it holds, in the order of micro-batches, the next
// F, the next B and the next W -- and starts the most urgent one that is ready. Each start makes two events: the rank's
// own end and the arrival at the rank that waits for the output.
//
// Memory. A rank reserves all its stages of a micro-batch when it starts the first of them and gives each back at its
// W, so micro-batches admitted can always be finished: oldest first, nothing they need is refused.
//
// Pairs. Where FB < F + B + W a rank that could start an F and a B runs both as one block.
#include "schedules/list_scheduler.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <queue>
#include <tuple>

namespace hourglass::schedules {

namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// A stage on a rank, in one direction, with how far its F, B and W have come.
struct Slot {
  int direction = 0, stage = 0;
  int first = 0, count = 0;  // its micro-batches
  int forwards = 0, backwards = 0, weights = 0;
  std::deque<int> deferred;  // micro-batches whose W waits
};

struct Choice {
  Slot* forward = nullptr;
  Slot* backward = nullptr;
  Slot* weight = nullptr;
};

class ListScheduler {
 public:
  ListScheduler(Schedule placement, const Costs& costs, double cap, const Policy& policy, base::Random& random)
      : schedule_(std::move(placement)), policy_(policy), random_(random) {
    const double chunks = static_cast<double>(schedule_.stages) / schedule_.ranks;
    f_ = costs.forward / chunks;
    b_ = costs.backward_input / chunks;
    w_ = costs.backward_weight / chunks;
    pair_ = costs.pair() / chunks;
    p2p_ = costs.p2p;
    pairs_ = pair_ < (f_ + b_ + w_) * (1.0 - 1e-9);
    cap_ = cap > 0.0 ? static_cast<long>(std::floor(cap * chunks + 1e-9)) : std::numeric_limits<long>::max();
    prepare();
  }

  std::optional<Schedule> run() {
    while (!events_.empty()) {
      const auto [time, rank] = events_.top();
      events_.pop();
      if (time + 1e-12 < free_[static_cast<std::size_t>(rank)]) continue;
      step(rank, time);
    }
    std::size_t done = 0;
    for (const auto& slots : slots_) {
      for (const Slot& slot : slots) done += static_cast<std::size_t>(slot.weights == slot.count);
    }
    const auto all = static_cast<std::size_t>(schedule_.stages * schedule_.directions);
    if (done != all) return std::nullopt;
    return std::move(schedule_);
  }

 private:
  void prepare() {
    const auto ranks = static_cast<std::size_t>(schedule_.ranks);
    const auto cells = static_cast<std::size_t>(schedule_.stages) * static_cast<std::size_t>(schedule_.micro_batches);
    schedule_.actions.assign(ranks, {});
    slots_.resize(ranks);
    free_.assign(ranks, 0.0);
    held_.assign(ranks, 0);
    last_forward_.assign(ranks, false);
    forward_end_.assign(cells, never);
    backward_end_.assign(cells, never);
    reserved_.assign(ranks, std::vector<bool>(static_cast<std::size_t>(schedule_.micro_batches), false));
    const int share = schedule_.micro_batches / schedule_.directions;
    for (int d = 0; d < schedule_.directions; ++d) {
      for (int s = 0; s < schedule_.stages; ++s) {
        const int rank = schedule_.placement[static_cast<std::size_t>(d)][static_cast<std::size_t>(s)];
        slots_[static_cast<std::size_t>(rank)].push_back({d, s, d * share, share, 0, 0, 0, {}});
      }
    }
    for (int rank = 0; rank < schedule_.ranks; ++rank) events_.push({0.0, rank});
  }

  std::size_t cell(int stage, int micro_batch) const {
    return static_cast<std::size_t>(stage) * static_cast<std::size_t>(schedule_.micro_batches) +
           static_cast<std::size_t>(micro_batch);
  }
  double arrival(double end, int from, int to, int direction) const {
    const auto& placement = schedule_.placement[static_cast<std::size_t>(direction)];
    return end + (placement[static_cast<std::size_t>(from)] != placement[static_cast<std::size_t>(to)] ? p2p_ : 0.0);
  }
  // How many of a direction's stages the rank holds.
  long stages_here(int rank, int direction) const {
    long count = 0;
    for (const Slot& slot : slots_[static_cast<std::size_t>(rank)]) count += slot.direction == direction ? 1 : 0;
    return count;
  }

  double forward_ready(int rank, const Slot& slot) const {
    if (slot.forwards == slot.count) return never;
    const int k = slot.first + slot.forwards;
    const auto r = static_cast<std::size_t>(rank);
    if (!reserved_[r][static_cast<std::size_t>(k)] && held_[r] + stages_here(rank, slot.direction) > cap_) return never;
    return slot.stage == 0 ? 0.0
                           : arrival(forward_end_[cell(slot.stage - 1, k)], slot.stage - 1, slot.stage, slot.direction);
  }
  double backward_ready(const Slot& slot) const {
    if (slot.backwards == slot.forwards) return never;
    const int k = slot.first + slot.backwards;
    const double own = forward_end_[cell(slot.stage, k)];
    if (slot.stage + 1 == schedule_.stages) return own;
    return std::max(own, arrival(backward_end_[cell(slot.stage + 1, k)], slot.stage + 1, slot.stage, slot.direction));
  }

  double urgency(const Slot& slot, int micro_batch, Policy::Tie tie) {
    const double random = policy_.noise > 0.0 ? policy_.noise * random_.normal() : 0.0;
    switch (tie) {
      case Policy::Tie::oldest:
        return -(micro_batch - slot.first) + random;
      case Policy::Tie::deepest:
        return slot.stage + random;
      case Policy::Tie::shallowest:
        return -slot.stage + random;
    }
    return random;
  }

  Choice choose(int rank, double now, double& wake) {
    Choice choice;
    double best_f = -never, best_b = -never, next_b = never;
    int waiting = 0;
    for (Slot& slot : slots_[static_cast<std::size_t>(rank)]) {
      const double f = forward_ready(rank, slot), b = backward_ready(slot);
      waiting += static_cast<int>(slot.deferred.size());
      if (f <= now + 1e-12) {
        const double u = urgency(slot, slot.first + slot.forwards, policy_.forward_tie);
        if (u > best_f) best_f = u, choice.forward = &slot;
      }
      if (b <= now + 1e-12) {
        const double u = urgency(slot, slot.first + slot.backwards, policy_.backward_tie);
        if (u > best_b) best_b = u, choice.backward = &slot;
      } else {
        next_b = std::min(next_b, b);
      }
      if (slot.deferred.size() > (choice.weight == nullptr ? 0 : choice.weight->deferred.size())) choice.weight = &slot;
    }
    if (choice.backward == nullptr && next_b <= now + policy_.patience) {
      wake = next_b;
      return {};
    }
    return narrowed(rank, choice, waiting);
  }

  // One kind of action of the candidates, or a pair.
  Choice narrowed(int rank, const Choice& c, int waiting) const {
    if (pairs_ && c.forward != nullptr && c.backward != nullptr) return {c.forward, c.backward, nullptr};
    const bool forward_first =
        policy_.first == Policy::First::forward ||
        (policy_.first == Policy::First::alternate && !last_forward_[static_cast<std::size_t>(rank)]);
    if (c.backward != nullptr && (c.forward == nullptr || !forward_first)) return {nullptr, c.backward, nullptr};
    if (c.weight != nullptr && (c.forward == nullptr || waiting >= policy_.deferred_weights))
      return {nullptr, nullptr, c.weight};
    if (c.forward != nullptr) return {c.forward, nullptr, nullptr};
    return {nullptr, nullptr, c.weight};
  }

  void step(int rank, double now) {
    double wake = never;
    const Choice c = choose(rank, now, wake);
    const auto r = static_cast<std::size_t>(rank);
    if (c.forward == nullptr && c.backward == nullptr && c.weight == nullptr) {
      if (wake < never) events_.push({wake, rank});
      return;
    }
    const bool pair = c.forward != nullptr && c.backward != nullptr;
    const double end = now + (pair ? pair_ : c.forward != nullptr ? f_ : c.backward != nullptr ? b_ : w_);
    free_[r] = end;
    events_.push({end, rank});
    last_forward_[r] = c.forward != nullptr;
    const int forward = c.forward != nullptr ? start_forward(rank, *c.forward, end) : -1;
    const int backward = c.backward != nullptr ? start_backward(*c.backward, end) : -1;
    auto& actions = schedule_.actions[r];
    if (pair)
      actions.push_back({Kind::overlapped, c.forward->stage, forward, c.backward->stage, backward});
    else if (c.forward != nullptr)
      actions.push_back({Kind::forward, c.forward->stage, forward, -1, -1});
    else if (c.backward != nullptr)
      actions.push_back({Kind::backward_input, c.backward->stage, backward, -1, -1});
    if (pair)
      finish_weight(rank, *c.backward);
    else if (c.backward != nullptr)
      c.backward->deferred.push_back(backward);
    if (c.weight != nullptr) {
      actions.push_back({Kind::backward_weight, c.weight->stage, c.weight->deferred.front(), -1, -1});
      c.weight->deferred.pop_front();
      finish_weight(rank, *c.weight);
    }
  }

  int start_forward(int rank, Slot& slot, double end) {
    const int k = slot.first + slot.forwards++;
    const auto r = static_cast<std::size_t>(rank);
    if (!reserved_[r][static_cast<std::size_t>(k)]) {
      reserved_[r][static_cast<std::size_t>(k)] = true;
      held_[r] += stages_here(rank, slot.direction);
    }
    forward_end_[cell(slot.stage, k)] = end;
    if (slot.stage + 1 < schedule_.stages) wake_holder(slot.stage, slot.stage + 1, slot.direction, end);
    return k;
  }
  int start_backward(Slot& slot, double end) {
    const int k = slot.first + slot.backwards++;
    backward_end_[cell(slot.stage, k)] = end;
    if (slot.stage > 0) wake_holder(slot.stage, slot.stage - 1, slot.direction, end);
    return k;
  }
  void finish_weight(int rank, Slot& slot) {
    ++slot.weights;
    --held_[static_cast<std::size_t>(rank)];
  }
  void wake_holder(int from, int to, int direction, double end) {
    events_.push({arrival(end, from, to, direction),
                  schedule_.placement[static_cast<std::size_t>(direction)][static_cast<std::size_t>(to)]});
  }

  using Event = std::pair<double, int>;
  Schedule schedule_;
  Policy policy_;
  base::Random& random_;
  double f_ = 0.0, b_ = 0.0, w_ = 0.0, pair_ = 0.0, p2p_ = 0.0;
  bool pairs_ = false;
  long cap_ = 0;
  std::vector<std::vector<Slot>> slots_;  // [rank]
  std::vector<double> free_;
  std::vector<long> held_;  // stages reserved on the rank
  std::vector<bool> last_forward_;
  std::vector<double> forward_end_, backward_end_;  // [stage][micro-batch]
  std::vector<std::vector<bool>> reserved_;         // [rank][micro-batch]
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

std::optional<Schedule> list_schedule(Schedule placement, const Costs& costs, double activation_cap,
                                      const Policy& policy, base::Random& random) {
  return ListScheduler(std::move(placement), costs, activation_cap, policy, random).run();
}

}  // namespace hourglass::schedules
