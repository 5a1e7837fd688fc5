// Who waits for whom, derived from the actions alone. Generators write orders and never dependencies, so an order can
// be wrong, but not inconsistent with itself.
//
// Three tables, indexed by stage and micro-batch, say which action produces each forward, input gradient and weight
// gradient; a second pass over the actions looks its inputs up. Both are linear and touch memory in order.
#include "schedules/dependencies.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "schedules/letters.h"

namespace hourglass::schedules {

namespace {

using base::Pass;

constexpr std::uint32_t none = ~std::uint32_t{0};

// Every micro-batch has one direction, so (stage, micro-batch) names a block of work whatever the placement.
class Producers {
 public:
  explicit Producers(const Schedule& schedule)
      : stages_(schedule.stages),
        micro_batches_(schedule.micro_batches),
        blocks_(static_cast<std::size_t>(stages_) * static_cast<std::size_t>(micro_batches_), {none, none, none}) {}

  // The halves that an action produces: one, or for a full backward and a pair several.
  void record(const Action& action, std::uint32_t id) {
    switch (action.kind) {
      case Kind::forward:
        set(Pass::forward, action.stage, action.micro_batch, id);
        break;
      case Kind::backward_input:
        set(Pass::backward_input, action.stage, action.micro_batch, id);
        break;
      case Kind::backward_weight:
        set(Pass::backward_weight, action.stage, action.micro_batch, id);
        break;
      case Kind::backward:
        set_full_backward(action.stage, action.micro_batch, id);
        break;
      case Kind::overlapped:
        set(Pass::forward, action.stage, action.micro_batch, id);
        set_full_backward(action.backward_stage, action.backward_micro_batch, id);
        break;
    }
  }

  // Throws if nothing produces it: then the schedule is incomplete.
  std::uint32_t of(Pass pass, int stage, int micro_batch, const Action& consumer) const {
    const std::uint32_t id = blocks_[index(stage, micro_batch)][static_cast<std::size_t>(pass)];
    if (id == none) missing(pass, stage, micro_batch, consumer);
    return id;
  }

 private:
  std::size_t index(int stage, int micro_batch) const {
    return static_cast<std::size_t>(stage) * static_cast<std::size_t>(micro_batches_) +
           static_cast<std::size_t>(micro_batch);
  }

  std::array<std::uint32_t, 3>& block(int stage, int micro_batch) {
    if (stage < 0 || stage >= stages_ || micro_batch < 0 || micro_batch >= micro_batches_) outside(stage, micro_batch);
    return blocks_[index(stage, micro_batch)];
  }
  void set(Pass pass, int stage, int micro_batch, std::uint32_t id) {
    std::uint32_t& producer = block(stage, micro_batch)[static_cast<std::size_t>(pass)];
    if (producer != none) twice(pass, stage, micro_batch);
    producer = id;
  }
  void set_full_backward(int stage, int micro_batch, std::uint32_t id) {
    auto& [forward, backward, weight] = block(stage, micro_batch);
    if (backward != none || weight != none)
      twice(backward != none ? Pass::backward_input : Pass::backward_weight, stage, micro_batch);
    backward = weight = id;
  }

  static std::string_view name(Pass pass) {
    constexpr std::array<std::string_view, 3> names{"forward", "input gradient", "weight gradient"};
    return names[static_cast<std::size_t>(pass)];
  }
  [[noreturn]] void outside(int stage, int micro_batch) const {
    throw base::Error(
        fmt::format("an action of stage {} and micro-batch {} is outside the {} stages and {} micro-batches", stage,
                    micro_batch, stages_, micro_batches_));
  }
  [[noreturn]] static void twice(Pass pass, int stage, int micro_batch) {
    throw base::Error(
        fmt::format("the {} of micro-batch {} at stage {} is computed twice", name(pass), micro_batch, stage));
  }
  [[noreturn]] static void missing(Pass pass, int stage, int micro_batch, const Action& consumer) {
    throw base::Error(fmt::format("{} needs the {} of micro-batch {} at stage {}, which no rank computes",
                                  letters(consumer, true), name(pass), micro_batch, stage));
  }

  int stages_, micro_batches_;
  std::vector<std::array<std::uint32_t, 3>> blocks_;  // by pass
};

class Deriver {
 public:
  explicit Deriver(const Schedule& schedule) : schedule_(schedule), producers_(schedule) {}

  Dependencies run() {
    number_actions();
    result_.inputs.resize(most_inputs_);
    result_.input_begin.resize(result_.rank_begin.back() + 1u);
    cursor_ = result_.inputs.data();
    std::uint32_t* input_begin = result_.input_begin.data();
    for (std::size_t r = 0; r < schedule_.actions.size(); ++r) {
      begin_ = result_.rank_begin[r], end_ = result_.rank_begin[r + 1];
      for (const Action& action : schedule_.actions[r]) {
        *input_begin++ = inputs_so_far();
        add_inputs(action);
      }
    }
    *input_begin = inputs_so_far();
    result_.inputs.resize(inputs_so_far());
    return std::move(result_);
  }

 private:
  std::uint32_t inputs_so_far() const { return static_cast<std::uint32_t>(cursor_ - result_.inputs.data()); }

  void number_actions() {
    std::uint32_t id = 0;
    result_.rank_begin.push_back(0);
    for (const auto& actions : schedule_.actions) {
      for (const Action& action : actions) {
        producers_.record(action, id++);
        most_inputs_ += most_inputs(action.kind);
      }
      result_.rank_begin.push_back(id);
    }
  }

  static std::size_t most_inputs(Kind kind) {
    constexpr std::array<std::size_t, 5> of_kind{1, 2, 1, 2, 3};
    return of_kind[static_cast<std::size_t>(kind)];
  }

  void add_inputs(const Action& action) {
    switch (action.kind) {
      case Kind::forward:
        add_forward_inputs(action, action.stage, action.micro_batch);
        break;
      case Kind::backward_input:
      case Kind::backward:
        add_backward_inputs(action, action.stage, action.micro_batch);
        break;
      case Kind::backward_weight:
        add(action, Pass::backward_input, Pass::backward_weight, action.stage, action.micro_batch);
        break;
      case Kind::overlapped:
        add_forward_inputs(action, action.stage, action.micro_batch);
        add_backward_inputs(action, action.backward_stage, action.backward_micro_batch);
        break;
    }
  }
  void add_forward_inputs(const Action& action, int stage, int micro_batch) {
    if (stage > 0) add(action, Pass::forward, Pass::forward, stage - 1, micro_batch);
  }
  void add_backward_inputs(const Action& action, int stage, int micro_batch) {
    add(action, Pass::forward, Pass::backward_input, stage, micro_batch);
    if (stage + 1 < schedule_.stages) add(action, Pass::backward_input, Pass::backward_input, stage + 1, micro_batch);
  }
  void add(const Action& consumer, Pass produced, Pass consumed, int stage, int micro_batch) {
    const std::uint32_t id = producers_.of(produced, stage, micro_batch, consumer);
    *cursor_++ = {id, produced, consumed, id - begin_ >= end_ - begin_};
  }

  const Schedule& schedule_;
  Producers producers_;
  Dependencies result_;
  std::size_t most_inputs_ = 0;
  Dependency* cursor_ = nullptr;       // behind the last input
  std::uint32_t begin_ = 0, end_ = 0;  // the actions of the rank at hand
};

}  // namespace

Dependencies derive_dependencies(const Schedule& schedule) { return Deriver(schedule).run(); }

// Every rank runs until it waits; it then queues at the action that it waits for and is woken when that one has run.
std::vector<std::uint32_t> execution_order(const Dependencies& dependencies) {
  const auto ranks = static_cast<std::uint32_t>(dependencies.rank_begin.size() - 1);
  std::vector<std::uint32_t> order, runnable, next(dependencies.rank_begin.begin(), dependencies.rank_begin.end() - 1);
  std::vector<std::uint32_t> first_waiter(dependencies.rank_begin.back(), none), next_waiter(ranks, none);
  std::vector<std::uint8_t> done(dependencies.rank_begin.back(), 0);
  order.reserve(dependencies.rank_begin.back());
  for (std::uint32_t r = 0; r < ranks; ++r) runnable.push_back(r);
  const auto missing_input = [&](std::uint32_t id) {
    for (std::uint32_t d = dependencies.input_begin[id]; d < dependencies.input_begin[id + 1]; ++d) {
      if (done[dependencies.inputs[d].producer] == 0) return dependencies.inputs[d].producer;
    }
    return none;
  };
  for (std::size_t head = 0; head < runnable.size(); ++head) {
    const std::uint32_t rank = runnable[head];
    while (next[rank] < dependencies.rank_begin[rank + 1]) {
      const std::uint32_t id = next[rank], awaited = missing_input(id);
      if (awaited != none) {
        next_waiter[rank] = first_waiter[awaited];
        first_waiter[awaited] = rank;
        break;
      }
      done[id] = 1;
      order.push_back(id);
      ++next[rank];
      for (std::uint32_t waiter = first_waiter[id]; waiter != none; waiter = next_waiter[waiter])
        runnable.push_back(waiter);
    }
  }
  return order;
}

}  // namespace hourglass::schedules
