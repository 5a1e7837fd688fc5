// Is it a schedule at all? The checks run from the local to the global, so that the first message is the nearest to the
// fault: an action out of its range, work done twice or never, work on the wrong rank, an order that a single rank
// cannot run, and last an order that the ranks cannot run together.
//
// Deadlock is a cycle among "follows on its rank" and "needs the output of". Blocking communication adds edges to it:
// rank r sends the output of its action i in the batch before its action i+1, and that batch completes only when rank q
// has posted the receive, which it does after the action before the consumer. So action i+1 of r follows the
// predecessor on q of every consumer of i. (A model of one batched exchange a gap, e.g. NCCL group calls; no
// buffering.)
#include "schedules/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "schedules/letters.h"

namespace hourglass::schedules {

namespace {

void check_shape(const Schedule& s) {
  const auto sized = [](const auto& list, int size) { return list.size() == static_cast<std::size_t>(size); };
  if (s.ranks < 1 || s.micro_batches < 1 || s.stages < 1 || s.directions < 1 || s.directions > 2) {
    throw base::Error(fmt::format("a schedule of {} ranks, {} micro-batches, {} stages and {} directions is none",
                                  s.ranks, s.micro_batches, s.stages, s.directions));
  }
  if (s.directions == 2 && s.micro_batches % 2 != 0) {
    throw base::Error(fmt::format("two directions share the micro-batches evenly; got {}", s.micro_batches));
  }
  if (s.stages % s.ranks != 0) {
    throw base::Error(fmt::format("{} stages cannot be divided evenly over {} ranks", s.stages, s.ranks));
  }
  if (!sized(s.placement, s.directions) || !sized(s.actions, s.ranks)) {
    throw base::Error("a schedule has one placement per direction and one list of actions per rank");
  }
  for (const auto& placement : s.placement) {
    const auto on_a_rank = [&](int rank) { return rank >= 0 && rank < s.ranks; };
    if (!sized(placement, s.stages) || !std::all_of(placement.begin(), placement.end(), on_a_rank)) {
      throw base::Error(fmt::format("every one of the {} stages is placed on one of the {} ranks", s.stages, s.ranks));
    }
  }
}

// What has been run of each (stage, micro-batch), on the way through its rank's list.
class Progress {
 public:
  explicit Progress(const Schedule& schedule) : schedule_(schedule) {
    done_.assign(static_cast<std::size_t>(schedule.stages) * static_cast<std::size_t>(schedule.micro_batches), 0);
  }

  void run(const Action& action, int rank) {
    switch (action.kind) {
      case Kind::forward:
        advance(action.stage, action.micro_batch, rank, 0, f);
        break;
      case Kind::backward_input:
        advance(action.stage, action.micro_batch, rank, f, f | b);
        break;
      case Kind::backward_weight:
        advance(action.stage, action.micro_batch, rank, f | b, all);
        break;
      case Kind::backward:
        advance(action.stage, action.micro_batch, rank, f, all);
        break;
      case Kind::overlapped:
        // The halves are side by side: the backward cannot be of the forward that the pair itself runs.
        advance(action.backward_stage, action.backward_micro_batch, rank, f, all);
        advance(action.stage, action.micro_batch, rank, 0, f);
        break;
    }
  }

  void check_complete() const {
    const auto missing = std::find_if(done_.begin(), done_.end(), [](std::uint8_t done) { return done != all; });
    if (missing == done_.end()) return;
    const auto at = static_cast<int>(missing - done_.begin());
    const int stage = at / schedule_.micro_batches, micro_batch = at % schedule_.micro_batches;
    throw base::Error(fmt::format("rank {} never runs {}{} (stage {})", schedule_.rank_of(stage, micro_batch),
                                  name_of(static_cast<std::uint8_t>(*missing + 1)), micro_batch, stage));
  }

 private:
  // Bits in the order in which they are set, so that a state is 0, f, f|b or all.
  static constexpr std::uint8_t f = 1, b = 2, w = 4, all = f | b | w;

  static std::string_view name_of(std::uint8_t lowest_missing) {
    return lowest_missing == f ? "F" : lowest_missing == b ? "B" : "W";
  }

  void advance(int stage, int micro_batch, int rank, std::uint8_t from, std::uint8_t to) {
    const bool inside =
        stage >= 0 && stage < schedule_.stages && micro_batch >= 0 && micro_batch < schedule_.micro_batches;
    if (inside && schedule_.rank_of(stage, micro_batch) == rank) {
      std::uint8_t& done = done_[static_cast<std::size_t>(stage) * static_cast<std::size_t>(schedule_.micro_batches) +
                                 static_cast<std::size_t>(micro_batch)];
      if (done == from) {
        done = to;
        return;
      }
      refuse_order(stage, micro_batch, rank, done, from, to);
    }
    refuse_place(stage, micro_batch, rank, inside);
  }

  [[noreturn]] void refuse_place(int stage, int micro_batch, int rank, bool inside) const {
    if (!inside) {
      throw base::Error(
          fmt::format("rank {} runs stage {} of micro-batch {}, outside the {} stages and {} micro-batches", rank,
                      stage, micro_batch, schedule_.stages, schedule_.micro_batches));
    }
    throw base::Error(fmt::format("rank {} runs stage {} of micro-batch {}, which is placed on rank {}", rank, stage,
                                  micro_batch, schedule_.rank_of(stage, micro_batch)));
  }
  [[noreturn]] static void refuse_order(int stage, int micro_batch, int rank, std::uint8_t done, std::uint8_t from,
                                        std::uint8_t to) {
    const std::string_view wanted = to == f ? "F" : (to & ~from) == w ? "W" : (to & ~from) == b ? "B" : "BW";
    if ((done & to & ~from) != 0) {
      throw base::Error(fmt::format("rank {} runs {}{} (stage {}) twice", rank, wanted, micro_batch, stage));
    }
    throw base::Error(fmt::format("rank {} runs {}{} (stage {}) before its {}{}", rank, wanted, micro_batch, stage,
                                  name_of(static_cast<std::uint8_t>(done + 1)), micro_batch));
  }

  const Schedule& schedule_;
  std::vector<std::uint8_t> done_;
};

void check_ranks(const Schedule& schedule) {
  Progress progress(schedule);
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    for (const Action& action : schedule.actions[static_cast<std::size_t>(rank)]) progress.run(action, rank);
  }
  progress.check_complete();
}

int rank_of_action(const Dependencies& dependencies, std::uint32_t id) {
  const auto after = std::upper_bound(dependencies.rank_begin.begin(), dependencies.rank_begin.end(), id);
  return static_cast<int>(after - dependencies.rank_begin.begin()) - 1;
}

// The dependencies with the edges that blocking batches add (above).
Dependencies with_blocking_batches(const Dependencies& plain) {
  const std::uint32_t actions = plain.rank_begin.back();
  std::vector<std::uint8_t> first(actions + 1u, 0), last(actions + 1u, 0);
  for (std::size_t r = 0; r + 1 < plain.rank_begin.size(); ++r) {
    if (plain.rank_begin[r] < plain.rank_begin[r + 1])
      first[plain.rank_begin[r]] = last[plain.rank_begin[r + 1] - 1] = 1;
  }
  std::vector<std::vector<Dependency>> inputs(actions);
  for (std::uint32_t consumer = 0; consumer < actions; ++consumer) {
    for (std::uint32_t d = plain.input_begin[consumer]; d < plain.input_begin[consumer + 1]; ++d) {
      const Dependency& input = plain.inputs[d];
      inputs[consumer].push_back(input);
      if (!input.remote || first[consumer] != 0 || last[input.producer] != 0) continue;
      inputs[input.producer + 1].push_back({consumer - 1, input.produced, input.consumed, true});
    }
  }
  Dependencies blocking{plain.rank_begin, {0}, {}};
  for (const auto& list : inputs) {
    blocking.inputs.insert(blocking.inputs.end(), list.begin(), list.end());
    blocking.input_begin.push_back(static_cast<std::uint32_t>(blocking.inputs.size()));
  }
  return blocking;
}

void check_activations(const Schedule& schedule, const ValidateOptions& options) {
  const double chunk = static_cast<double>(schedule.ranks) / schedule.stages, kept = options.activation_kept_for_weight;
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    double held = 0.0;
    for (const Action& action : schedule.actions[static_cast<std::size_t>(rank)]) {
      if (action.kind == Kind::forward || action.kind == Kind::overlapped) held += chunk;
      if (held > options.activation_cap + 1e-9) {
        throw base::Error(fmt::format("rank {} holds the activations of {} micro-batches at {}, over the cap of {}",
                                      rank, held, letters(action, true), options.activation_cap));
      }
      if (action.kind == Kind::backward_input)
        held -= chunk * (1.0 - kept);
      else if (action.kind == Kind::backward_weight)
        held -= chunk * kept;
      else if (action.kind != Kind::forward)
        held -= chunk;
    }
  }
}

}  // namespace

// From a rank that is stuck, follow what it waits for until a rank repeats: that is a cycle, or the end of what to say.
base::Error deadlock_error(const Schedule& schedule, const Dependencies& dependencies,
                           const std::vector<std::uint32_t>& order) {
  std::vector<std::uint8_t> done(dependencies.rank_begin.back(), 0);
  for (const std::uint32_t id : order) done[id] = 1;
  const auto action = [&](std::uint32_t id) {
    const auto rank = static_cast<std::size_t>(rank_of_action(dependencies, id));
    return letters(schedule.actions[rank][id - dependencies.rank_begin[rank]], true);
  };
  const auto stuck_at = [&](std::size_t rank) {
    std::uint32_t id = dependencies.rank_begin[rank];
    while (id < dependencies.rank_begin[rank + 1] && done[id] != 0) ++id;
    return id;
  };
  std::size_t rank = 0;
  while (stuck_at(rank) == dependencies.rank_begin[rank + 1]) ++rank;
  std::string story;
  std::vector<std::uint8_t> told(dependencies.rank_begin.size(), 0);
  constexpr int longest_story = 8;
  for (int link = 0; link < longest_story; ++link) {
    const std::uint32_t id = stuck_at(rank);
    std::uint32_t d = dependencies.input_begin[id];
    while (done[dependencies.inputs[d].producer] != 0) ++d;
    const std::uint32_t awaited = dependencies.inputs[d].producer;
    const int next = rank_of_action(dependencies, awaited);
    story += fmt::format("{}rank {} waits at {} for {} of rank {}", link == 0 ? "" : ", ", rank, action(id),
                         action(awaited), next);
    told[rank] = 1;
    rank = static_cast<std::size_t>(next);
    if (told[rank] != 0) break;
  }
  return base::Error("the ranks deadlock: " + story);
}

void validate(const Schedule& schedule, const ValidateOptions& options) {
  check_shape(schedule);
  check_ranks(schedule);
  Dependencies dependencies = derive_dependencies(schedule);
  if (options.point_to_point == PointToPoint::blocking) dependencies = with_blocking_batches(dependencies);
  const std::vector<std::uint32_t> order = execution_order(dependencies);
  if (order.size() < dependencies.rank_begin.back()) {
    const base::Error error = deadlock_error(schedule, dependencies, order);
    if (options.point_to_point == PointToPoint::asynchronous) throw error;
    throw base::Error(fmt::format("with blocking sends and receives {}", error.what()), "",
                      "post receives ahead of the action before, or use asynchronous messages");
  }
  if (options.activation_cap > 0.0) check_activations(schedule, options);
}

}  // namespace hourglass::schedules
