#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "model/counts.h"
#include "model/ops/operators.h"

// Who holds which byte of parameters, gradients and optimizer states, and when they move: data, from which memory, the
// collectives of a step and the size of a checkpoint follow. ZeRO's stages and FSDP are values of it.
namespace hourglass::sim {

// Over which of the GPUs that hold the same parameters a state is split: none of them, one of the equal parts that they
// form (Sharding::replicas), all.
enum class Split : std::uint8_t { none, part, group };

enum class Event : std::uint8_t {
  each_forward,   // of a layer: before it, for every micro-batch
  each_backward,  // parameters before it, gradients after it, for every micro-batch
  first_forward,  // of a stage in the step
  last_backward,  // of a stage in the step
  step_end,       // of a pipeline rank
};

class Events {
 public:
  constexpr Events(std::initializer_list<Event> events) {
    for (const Event event : events) bits_ |= 1U << static_cast<unsigned>(event);
  }
  constexpr bool has(Event event) const { return (bits_ >> static_cast<unsigned>(event) & 1U) != 0; }
  bool operator==(const Events&) const = default;

 private:
  unsigned bits_ = 0;
};

struct ShardedState {
  double bytes = 0.0;  // a parameter
  Split split = Split::none;
  Events moves = {};
};

// Gradients are split at least as finely as parameters, and optimizer states as gradients.
struct Sharding {
  ShardedState parameters, gradients, optimizer;
  std::int64_t replicas = 1;  // whole copies of what is split over a part; each part has neighbours of the group

  bool moves_at_step_end() const;  // only then
};

// BF16 parameters, FP32 main gradients, FP32 master weights and two BF16 moments (DeepSeek-V3 report, section 3.3.3),
// split as in Rajbhandari et al. 2020 (ZeRO), section 5.
Sharding zero_1();  // optimizer states
Sharding zero_2();  // and gradients, reduced after every backward
Sharding zero_3();  // and parameters, gathered before every pass
// Zhao et al. 2023 (FSDP), section 3.2.2: zero_3 inside each of `replicas` parts, gradients averaged over them at the
// last backward.
Sharding hsdp(std::int64_t replicas);

// A part (dense, expert) of a GPU's parameters and the GPUs that hold the same ones. `copies` of a stage that the
// pipeline holds (DualPipe: two) are among them.
struct ReplicaGroup {
  double parameters = 0.0;
  std::int64_t ranks = 1;
  model::Group group = model::Group::data;
};
std::array<ReplicaGroup, 2> replica_groups(const model::Parallelism& parallel, const model::ParameterCount& parameters,
                                           int copies);

// Bytes that a GPU with `parameters` holds between passes. A layer's parameters while they are gathered, and its
// gradients before they are scattered, come on top.
struct StateBytes {
  double parameters = 0.0, gradients = 0.0, optimizer = 0.0;
  double total() const { return parameters + gradients + optimizer; }
};
StateBytes bytes_held(const Sharding& sharding, const model::Parallelism& parallel,
                      const model::ParameterCount& parameters, int copies);

// A collective of gradients (reduce) or parameters (gather) over `ranks` GPUs, `stride` members of the group apart.
struct Move {
  enum class Kind : std::uint8_t { reduce_scatter, all_reduce, all_gather };
  Kind kind = Kind::reduce_scatter;
  Event when = Event::step_end;
  double bytes = 0.0;  // the full buffer, as in model/ops
  model::Group group = model::Group::data;
  std::int64_t ranks = 1, stride = 1;

  bool of_parameters() const { return kind == Kind::all_gather; }
};
model::OperatorKind operator_of(const Move& move);
// All of a step on a GPU with `parameters`; those of each_forward and each_backward once for every micro-batch.
std::vector<Move> moves_of_step(const Sharding& sharding, const model::Parallelism& parallel,
                                const model::ParameterCount& parameters, int copies);

// The update of a GPU's shards of dense and of expert parameters.
std::array<model::Optimizer, 2> updates(const Sharding& sharding, const model::Parallelism& parallel,
                                        const model::ParameterCount& parameters, int copies);

// Of a parameter in a checkpoint, which keeps no gradients.
double checkpoint_bytes(const Sharding& sharding);

}  // namespace hourglass::sim
