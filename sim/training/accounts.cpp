// Where time goes. The busy time of a rank is its actions and its share of the update; the rest is bubble.
//
// Why a rank waits is read from the timeline backwards: what ended a wait is the input that came last; while that
// input's task ran, it is to blame; before it started, its own last input is, and so on until the wait's beginning. So
// every picosecond of a bubble has one cause, and causes add up to it. Computation on another rank is `dependency` up
// to the average time of such an action (same kind, all ranks) and `imbalance` beyond.
//
// The critical path is the same walk from the end of the step to its start: every moment of the step belongs to one
// task on it, and the classes of its tasks add up to the step time. What a communication task takes beyond its price is
// `contention`: a NIC shared, slow or away, or experts with more rows than the mean.
#include "sim/training/accounts.h"

#include <algorithm>
#include <array>

namespace hourglass::sim {

namespace {

using base::Time;

double share_of(const ClassTimes& mixture, WorkClass cls) {
  Time total = 0;
  for (const Time time : mixture) total += time;
  return total == 0 ? 0.0 : base::seconds(mixture[static_cast<std::size_t>(cls)]) / base::seconds(total);
}

bool is_message_or_collective(const TaskGraph& graph, TaskId task) {
  return graph.stream[task] % streams_per_rank != static_cast<std::uint32_t>(Stream::compute);
}

}  // namespace

Accounts::Accounts(const schedules::Schedule& schedule, const Lowered& lowered, const Timeline& timeline)
    : schedule_(schedule),
      lowered_(lowered),
      graph_(lowered.graph),
      timeline_(timeline),
      input_begin_(graph_.size() + 1, 0),
      inputs_(graph_.outputs.size()),
      over_average_(graph_.size(), 0.0) {
  for (const TaskId output : graph_.outputs) ++input_begin_[output + 1];
  for (std::size_t i = 0; i < graph_.size(); ++i) input_begin_[i + 1] += input_begin_[i];
  std::vector<std::uint32_t> next(input_begin_.begin(), input_begin_.end() - 1);
  for (TaskId task = 0; task < graph_.size(); ++task) {
    for (std::uint32_t i = graph_.output_begin[task]; i < graph_.output_begin[task + 1]; ++i)
      inputs_[next[graph_.outputs[i]]++] = task;
    if (timeline_.end[task] > timeline_.end[last_]) last_ = task;
  }
  std::array<double, 5> total{}, count{};
  const auto each_action = [&](const auto& visit) {
    for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
      for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
        const ActionTasks& tasks = lowered.actions[r][i];
        const double took = base::seconds(timeline.start[tasks.end] - timeline.end[tasks.begin]);
        visit(static_cast<std::size_t>(schedule.actions[r][i].kind), took, tasks);
      }
    }
  };
  each_action([&](std::size_t kind, double took, const ActionTasks&) {
    total[kind] += took;
    count[kind] += 1.0;
  });
  each_action([&](std::size_t kind, double took, const ActionTasks& tasks) {
    const double average = total[kind] / count[kind];
    for (TaskId task = tasks.begin; took > average && task <= tasks.end; ++task)
      over_average_[task] = (took - average) / took;
  });
}

std::int64_t Accounts::last_input(TaskId task) const {
  std::int64_t last = -1;
  for (std::uint32_t i = input_begin_[task]; i < input_begin_[task + 1]; ++i) {
    if (last < 0 || timeline_.end[inputs_[i]] > timeline_.end[static_cast<std::size_t>(last)]) last = inputs_[i];
  }
  return last;
}

CriticalPath Accounts::critical_path() const {
  CriticalPath path;
  path.rank_seconds.assign(schedule_.actions.size(), 0.0);
  const auto add = [&](WorkClass cls, double seconds) { path.seconds[static_cast<std::size_t>(cls)] += seconds; };
  for (std::int64_t at = last_; at >= 0;) {
    const auto task = static_cast<TaskId>(at);
    const double took = base::seconds(spent(task)), work = base::seconds(graph_.work[task]);
    const bool held_up = is_message_or_collective(graph_, task) && took > work;
    const ClassTimes& mixture = lowered_.mixtures[lowered_.told[task].mixture];
    for (std::size_t c = 0; c < work_classes; ++c)
      path.seconds[c] += (held_up ? work : took) * share_of(mixture, static_cast<WorkClass>(c));
    if (held_up) add(WorkClass::contention, took - work);
    path.rank_seconds[static_cast<std::size_t>(rank_of(task))] += took;
    path.tasks += took > 0.0 ? 1 : 0;
    at = last_input(task);
    if (at >= 0)
      add(WorkClass::peer_wait, base::seconds(timeline_.start[task] - timeline_.end[static_cast<TaskId>(at)]));
  }
  return path;
}

std::vector<PathPiece> Accounts::critical_pieces() const {
  std::vector<PathPiece> pieces;
  for (std::int64_t at = last_; at >= 0; at = last_input(static_cast<TaskId>(at))) {
    const auto task = static_cast<TaskId>(at);
    if (spent(task) == 0) continue;
    const int rank = rank_of(task);
    if (!pieces.empty() && pieces.back().rank == rank && pieces.back().start == timeline_.end[task])
      pieces.back().start = timeline_.start[task];
    else
      pieces.push_back({rank, timeline_.start[task], timeline_.end[task]});
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

void Accounts::blame_task(TaskId task, Time span, IdleCauses& causes) const {
  const double seconds = base::seconds(span);
  const ClassTimes& mixture = lowered_.mixtures[lowered_.told[task].mixture];
  if (!is_message_or_collective(graph_, task)) {
    const double update = seconds * share_of(mixture, WorkClass::optimizer), rest = seconds - update;
    causes.update_s += update;
    causes.imbalance_s += rest * over_average_[task];
    causes.dependency_s += rest * (1.0 - over_average_[task]);
    return;
  }
  if (share_of(mixture, WorkClass::launch) > 0.0) {
    causes.dependency_s += seconds;
  } else if (share_of(mixture, WorkClass::point_to_point) > 0.0) {
    causes.point_to_point_s += seconds;
  } else if (share_of(mixture, WorkClass::gradients) + share_of(mixture, WorkClass::parameters) > 0.0) {
    causes.update_s += seconds;
  } else if (share_of(mixture, WorkClass::peer_wait) > 0.0) {
    causes.skew_s += seconds;
  } else {
    causes.exposed_communication_s += seconds;
  }
}

// Blames [from, to), at the end of which `waiting` started.
void Accounts::blame(TaskId waiting, Time from, Time to, IdleCauses& causes) const {
  for (TaskId task = waiting; to > from;) {
    const std::int64_t input = last_input(task);
    if (input < 0) break;
    const auto cause = static_cast<TaskId>(input);
    const Time ended = std::clamp(timeline_.end[cause], from, to),
               started = std::clamp(timeline_.start[cause], from, to);
    causes.skew_s += base::seconds(to - ended);  // all inputs there: a collective waited for its other members
    blame_task(cause, ended - started, causes);
    to = started;
    task = cause;
  }
}

IdleCauses Accounts::idle_causes(const std::vector<Interval>& busy) const {
  IdleCauses causes;
  Time reached = 0;
  for (const Interval& interval : busy) {
    if (interval.start > reached) blame(interval.opening, reached, interval.start, causes);
    reached = std::max(reached, interval.end);
  }
  if (reached >= timeline_.makespan) return causes;
  // At the end others are still busy: the last of them, and what it waited for.
  const Time started = std::max(reached, timeline_.start[last_]);
  blame_task(last_, timeline_.makespan - started, causes);
  blame(last_, reached, started, causes);
  return causes;
}

void Accounts::account_action(std::size_t rank, std::size_t position, RankResult& result) const {
  const ActionTasks& tasks = lowered_.actions[rank][position];
  std::vector<std::pair<Time, Time>> computing;
  for (TaskId task = tasks.begin; task <= tasks.end; ++task) {
    if (!is_message_or_collective(graph_, task) && spent(task) > 0)
      computing.push_back({timeline_.start[task], timeline_.end[task]});
  }
  Time computed = 0;
  for (const auto& [start, end] : computing) computed += end - start;
  Time launching = 0;
  if (tasks.host >= 0) {
    Time others = timeline_.end[tasks.begin];
    for (TaskId task = tasks.begin; task < tasks.end; ++task) {
      if (static_cast<std::int64_t>(task) != tasks.host) others = std::max(others, timeline_.end[task]);
    }
    launching = std::max<Time>(0, timeline_.start[tasks.end] - others);
  }
  result.launch_s += base::seconds(launching);
  result.exposed_communication_s +=
      base::seconds(timeline_.start[tasks.end] - timeline_.end[tasks.begin] - computed - launching);
  std::size_t next = 0;
  for (TaskId task = tasks.begin; task <= tasks.end; ++task) {
    if (!is_message_or_collective(graph_, task) || static_cast<std::int64_t>(task) == tasks.host) continue;
    Time exposed = spent(task);
    while (next < computing.size() && computing[next].second <= timeline_.start[task]) ++next;
    for (std::size_t i = next; i < computing.size() && computing[i].first < timeline_.end[task]; ++i) {
      exposed -=
          std::min(computing[i].second, timeline_.end[task]) - std::max(computing[i].first, timeline_.start[task]);
    }
    const bool waits = share_of(lowered_.mixtures[lowered_.told[task].mixture], WorkClass::peer_wait) > 0.0;
    double& tier = waits                         ? result.exposed.peer_wait_s
                   : graph_.use[task].nic > 0.0F ? result.exposed.rdma_s
                                                 : result.exposed.nvlink_s;
    tier += base::seconds(exposed);
  }
}

std::vector<Accounts::Interval> Accounts::busy_intervals(int rank, RankResult& result) const {
  using schedules::Kind;
  const auto r = static_cast<std::size_t>(rank);
  std::vector<Interval> busy;
  double by_kind[5] = {};
  for (std::size_t i = 0; i < schedule_.actions[r].size(); ++i) {
    const ActionTasks& tasks = lowered_.actions[r][i];
    const Kind kind = schedule_.actions[r][i].kind;
    busy.push_back({timeline_.end[tasks.begin], timeline_.start[tasks.end], tasks.begin});
    by_kind[static_cast<std::size_t>(kind)] += base::seconds(busy.back().end - busy.back().start);
    if (kind == Kind::overlapped) ++result.overlapped_pairs;
    account_action(r, i, result);
  }
  const auto of = [&](Kind kind) { return by_kind[static_cast<std::size_t>(kind)]; };
  result.forward_s = of(Kind::forward);
  result.backward_s = of(Kind::backward_input) + of(Kind::backward);
  result.weight_s = of(Kind::backward_weight);
  result.overlapped_s = of(Kind::overlapped);
  // Of the update, what no action of this rank hides.
  const Time last_action = busy.empty() ? 0 : busy.back().end;
  const TailTasks& tail = lowered_.tails[r];
  std::vector<TaskId> update = tail.reduce_scatters;
  update.push_back(tail.optimizer);
  update.insert(update.end(), tail.all_gathers.begin(), tail.all_gathers.end());
  for (const TaskId task : update) {
    const Interval interval{std::max(last_action, timeline_.start[task]), timeline_.end[task], task};
    if (interval.end <= interval.start) continue;
    result.optimizer_s += base::seconds(interval.end - interval.start);
    busy.push_back(interval);
  }
  return busy;
}

RankResult Accounts::of_rank(int rank) const {
  RankResult result;
  result.pipeline_rank = rank;
  const std::vector<Interval> busy = busy_intervals(rank, result);
  Time working = 0;
  for (const Interval& interval : busy) working += interval.end - interval.start;
  result.bubble_s = base::seconds(timeline_.makespan - working);
  result.idle = idle_causes(busy);
  return result;
}

}  // namespace hourglass::sim
