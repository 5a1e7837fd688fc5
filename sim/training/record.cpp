// The timeline of tasks, told by what each is. A rank has six lanes: the actions of the schedule, its streams, and the
// host. The tasks of an action follow its opening task in the order of its block's segments (sim/training/lower.cpp), so
// that a segment's number finds its task.
#include "sim/training/record.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace hourglass::sim {

namespace {

// Where the operators of a part of a unit's pass begin.
using Place = std::tuple<Unit, model::Pass, model::Part>;
std::map<Place, std::size_t> places_of(const std::vector<OperatorCost>& operators) {
  std::map<Place, std::size_t> first;
  for (std::size_t i = 0; i < operators.size(); ++i)
    first.try_emplace({operators[i].unit, operators[i].pass, operators[i].part}, i);
  return first;
}

class Recorder {
 public:
  Recorder(const schedules::Schedule& schedule, BlockLibrary& blocks, const Lowered& lowered, const Timeline& timeline,
           std::vector<OperatorCost> operators)
      : blocks_(blocks), lowered_(lowered), timeline_(timeline), places_(places_of(operators)) {
    record_.schedule = schedule;
    record_.operators = std::move(operators);
    record_.block_of.resize(schedule.actions.size());
  }

  StepRecord take() {
    for (int rank = 0; rank < record_.schedule.ranks; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      for (std::size_t i = 0; i < record_.schedule.actions[r].size(); ++i) action(rank, static_cast<std::int32_t>(i));
      update(rank);
    }
    for (const Message& message : lowered_.messages)
      task(message.task, {message.from, Lane::point_to_point, message.action, message.to});
    std::stable_sort(record_.spans.begin(), record_.spans.end(), [](const Span& a, const Span& b) {
      return std::tuple(a.rank, a.lane, a.start) < std::tuple(b.rank, b.lane, b.start);
    });
    return std::move(record_);
  }

 private:
  void action(int rank, std::int32_t position) {
    const auto r = static_cast<std::size_t>(rank), i = static_cast<std::size_t>(position);
    const ActionTasks& tasks = lowered_.actions[r][i];
    const std::size_t number = block_of(record_.schedule.actions[r][i]);
    record_.block_of[r].push_back(number);
    add({rank, Lane::schedule, position, -1, timeline_.end[tasks.begin], timeline_.start[tasks.end]});
    if (tasks.host >= 0) task(static_cast<TaskId>(tasks.host), {rank, Lane::host, position, -1});
    const std::vector<Block::Segment>& segments = record_.blocks[number].block.segments;
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const Lane lane = segments[s].communication ? Lane::communication : Lane::compute;
      task(tasks.begin + 1 + static_cast<TaskId>(s), {rank, lane, position, static_cast<std::int32_t>(s)});
    }
  }
  void update(int rank) {
    const TailTasks& tasks = lowered_.tails[static_cast<std::size_t>(rank)];
    const auto add_task = [&](TaskId id, Update what, Lane lane) {
      if (lowered_.graph.stream[id] == stream_of(rank, Stream::gradients)) lane = Lane::gradients;
      task(id, {rank, lane, -1, static_cast<std::int32_t>(what)});
    };
    for (const TaskId id : tasks.reduce_scatters) add_task(id, Update::reduce_scatter, Lane::communication);
    add_task(tasks.optimizer, Update::optimizer, Lane::compute);
    for (const TaskId id : tasks.all_gathers) add_task(id, Update::all_gather, Lane::communication);
  }
  std::size_t block_of(const schedules::Action& action) {
    const auto [known, is_new] =
        numbers_.try_emplace({action.kind, action.stage, action.backward_stage}, record_.blocks.size());
    if (!is_new) return known->second;
    StepRecord::RecordedBlock block{blocks_.of(action), {}};
    for (const Block::Segment& segment : block.block.segments) {
      const auto place = places_.find({segment.unit, segment.pass, segment.part});
      block.first_operator.push_back(place == places_.end() ? 0 : place->second + segment.first_operator);
    }
    record_.blocks.push_back(std::move(block));
    return known->second;
  }
  void task(TaskId id, Span span) {
    span.start = timeline_.start[id], span.end = timeline_.end[id];
    add(span);
  }
  void add(const Span& span) {
    if (span.end > span.start) record_.spans.push_back(span);
  }

  BlockLibrary& blocks_;
  const Lowered& lowered_;
  const Timeline& timeline_;
  std::map<Place, std::size_t> places_;
  std::map<std::tuple<schedules::Kind, int, int>, std::size_t> numbers_;
  StepRecord record_;
};

// Of `part` in proportion to `whole`, without overflow: a step is 1e14 picoseconds.
base::Time share(base::Time time, base::Time part, base::Time whole) {
  __extension__ typedef __int128 Product;
  return static_cast<base::Time>(static_cast<Product>(time) * part / whole);
}

}  // namespace

const schedules::Action* StepRecord::action_of(const Span& span) const {
  if (span.action < 0) return nullptr;
  return &schedule.actions[static_cast<std::size_t>(span.rank)][static_cast<std::size_t>(span.action)];
}

const Block::Segment* StepRecord::segment_of(const Span& span) const {
  if (span.action < 0 || span.segment < 0 || (span.lane != Lane::compute && span.lane != Lane::communication))
    return nullptr;
  const std::size_t number = block_of[static_cast<std::size_t>(span.rank)][static_cast<std::size_t>(span.action)];
  return &blocks[number].block.segments[static_cast<std::size_t>(span.segment)];
}

// Weight gradients that fill the wait for an all-to-all run beside it for a part of their time: their lengths lie between
// those alone and those beside communication, the same way between for each.
std::vector<OperatorSlice> operators_of(const StepRecord& record, const Span& span) {
  const Block::Segment* segment = record.segment_of(span);
  if (segment == nullptr || segment->operators == 0) return {};
  const std::size_t number =
      record.block_of[static_cast<std::size_t>(span.rank)][static_cast<std::size_t>(span.action)];
  const OperatorCost* first =
      &record.operators[record.blocks[number].first_operator[static_cast<std::size_t>(span.segment)]];
  const base::Time took = span.end - span.start;
  const auto alone = [](const OperatorCost& op) { return base::time_from_seconds(op.seconds); };
  const auto beside = [](const OperatorCost& op) { return base::time_from_seconds(op.overlapped_seconds); };
  base::Time all_alone = 0, all_beside = 0;
  for (std::uint32_t i = 0; i < segment->operators; ++i) all_alone += alone(first[i]), all_beside += beside(first[i]);
  const base::Time most = segment->beside_communication ? all_beside - all_alone : 0;
  const bool partly = segment->slowdown != 1.0 && most > 0;
  const base::Time more = partly ? std::clamp<base::Time>(took - all_alone, 0, most) : most;
  const base::Time priced = all_alone + more;
  std::vector<OperatorSlice> slices;
  base::Time before_alone = 0, before_beside = 0, at = 0;
  for (std::uint32_t i = 0; i < segment->operators; ++i) {
    before_alone += alone(first[i]), before_beside += beside(first[i]);
    const base::Time before = before_alone + (more == 0 ? 0 : share(before_beside - before_alone, more, most));
    const base::Time end = priced == 0 ? 0 : share(before, took, priced);
    slices.push_back({&first[i], end - at});
    at = end;
  }
  return slices;
}

StepRecord record_step(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
                       BlockLibrary& blocks, const Lowered& lowered, const Timeline& timeline,
                       std::vector<OperatorCost> operators) {
  StepRecord record = Recorder(schedule, blocks, lowered, timeline, std::move(operators)).take();
  const bool experts = model::experts_of(inputs.model) != nullptr;
  for (const model::LayerSpec& kind : inputs.model.kinds)
    record.dense.push_back(experts && model::experts_of(kind) == nullptr);
  record.memory = memory_curve(inputs, schedule, layout, lowered, timeline);
  return record;
}

}  // namespace hourglass::sim
