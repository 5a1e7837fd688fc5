// A state is split d ways over the N GPUs that hold the same parameters: d = 1 (whole everywhere), N / replicas, or N.
// With d_p, d_g and d_o ways for parameters, gradients and optimizer states, d_p <= d_g <= d_o, a step moves
//   gradients   a reduce-scatter over d_g GPUs, after every backward;
//               once, of what is left: a reduce-scatter over d_o / d_g, so that every GPU has those of its shard of the
//               optimizer, and an all-reduce over the N / d_o GPUs that hold the same shard;
//   parameters  once, after the update: an all-gather over d_o / d_p;
//               an all-gather over d_p, before every pass that needs them whole.
// Collectives over one GPU fall away, and what remains is each scheme's own: of ZeRO-1 one reduce-scatter and one
// all-gather, of ZeRO-3 an all-gather before each pass and a reduce-scatter after each backward.
#include "sim/training/sharding.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace hourglass::sim {

namespace {

std::int64_t ways(const Sharding& sharding, const ShardedState& state, std::int64_t ranks) {
  switch (state.split) {
    case Split::none:
      return 1;
    case Split::part:
      if (ranks % sharding.replicas != 0) {
        throw base::Error(
            fmt::format("{} GPUs with the same parameters do not form {} equal parts", ranks, sharding.replicas),
            "sharding", "change the number of replicas");
      }
      return ranks / sharding.replicas;
    case Split::group:
      return ranks;
  }
  return 1;
}

Event once_a_step(const ShardedState& state, Event early) { return state.moves.has(early) ? early : Event::step_end; }

}  // namespace

bool Sharding::moves_at_step_end() const {
  const Events end = {Event::step_end};
  return parameters.moves == end && gradients.moves == end;
}

Sharding zero_1() {
  constexpr double bf16 = model::bytes_of(model::Dtype::bf16), fp32 = model::bytes_of(model::Dtype::fp32);
  return {{bf16, Split::none, {Event::step_end}},
          {fp32, Split::none, {Event::step_end}},
          {fp32 + 2.0 * bf16, Split::group, {}},
          1};
}

Sharding zero_2() {
  Sharding sharding = zero_1();
  sharding.gradients.split = Split::group;
  sharding.gradients.moves = {Event::each_backward};
  return sharding;
}

Sharding zero_3() {
  Sharding sharding = zero_2();
  sharding.parameters.split = Split::group;
  sharding.parameters.moves = {Event::each_forward, Event::each_backward};
  return sharding;
}

Sharding hsdp(std::int64_t replicas) {
  Sharding sharding = zero_3();
  sharding.replicas = replicas;
  for (ShardedState* state : {&sharding.parameters, &sharding.gradients, &sharding.optimizer})
    state->split = Split::part;
  sharding.gradients.moves = {Event::each_backward, Event::last_backward};
  return sharding;
}

std::array<ReplicaGroup, 2> replica_groups(const model::Parallelism& p, const model::ParameterCount& parameters,
                                           int copies) {
  const std::int64_t dense = p.data * p.context * copies;
  const std::int64_t expert = p.data * p.context * p.tensor * copies / (p.expert * p.expert_tensor);
  return {{{parameters.dense, dense, model::Group::data}, {parameters.expert, expert, model::Group::expert_data}}};
}

StateBytes bytes_held(const Sharding& sharding, const model::Parallelism& parallel,
                      const model::ParameterCount& parameters, int copies) {
  const std::array<ReplicaGroup, 2> groups = replica_groups(parallel, parameters, copies);
  const auto held = [&](const ShardedState& state) {
    double shards = 0.0;
    for (const ReplicaGroup& g : groups) shards += g.parameters / static_cast<double>(ways(sharding, state, g.ranks));
    return shards * state.bytes;
  };
  return {held(sharding.parameters), held(sharding.gradients), held(sharding.optimizer)};
}

model::OperatorKind operator_of(const Move& move) {
  switch (move.kind) {
    case Move::Kind::reduce_scatter:
      return model::ReduceScatter{move.bytes, move.group, move.ranks};
    case Move::Kind::all_reduce:
      return model::AllReduce{move.bytes, move.group, move.ranks};
    case Move::Kind::all_gather:
      break;
  }
  return model::AllGather{move.bytes, move.group, move.ranks};
}

std::vector<Move> moves_of_step(const Sharding& sharding, const model::Parallelism& parallel,
                                const model::ParameterCount& parameters, int copies) {
  using Kind = Move::Kind;
  std::vector<Move> moves;
  moves.reserve(8);
  for (const ReplicaGroup& g : replica_groups(parallel, parameters, copies)) {
    const auto add = [&](Kind kind, Event when, const ShardedState& state, std::int64_t ranks, std::int64_t stride) {
      const double bytes = g.parameters * state.bytes / static_cast<double>(stride);
      if (ranks > 1) moves.push_back({kind, when, bytes, g.group, ranks, stride});
    };
    const ShardedState& held = sharding.parameters;
    const ShardedState& reduced = sharding.gradients;
    const std::int64_t d_p = ways(sharding, held, g.ranks), d_g = ways(sharding, reduced, g.ranks),
                       d_o = ways(sharding, sharding.optimizer, g.ranks);
    add(Kind::reduce_scatter, Event::each_backward, reduced, d_g, 1);
    const Event reduce = once_a_step(reduced, Event::last_backward);
    add(Kind::reduce_scatter, reduce, reduced, d_o / d_g, d_g);
    add(Kind::all_reduce, reduce, reduced, g.ranks / d_o, d_o);
    add(Kind::all_gather, once_a_step(held, Event::first_forward), held, d_o / d_p, d_p);
    for (const Event pass : {Event::each_forward, Event::each_backward})
      if (held.moves.has(pass)) add(Kind::all_gather, pass, held, d_p, 1);
  }
  return moves;
}

// AdamW reads gradients and states and writes states and parameters.
std::array<model::Optimizer, 2> updates(const Sharding& sharding, const model::Parallelism& parallel,
                                        const model::ParameterCount& parameters, int copies) {
  const double read = sharding.gradients.bytes + sharding.optimizer.bytes,
               written = sharding.optimizer.bytes + sharding.parameters.bytes;
  std::array<model::Optimizer, 2> all;
  const std::array<ReplicaGroup, 2> groups = replica_groups(parallel, parameters, copies);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::int64_t shards = ways(sharding, sharding.optimizer, groups[i].ranks);
    all[i] = {groups[i].parameters / static_cast<double>(shards), read, written};
  }
  return all;
}

double checkpoint_bytes(const Sharding& sharding) { return sharding.parameters.bytes + sharding.optimizer.bytes; }

}  // namespace hourglass::sim
