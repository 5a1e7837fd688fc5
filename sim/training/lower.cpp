// Lowering: schedule x stage layout x prices -> task graph. The passes are
//   1. every action becomes begin, its block's segments on the rank's two streams, end;
//   2. every dependency between ranks becomes a message on the producer's point-to-point stream, started at the
//      producer's end and waited for by the consumer's begin (a dependency on the same rank is an edge);
//   3. the optimizer closes each rank: gradients are reduced; after one global norm over all ranks (gradient clipping)
//      the rank's shard is updated; parameters are gathered (sharding.h says what moves, and at which event).
// An action begins when the one before it on its rank has ended on both streams: a block is never entered half way,
// which is the timing of the schedules' own evaluation. Messages of one rank queue behind each other. What moves
// at a chunk's last backward is reduced on a stream of its own once its last W is done, and what moves at its first
// forward is gathered at the start of the step: that is the update of the step before, and steps follow each other at
// the same interval.
#include "sim/training/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "hardware/price.h"
#include "schedules/dependencies.h"
#include "sim/training/tail.h"

namespace hourglass::sim {

std::uint32_t stream_of(int rank, Stream stream) {
  return static_cast<std::uint32_t>(rank) * streams_per_rank + static_cast<std::uint32_t>(stream);
}

namespace {

ClassTimes all_of(WorkClass cls, base::Time work) {
  ClassTimes times = {};
  times[static_cast<std::size_t>(cls)] = work;
  return times;
}

model::SendRecv boundary_message(const Inputs& inputs) {
  return {model::boundary_bytes(layer_context(inputs)), model::Group::pipeline};
}

class Lowering {
 public:
  Lowering(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout, BlockLibrary& blocks)
      : inputs_(inputs),
        platform_(inputs.platform()),
        schedule_(schedule),
        layout_(layout),
        blocks_(blocks),
        sharding_(inputs.plan.sharding()),
        builder_(static_cast<std::uint32_t>(schedule.ranks) * streams_per_rank) {
    lowered_.groups.push_back({1, 1});
    lowered_.mixtures.push_back({});
    for (const std::vector<Unit>& stage : layout.stages) most_units_ = std::max(most_units_, stage.size());
  }

  Lowered take() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) check_moves(rank);
    lowered_.tails.resize(static_cast<std::size_t>(schedule_.ranks));
    const bool gathers_first = sharding_.parameters.moves.has(Event::first_forward);
    if (gathers_first) add_gathers();
    for (int rank = 0; rank < schedule_.ranks; ++rank) add_actions(rank);
    add_messages();
    if (gathers_first) wait_for_gathers();
    add_reductions();
    add_updates();
    if (!gathers_first) add_gathers();
    lowered_.graph = std::move(builder_).freeze();
    return std::move(lowered_);
  }

 private:
  TaskId add(int rank, Stream stream, base::Time work, std::uint32_t mixture, std::int32_t action,
             const TaskUse& use = {}) {
    lowered_.told.push_back({mixture, action});
    return builder_.add(stream_of(rank, stream), work, use);
  }
  std::uint32_t mixture(const ClassTimes& times) {
    const auto found = known_mixtures_.find(times);
    if (found != known_mixtures_.end()) return found->second;
    lowered_.mixtures.push_back(times);
    return known_mixtures_[times] = static_cast<std::uint32_t>(lowered_.mixtures.size() - 1);
  }
  std::uint16_t group(model::Group kind, std::int64_t ranks) {
    if (ranks <= 1) return 0;
    const model::Layout& layout = platform_.layout;
    const std::int64_t stride = kind == model::Group::pipeline ? 1 : layout.stride(kind);
    // A group over both copies of a stage is on two pipeline ranks: here, its part on this one.
    const std::int64_t here = std::min(ranks, layout.gpus / layout.parallel.pipeline / stride);
    if (here <= 1) return 0;
    const auto same = [&](const ParallelGroup& g) { return g.ranks == here && g.stride == stride; };
    auto found = std::find_if(lowered_.groups.begin(), lowered_.groups.end(), same);
    if (found == lowered_.groups.end()) found = lowered_.groups.insert(found, {here, stride});
    return static_cast<std::uint16_t>(found - lowered_.groups.begin());
  }
  float nic_share(double bytes, base::Time work) const {
    if (bytes <= 0.0 || work <= 0) return 0.0F;
    return static_cast<float>(std::min(1.0, bytes / (base::seconds(work) * inputs_.cluster.nic_bandwidth)));
  }

  // What the segments of an action's block use; the same for every micro-batch but for the row of expert loads.
  struct BlockUse {
    std::vector<TaskUse> uses;
    std::vector<std::uint32_t> mixtures;
  };
  const BlockUse& use_of(const Block& block) {
    const auto [found, is_new] = block_uses_.try_emplace(&block);
    if (!is_new) return found->second;
    const bool felt = std::any_of(block.segments.begin(), block.segments.end(),
                                  [](const Block::Segment& segment) { return segment.slowdown != 1.0; });
    for (const Block::Segment& segment : block.segments) {
      TaskUse use;
      use.felt = felt && segment.communication;
      use.nic = nic_share(segment.nic_bytes, segment.work);
      use.slowdown = static_cast<float>(segment.slowdown);
      if (segment.communication) use.group = group(segment.group, platform_.layout.ranks(segment.group));
      if (segment.work > 0) {
        const auto of = [&](WorkClass cls) { return segment.by_class[static_cast<std::size_t>(cls)]; };
        use.expert_share = static_cast<float>(base::seconds(of(WorkClass::grouped_gemm) + of(WorkClass::all_to_all)) /
                                              base::seconds(segment.work));
      }
      found->second.uses.push_back(use);
      found->second.mixtures.push_back(mixture(segment.by_class));
    }
    return found->second;
  }
  std::int32_t load_row(const schedules::Action& action, const Block::Segment& segment) {
    const bool backward = segment.pass != model::Pass::forward && action.backward_stage >= 0;
    const auto stage = static_cast<std::uint64_t>(backward ? action.backward_stage : action.stage),
               micro_batch = static_cast<std::uint64_t>(backward ? action.backward_micro_batch : action.micro_batch),
               layer = stage * most_units_ + segment.layer;
    const std::uint64_t key = layer << 32 | micro_batch;
    const auto [found, is_new] = known_rows_.try_emplace(key, static_cast<std::int32_t>(lowered_.load_rows.size()));
    if (is_new) lowered_.load_rows.push_back(key);
    return found->second;
  }

  void add_actions(int rank) {
    std::vector<ActionTasks>& tasks = lowered_.actions.emplace_back();
    std::int32_t position = 0;
    for (const schedules::Action& action : schedule_.actions[static_cast<std::size_t>(rank)])
      tasks.push_back(add_block(rank, position++, action));
  }
  ActionTasks add_block(int rank, std::int32_t position, const schedules::Action& action) {
    const Block& block = blocks_.of(action);
    const BlockUse& known = use_of(block);
    const bool skewed = inputs_.plan.variation && inputs_.plan.variation->skews_experts();
    ActionTasks tasks{add(rank, Stream::compute, 0, 0, position), 0, block.compute, -1};
    std::vector<TaskId> ids;
    for (std::size_t i = 0; i < block.segments.size(); ++i) {
      const Block::Segment& segment = block.segments[i];
      TaskUse use = known.uses[i];
      if (skewed && use.expert_share > 0.0F) use.row = load_row(action, segment);
      const TaskId id = add(rank, segment.communication ? Stream::communication : Stream::compute, segment.work,
                            known.mixtures[i], position, use);
      for (const std::uint32_t earlier : segment.after) builder_.depend(id, ids[earlier]);
      if (segment.after.empty() && segment.communication) builder_.depend(id, tasks.begin);
      ids.push_back(id);
    }
    // A block is never shorter than half its computation, whatever slowed its weight gradients.
    if (2 * block.host > block.compute) {
      tasks.host = add(rank, Stream::host, block.host, mixture(all_of(WorkClass::launch, block.host)), position);
      builder_.depend(static_cast<TaskId>(tasks.host), tasks.begin);
    }
    tasks.end = add(rank, Stream::compute, 0, 0, position);
    if (tasks.host >= 0) builder_.depend(tasks.end, static_cast<TaskId>(tasks.host));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (block.segments[i].communication) builder_.depend(tasks.end, ids[i]);
    }
    return tasks;
  }

  void add_messages() {
    const schedules::Dependencies dependencies = schedules::derive_dependencies(schedule_);
    const base::Time transfer = message_time(inputs_);
    TaskUse use;
    use.nic = nic_share(hardware::cost_of(platform_, boundary_message(inputs_)).nic_bytes, transfer);
    const std::uint32_t sending = mixture(all_of(WorkClass::point_to_point, transfer));
    std::vector<int> rank_of;
    std::vector<ActionTasks> flat;
    for (std::size_t r = 0; r < lowered_.actions.size(); ++r) {
      for (const ActionTasks& tasks : lowered_.actions[r]) {
        flat.push_back(tasks);
        rank_of.push_back(static_cast<int>(r));
      }
    }
    // Messages enter the producer's stream in the order in which it produces them, whatever rank consumes them.
    std::vector<std::vector<std::uint32_t>> consumers(flat.size());
    for (std::uint32_t i = 0; i < flat.size(); ++i) {
      for (std::uint32_t d = dependencies.input_begin[i]; d < dependencies.input_begin[i + 1]; ++d) {
        const schedules::Dependency& input = dependencies.inputs[d];
        if (input.remote)
          consumers[input.producer].push_back(i);
        else
          builder_.depend(flat[i].begin, flat[input.producer].end);
      }
    }
    for (std::uint32_t producer = 0; producer < flat.size(); ++producer) {
      for (const std::uint32_t consumer : consumers[producer]) {
        use.to = rank_of[consumer];
        const int from = rank_of[producer];
        const TaskId message = add(from, Stream::point_to_point, transfer, sending, -1, use);
        const std::uint32_t first = dependencies.rank_begin[static_cast<std::size_t>(from)];
        lowered_.messages.push_back({message, from, use.to, static_cast<std::int32_t>(producer - first)});
        builder_.depend(message, flat[producer].end);
        builder_.depend(flat[consumer].begin, message);
      }
    }
  }

  // The chunks of a rank: stage and direction. Uses `of` for the ends of each, in the order of the list.
  struct Chunk {
    std::size_t stage = 0;
    int direction = 0;
  };
  std::vector<Chunk> chunks_of(int rank) const {
    std::vector<Chunk> chunks;
    for (std::size_t d = 0; d < schedule_.placement.size(); ++d) {
      for (std::size_t s = 0; s < schedule_.placement[d].size(); ++s) {
        if (schedule_.placement[d][s] == rank) chunks.push_back({s, static_cast<int>(d)});
      }
    }
    return chunks;
  }
  model::ParameterCount chunk_parameters(const Chunk& chunk) const {
    return model::local_parameters(stage_parameters(inputs_, layout_, chunk.stage), inputs_.plan.parallel);
  }
  bool works_on(const schedules::Action& action, const Chunk& chunk, bool backward) const {
    using schedules::Kind;
    const bool pair = action.kind == Kind::overlapped;
    const int stage = pair && backward ? action.backward_stage : action.stage;
    const int micro_batch = pair && backward ? action.backward_micro_batch : action.micro_batch;
    const bool is_kind = backward ? pair || action.kind == Kind::backward || action.kind == Kind::backward_weight
                                  : pair || action.kind == Kind::forward;
    return is_kind && stage == static_cast<int>(chunk.stage) && schedule_.direction_of(micro_batch) == chunk.direction;
  }

  std::vector<Move> moves_of(const model::ParameterCount& parameters) const {
    return moves_of_step(sharding_, inputs_.plan.parallel, parameters, schedule_.directions);
  }
  // An event that has no tasks yet is not passed over.
  void check_moves(int rank) const {
    for (const Move& move : moves_of(all_parameters(rank))) {
      switch (move.when) {
        case Event::each_forward:
        case Event::each_backward:
          throw base::Error(fmt::format("{} with every micro-batch, which is not simulated yet",
                                        move.of_parameters() ? "parameters are gathered" : "gradients are reduced"),
                            "sharding", "split nothing but the optimizer states (ZeRO-1)");
        case Event::first_forward:
        case Event::last_backward:
        case Event::step_end:
          break;
      }
    }
  }
  // What moves at an event, of gradients or of parameters, as one task.
  TaskId add_moves(int rank, Stream stream, Event when, WorkClass cls, const model::ParameterCount& parameters) {
    base::Time work = 0;
    double through_nic = 0.0;
    TaskUse use;
    for (const Move& move : moves_of(parameters)) {
      if (move.when != when || move.of_parameters() != (cls == WorkClass::parameters)) continue;
      const hardware::Cost cost = move_cost(platform_, move);
      work += base::time_from_seconds(cost.seconds);
      through_nic += cost.nic_bytes;
      if (move.bytes > 0.0 && use.group == 0) use.group = group(move.group, move.ranks);
    }
    use.nic = nic_share(through_nic, work);
    return add(rank, stream, work, mixture(all_of(cls, work)), -1, use);
  }
  model::ParameterCount all_parameters(int rank) const { return rank_parameters(inputs_, schedule_, layout_, rank); }

  void add_reductions() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      const auto& actions = schedule_.actions[r];
      if (!sharding_.gradients.moves.has(Event::last_backward)) {
        const TaskId task =
            add_moves(rank, Stream::communication, Event::step_end, WorkClass::gradients, all_parameters(rank));
        if (!actions.empty()) builder_.depend(task, lowered_.actions[r].back().end);
        lowered_.tails[r].reduce_scatters.push_back(task);
        continue;
      }
      // In the order in which the chunks' gradients are complete.
      std::vector<std::pair<std::size_t, Chunk>> complete;
      for (const Chunk& chunk : chunks_of(rank)) {
        for (std::size_t i = actions.size(); i-- > 0;) {
          if (!works_on(actions[i], chunk, true)) continue;
          complete.push_back({i, chunk});
          break;
        }
      }
      std::stable_sort(complete.begin(), complete.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (const auto& [position, chunk] : complete) {
        const TaskId task =
            add_moves(rank, Stream::gradients, Event::last_backward, WorkClass::gradients, chunk_parameters(chunk));
        builder_.depend(task, lowered_.actions[r][position].end);
        lowered_.tails[r].reduce_scatters.push_back(task);
      }
    }
  }

  void add_updates() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) {
      const base::Time update = tail_times(inputs_, sharding_, all_parameters(rank), schedule_.directions).optimizer;
      TailTasks& tail = lowered_.tails[static_cast<std::size_t>(rank)];
      tail.optimizer = add(rank, Stream::compute, update, mixture(all_of(WorkClass::optimizer, update)), -1);
      for (const TailTasks& other : lowered_.tails) {
        for (const TaskId reduced : other.reduce_scatters) builder_.depend(tail.optimizer, reduced);
      }
    }
  }

  // After the update, or, overlapped, at the start of the step: there they are the last step's, chunk by chunk in the
  // order in which the rank needs them.
  void add_gathers() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) {
      TailTasks& tail = lowered_.tails[static_cast<std::size_t>(rank)];
      if (!sharding_.parameters.moves.has(Event::first_forward)) {
        tail.all_gathers.push_back(
            add_moves(rank, Stream::communication, Event::step_end, WorkClass::parameters, all_parameters(rank)));
        builder_.depend(tail.all_gathers.back(), tail.optimizer);
        continue;
      }
      std::vector<std::pair<std::size_t, Chunk>> needed;
      for (const Chunk& chunk : chunks_of(rank)) needed.push_back({first_use(rank, chunk), chunk});
      std::stable_sort(needed.begin(), needed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (const auto& [position, chunk] : needed) {
        tail.all_gathers.push_back(
            add_moves(rank, Stream::gradients, Event::first_forward, WorkClass::parameters, chunk_parameters(chunk)));
        gathered_.push_back({rank, position, tail.all_gathers.back()});
      }
    }
  }
  std::size_t first_use(int rank, const Chunk& chunk) const {
    const auto& actions = schedule_.actions[static_cast<std::size_t>(rank)];
    for (std::size_t i = 0; i < actions.size(); ++i) {
      if (works_on(actions[i], chunk, false)) return i;
    }
    return actions.size();
  }
  void wait_for_gathers() {
    for (const Gathered& g : gathered_) {
      const auto& actions = lowered_.actions[static_cast<std::size_t>(g.rank)];
      if (g.position < actions.size()) builder_.depend(actions[g.position].begin, g.task);
    }
  }

  struct Gathered {
    int rank = 0;
    std::size_t position = 0;
    TaskId task = 0;
  };

  const Inputs& inputs_;
  const hardware::Platform platform_;
  const schedules::Schedule& schedule_;
  const StageLayout& layout_;
  BlockLibrary& blocks_;
  Sharding sharding_;
  TaskGraphBuilder builder_;
  Lowered lowered_;
  std::size_t most_units_ = 1;
  std::map<ClassTimes, std::uint32_t> known_mixtures_;
  std::map<const Block*, BlockUse> block_uses_;
  std::unordered_map<std::uint64_t, std::int32_t> known_rows_;
  std::vector<Gathered> gathered_;
};

}  // namespace

base::Time message_time(const Inputs& inputs) {
  return base::time_from_seconds(hardware::cost_of(inputs.platform(), boundary_message(inputs)).seconds);
}

model::ParameterCount rank_parameters(const Inputs& inputs, const schedules::Schedule& schedule,
                                      const StageLayout& layout, int rank) {
  model::ParameterCount local;
  for (const std::vector<int>& direction : schedule.placement) {
    for (std::size_t stage = 0; stage < direction.size(); ++stage) {
      if (direction[stage] != rank) continue;
      const model::ParameterCount whole = stage_parameters(inputs, layout, stage);
      const model::ParameterCount part = model::local_parameters(whole, inputs.plan.parallel);
      local.dense += part.dense;
      local.expert += part.expert;
    }
  }
  return local;
}

Lowered lower(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
              BlockLibrary& blocks) {
  return Lowering(inputs, schedule, layout, blocks).take();
}

}  // namespace hourglass::sim
