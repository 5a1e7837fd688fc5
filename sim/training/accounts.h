#pragma once

#include "schedules/schedule.h"
#include "sim/training/lower.h"
#include "sim/training/record.h"
#include "sim/training/result.h"

// What a timeline means: where each rank's time goes, why it waits, and which tasks the step's length comes from.
namespace hourglass::sim {

class Accounts {
 public:
  Accounts(const schedules::Schedule& schedule, const Lowered& lowered, const Timeline& timeline);
  RankResult of_rank(int rank) const;
  CriticalPath critical_path() const;
  std::vector<PathPiece> critical_pieces() const;

 private:
  struct Interval {
    base::Time start = 0, end = 0;
    TaskId opening = 0;  // the task that had to wait
  };

  std::vector<Interval> busy_intervals(int rank, RankResult& result) const;
  void account_action(std::size_t rank, std::size_t position, RankResult& result) const;
  IdleCauses idle_causes(const std::vector<Interval>& busy) const;
  void blame(TaskId waiting, base::Time from, base::Time to, IdleCauses& causes) const;
  void blame_task(TaskId task, base::Time span, IdleCauses& causes) const;
  // The input that was there last, -1 if there is none.
  std::int64_t last_input(TaskId task) const;
  base::Time spent(TaskId task) const { return timeline_.end[task] - timeline_.start[task]; }
  int rank_of(TaskId task) const { return static_cast<int>(graph_.stream[task] / streams_per_rank); }

  const schedules::Schedule& schedule_;
  const Lowered& lowered_;
  const TaskGraph& graph_;
  const Timeline& timeline_;
  std::vector<std::uint32_t> input_begin_;  // [task + 1]
  std::vector<TaskId> inputs_;
  TaskId last_ = 0;                   // that ends with the step
  std::vector<double> over_average_;  // [task]: share of its action's time beyond the average of the kind
};

}  // namespace hourglass::sim
