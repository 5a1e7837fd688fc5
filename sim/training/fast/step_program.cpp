// The step of sim/training/lower.cpp without its task graph. A block is entered and left as a whole: it begins when the rank's
// block before it has ended on both streams and its messages are there, and nothing inside it waits for anything
// outside. So a step is exactly
//
//   begin(i) = max(end(previous on the rank), arrival of the inputs from other ranks),  end(i) = begin(i) + duration(i)
//   arrival  = max(end(producer), arrival of the message before it on the producer's NIC) + message time
//
// where the messages of one rank queue in the order of their producers, and those of one producer in the order of their
// consumers (lower.cpp, add_messages). All times are the engine's integer picoseconds, so the result is the same
// number; tests compare the two.
//
// What does not depend on the plan is compiled: the order of execution, the block of each action, and a slot for each
// message, reused once its consumer has run, so that the slots of a step stay in the cache. Eight plans are swept at a
// time, one a lane.
//
// Memory: activations are held from the begin of a forward to the end of its backward, so what a rank holds follows
// from the order of its actions alone (sim/training/memory.cpp). Of all moments only those are kept at which no other moment
// holds at least as much of everything.
#include "sim/training/fast/step_program.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "schedules/dependencies.h"

// The compiler makes one version of a function for each of these processors and the right one is taken at run time.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HOURGLASS_EVERY_PROCESSOR __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define HOURGLASS_EVERY_PROCESSOR
#endif

namespace hourglass::sim {

namespace {

using schedules::Kind;

constexpr std::uint32_t none = ~std::uint32_t{0};
using Consumers = std::array<std::uint32_t, 2>;  // of what an action sends: activations onwards, gradients back

std::vector<Consumers> consumers_of(const schedules::Dependencies& dependencies) {
  std::vector<Consumers> consumers(dependencies.rank_begin.back(), {none, none});
  for (std::uint32_t i = 0; i < consumers.size(); ++i) {
    for (std::uint32_t d = dependencies.input_begin[i]; d < dependencies.input_begin[i + 1]; ++d) {
      const schedules::Dependency& input = dependencies.inputs[d];
      if (!input.remote) continue;
      Consumers& known = consumers[input.producer];
      known[known[0] == none ? 0 : 1] = i;
    }
  }
  return consumers;
}

}  // namespace

StepProgram::StepProgram(const schedules::Schedule& schedule)
    : balance_(schedule), copies_(schedule.directions), uses_(static_cast<std::size_t>(schedule.ranks)) {
  compile(schedule);
  record_peaks(schedule);
}

void StepProgram::compile(const schedules::Schedule& schedule) {
  const schedules::Dependencies dependencies = schedules::derive_dependencies(schedule);
  const std::vector<Consumers> consumers = consumers_of(dependencies);
  std::vector<std::uint32_t> block_of, rank_of;
  block_of.reserve(consumers.size());
  rank_of.reserve(consumers.size());
  std::map<std::tuple<Kind, int, int>, std::uint32_t> known;
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    std::vector<Use>& uses = uses_[r];
    for (const schedules::Action& action : schedule.actions[r]) {
      const Block block{action.kind, action.stage, action.backward_stage};
      auto use = std::find_if(uses.begin(), uses.end(), [&](const Use& u) { return blocks_[u.block] == block; });
      if (use == uses.end()) {
        const auto [found, added] = known.try_emplace({block.kind, block.stage, block.backward_stage},
                                                      static_cast<std::uint32_t>(blocks_.size()));
        if (added) blocks_.push_back(block);
        use = uses.insert(use, {found->second, 0});
      }
      ++use->times;
      block_of.push_back(use->block);
      rank_of.push_back(static_cast<std::uint32_t>(r));
    }
  }
  std::vector<std::uint32_t> free;
  std::vector<std::array<std::uint32_t, 2>> inputs(consumers.size(), {0, 0});
  nodes_.reserve(consumers.size());
  for (const std::uint32_t id : schedules::execution_order(dependencies)) {
    Node& node = nodes_.emplace_back();
    node.block = block_of[id];
    node.rank = rank_of[id];
    for (std::size_t i = 0; i < 2; ++i) {
      node.input[i] = inputs[id][i];
      if (node.input[i] != 0) free.push_back(node.input[i]);
    }
    for (std::size_t o = 0; o < 2 && consumers[id][o] != none; ++o) {
      if (free.empty()) free.push_back(static_cast<std::uint32_t>(slots_++));
      node.output[o] = free.back();
      std::array<std::uint32_t, 2>& input = inputs[consumers[id][o]];
      input[input[0] == 0 ? 0 : 1] = free.back();
      free.pop_back();
    }
  }
}

std::size_t StepProgram::bytes() const {
  std::size_t held = 0;
  for (const auto& rank : peaks_) {
    for (const auto& moment : rank) held += moment.size() * sizeof(Held) + sizeof(moment);
  }
  return nodes_.size() * sizeof(Node) + held;
}

HOURGLASS_EVERY_PROCESSOR void StepProgram::sweep(const Lanes* durations, const Lanes& message, Lanes* ends) const {
  std::vector<Lanes> slots(slots_), wires(uses_.size());
  std::fill_n(ends, uses_.size(), Lanes{});
  for (const Node& node : nodes_) {
    const Lanes &first = slots[node.input[0]], &second = slots[node.input[1]], &work = durations[node.block];
    Lanes& end = ends[node.rank];
    for (std::size_t l = 0; l < sweep_lanes; ++l)
      end.at[l] = std::max(end.at[l], std::max(first.at[l], second.at[l])) + work.at[l];
    for (const std::uint32_t output : node.output) {
      if (output == 0) break;
      Lanes &wire = wires[node.rank], &slot = slots[output];
      for (std::size_t l = 0; l < sweep_lanes; ++l)
        slot.at[l] = wire.at[l] = std::max(wire.at[l], end.at[l]) + message.at[l];
    }
  }
}

void StepProgram::sweep_one(const base::Time* durations, base::Time message, base::Time* ends) const {
  std::vector<base::Time> slots(slots_), wires(uses_.size());
  std::fill_n(ends, uses_.size(), base::Time{0});
  for (const Node& node : nodes_) {
    base::Time& end = ends[node.rank];
    end = std::max(end, std::max(slots[node.input[0]], slots[node.input[1]])) + durations[node.block];
    for (const std::uint32_t output : node.output) {
      if (output == 0) break;
      base::Time& wire = wires[node.rank];
      slots[output] = wire = std::max(wire, end) + message;
    }
  }
}

namespace {

struct Counts {
  std::int32_t whole = 0, kept = 0;
};

// What the rank holds, changed by an action: when it begins, and when it ends.
void begin(const schedules::Action& action, std::vector<Counts>& held) {
  if (action.kind == Kind::forward || action.kind == Kind::overlapped)
    ++held[static_cast<std::size_t>(action.stage)].whole;
}
void end(const schedules::Action& action, std::vector<Counts>& held) {
  Counts& own = held[static_cast<std::size_t>(action.stage)];
  switch (action.kind) {
    case Kind::forward:
      break;
    case Kind::backward_input:
      --own.whole;
      ++own.kept;
      break;
    case Kind::backward_weight:
      --own.kept;
      break;
    case Kind::backward:
      --own.whole;
      break;
    case Kind::overlapped:
      --held[static_cast<std::size_t>(action.backward_stage)].whole;
      break;
  }
}

}  // namespace

void StepProgram::record_peaks(const schedules::Schedule& schedule) {
  using Moment = std::vector<Held>;
  std::vector<Counts> held(balance_.ranks_of_stage.size());
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    const std::vector<std::size_t>& stages = balance_.stages_of_rank[rank];
    std::vector<Moment>& largest = peaks_.emplace_back();
    const auto look = [&] {
      const auto held_more = [&](const Moment& other) {  // or as much, of everything
        return std::all_of(other.begin(), other.end(), [&](const Held& h) {
          return h.whole >= held[h.stage].whole && h.kept >= held[h.stage].kept;
        });
      };
      const auto held_less = [&](const Moment& other) {
        return std::all_of(other.begin(), other.end(), [&](const Held& h) {
          return h.whole <= held[h.stage].whole && h.kept <= held[h.stage].kept;
        });
      };
      if (std::any_of(largest.begin(), largest.end(), held_more)) return;
      std::erase_if(largest, held_less);
      Moment& moment = largest.emplace_back();
      for (const std::size_t s : stages) moment.push_back({static_cast<std::uint32_t>(s), held[s].whole, held[s].kept});
    };
    for (const schedules::Action& action : schedule.actions[rank]) {
      begin(action, held);
      look();
      end(action, held);
      if (action.kind == Kind::backward_input) look();
    }
    for (const std::size_t s : stages) held[s] = {};
  }
}

const std::vector<StepProgram::Held>& StepProgram::fullest(std::size_t rank) const {
  const auto micro_batches = [](const std::vector<Held>& moment) {
    std::int32_t sum = 0;
    for (const Held& held : moment) sum += 2 * held.whole + held.kept;
    return sum;
  };
  return *std::max_element(peaks_[rank].begin(), peaks_[rank].end(),
                           [&](const auto& a, const auto& b) { return micro_batches(a) < micro_batches(b); });
}

double StepProgram::peak_activations(std::size_t rank, const std::vector<model::ActivationBytes>& stages) const {
  double peak = 0.0;
  for (const auto& moment : peaks_[rank]) {
    double held = 0.0;
    for (const Held& each : moment)
      held += each.whole * stages[each.stage].total + each.kept * stages[each.stage].kept_for_weight;
    peak = std::max(peak, held);
  }
  return peak;
}

}  // namespace hourglass::sim
