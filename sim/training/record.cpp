// The timeline of tasks, told in words. Each rank has four lanes: the actions of the schedule, and its three streams.
// The tasks of an action follow its opening task in the order of its block's segments (sim/training/lower.cpp), so that the
// segment names them; messages are the tasks that remain.
#include "sim/training/record.h"

#include <fmt/format.h>

#include <algorithm>

namespace hourglass::sim {

namespace {

using schedules::Kind;

const char* class_of(Kind kind) {
  switch (kind) {
    case Kind::forward:
      return "forward";
    case Kind::backward_input:
      return "backward_input";
    case Kind::backward_weight:
      return "backward_weight";
    case Kind::backward:
      return "backward";
    case Kind::overlapped:
      return "overlapped";
  }
  return "";
}

std::string name_of(const schedules::Action& action) {
  switch (action.kind) {
    case Kind::forward:
      return fmt::format("F {}", action.micro_batch);
    case Kind::backward_input:
      return fmt::format("B {}", action.micro_batch);
    case Kind::backward_weight:
      return fmt::format("W {}", action.micro_batch);
    case Kind::backward:
      return fmt::format("BW {}", action.micro_batch);
    case Kind::overlapped:
      return fmt::format("F {} & BW {}", action.micro_batch, action.backward_micro_batch);
  }
  return "";
}

// What a segment is about. Ends of the model keep everything in one part.
const char* class_of(const Block::Segment& segment) {
  switch (segment.unit.type) {
    case Unit::embedding:
      return "embedding";
    case Unit::mtp_projection:
      return "mtp_projection";
    case Unit::head:
      return "head";
    case Unit::layer:
      break;
  }
  if (segment.by_class[static_cast<std::size_t>(WorkClass::peer_wait)] > 0) return "peer_wait";
  switch (segment.part) {
    case model::attention:
      return segment.communication ? "attention_collective" : "attention";
    case model::dispatch:
      return segment.communication ? "dispatch" : "dispatch_local";
    case model::mlp:
      return segment.communication ? "mlp_collective" : "mlp";
    case model::combine:
      return segment.communication ? "combine" : "combine_local";
  }
  return "";
}

std::string name_of(const Block::Segment& segment) {
  const char* pass = segment.pass == model::Pass::forward          ? "F"
                     : segment.pass == model::Pass::backward_input ? "B"
                                                                   : "W";
  return fmt::format("{}({})", class_of(segment), pass);
}

class Recorder {
 public:
  Recorder(const Lowered& lowered, const Timeline& timeline)
      : lowered_(lowered), timeline_(timeline), named_(lowered.graph.size(), false) {}

  void action(int rank, const schedules::Action& action, const ActionTasks& tasks, const Block& block) {
    const base::Time start = timeline_.end[tasks.begin], end = timeline_.start[tasks.end];
    add({rank, Lane::schedule, start, end, name_of(action), class_of(action.kind), action.stage, action.micro_batch});
    named_[tasks.begin] = named_[tasks.end] = true;
    if (tasks.host >= 0)
      task(static_cast<TaskId>(tasks.host), rank, Lane::host, "launch kernels", "launch", action.stage,
           action.micro_batch);
    for (std::size_t i = 0; i < block.segments.size(); ++i) {
      const Block::Segment& segment = block.segments[i];
      const bool backward = segment.pass != model::Pass::forward && action.backward_stage >= 0;
      task(tasks.begin + 1 + static_cast<TaskId>(i), rank, segment.communication ? Lane::communication : Lane::compute,
           name_of(segment), class_of(segment), backward ? action.backward_stage : action.stage,
           backward ? action.backward_micro_batch : action.micro_batch);
    }
  }
  void tail(int rank, const TailTasks& tasks) {
    const auto lane = [&](TaskId id) {
      return lowered_.graph.stream[id] == stream_of(rank, Stream::gradients) ? Lane::gradients : Lane::communication;
    };
    for (const TaskId id : tasks.reduce_scatters)
      task(id, rank, lane(id), "reduce_scatter gradients", "gradients", -1, -1);
    task(tasks.optimizer, rank, Lane::compute, "optimizer", "optimizer", -1, -1);
    for (const TaskId id : tasks.all_gathers) task(id, rank, lane(id), "all_gather parameters", "parameters", -1, -1);
  }
  std::vector<Span> take() {
    for (TaskId id = 0; id < named_.size(); ++id) {
      const int rank = static_cast<int>(lowered_.graph.stream[id] / streams_per_rank);
      if (!named_[id]) task(id, rank, Lane::point_to_point, "send", "send", -1, -1);
    }
    std::stable_sort(spans_.begin(), spans_.end(), [](const Span& a, const Span& b) {
      return std::tuple(a.rank, a.lane, a.start) < std::tuple(b.rank, b.lane, b.start);
    });
    return std::move(spans_);
  }

 private:
  void task(TaskId id, int rank, Lane lane, std::string name, const char* cls, int stage, int micro_batch) {
    named_[id] = true;
    add({rank, lane, timeline_.start[id], timeline_.end[id], std::move(name), cls, stage, micro_batch});
  }
  void add(Span span) {
    if (span.end > span.start) spans_.push_back(std::move(span));
  }

  const Lowered& lowered_;
  const Timeline& timeline_;
  std::vector<bool> named_;
  std::vector<Span> spans_;
};

}  // namespace

StepRecord record_step(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
                       BlockLibrary& blocks, const Lowered& lowered, const Timeline& timeline) {
  Recorder recorder(lowered, timeline);
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
      const schedules::Action& action = schedule.actions[r][i];
      recorder.action(rank, action, lowered.actions[r][i], blocks.of(action));
    }
    recorder.tail(rank, lowered.tails[r]);
  }
  return {schedule.ranks, recorder.take(), memory_curve(inputs, schedule, layout, lowered, timeline), {}};
}

}  // namespace hourglass::sim
