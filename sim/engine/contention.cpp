// Tasks of FIFO streams that disturb each other.
//
// A task has `work`, the picoseconds it takes undisturbed, and progresses at a rate of at most 1:
//   NIC      each direction of a GPU's NIC is shared max-min fairly. A task wants a share d of it (its bytes over its
//            undisturbed time and the NIC's bandwidth); with wants d_i on a NIC of capacity c there is a level l with
//            sum min(d_i, l) = c, and the task gets min(d, l), so its rate is min(1, l/d) over all NICs that it uses:
//            a message leaves by one and arrives at another, an all-to-all uses both directions of every member's.
//   SMs      computation whose work holds beside communication progresses at `slowdown` while no collective runs on its
//            GPU.
//   load     a GPU whose experts get more rows works longer on them; an all-to-all takes as long as its fullest member.
//   groups   a collective starts when its last member is there and ends for all at the same time.
// Rates change only where a task starts, ends, or a NIC comes and goes, and only for tasks that share something with
// it.
//
// Events are ordered by (time, stream), rates by the set of tasks alone, so that results repeat bit for bit; a task
// that is never disturbed ends exactly `work` after its start, and where nothing is shared the times are those of
// engine.cpp, to the picosecond.
//
// Limits: what one NIC leaves over because its task is held up at another one is not given to others there; collectives
// of several parallel groups in a row count as one of the first group; switches do not limit (expert_network.h has
// them); a message does not occupy SMs.
//
// Cost: only tasks that others can disturb go through the queue (an indexed 4-ary heap, one entry a stream), when they
// start and when they end. All others end when their inputs do, plus their work, known as soon as the inputs' ends are:
// the sweep of engine.cpp, running ahead of the clock.
#include "sim/engine/contention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "sim/engine/event_queue.h"

namespace hourglass::sim {

namespace {

using base::Time;

// One direction of a NIC.
struct Wire {
  struct User {
    std::uint32_t stream;
    float want;
  };
  double capacity = 1.0, wanted = 0.0, level = 1.0;
  std::vector<User> users;

  bool crowded() const { return wanted > capacity * (1.0 + 1e-9); }
  void fill() {
    level = capacity;
    if (!crowded()) {
      level = std::numeric_limits<double>::infinity();
      return;
    }
    // Who wants less than an equal share gets it; the others share what is left.
    std::vector<float> wants;
    for (const User& user : users) wants.push_back(user.want);
    std::sort(wants.begin(), wants.end());
    double left = capacity;
    for (std::size_t i = 0; i < wants.size(); ++i) {
      level = left / static_cast<double>(wants.size() - i);
      if (static_cast<double>(wants[i]) > level) return;
      left -= static_cast<double>(wants[i]);
    }
  }
};

class SharedRun {
 public:
  SharedRun(const TaskGraph& graph, std::uint32_t streams_per_rank, const Machine& machine, const Progress& progress)
      : graph_(graph),
        per_rank_(streams_per_rank),
        machine_(machine),
        progress_(progress),
        members_(static_cast<std::uint32_t>(machine.members)),
        running_(graph.streams * static_cast<std::size_t>(members_)),
        queue_(running_.size()),
        collectives_(running_.size() / streams_per_rank, 0),
        wires_(2 * collectives_.size()) {
    const std::size_t instances = graph.size() * members_;
    waiting_.resize(instances);
    for (std::size_t t = 0; t < graph.size(); ++t)
      std::fill_n(waiting_.begin() + static_cast<std::ptrdiff_t>(t * members_), members_, graph.input_count[t]);
    out_.members = machine.members;
    out_.start.assign(instances, 0);
    out_.end.assign(instances, 0);
    for (std::size_t g = 0; g < machine.nic_capacity.size(); ++g)
      wires_[2 * g].capacity = wires_[2 * g + 1].capacity = static_cast<double>(machine.nic_capacity[g]);
    uses_nic_ = machine.share_nic || !machine.nic_capacity.empty() || !machine.outages.empty();
    for (const NicOutage& outage : machine.outages)
      changes_.push_back({base::time_from_seconds(outage.first_s), &outage, true});
    if (members_ > 1) arrived_.resize(graph.size());
    for (std::uint32_t stream = 0; stream < graph.streams; ++stream) {
      infos_.push_back({stream / per_rank_ * members_, stream % per_rank_ == 0, stream % per_rank_ == 1});
    }
  }

  MachineTimeline run() {
    for (TaskId t = 0; t < graph_.size(); ++t) {
      for (std::uint32_t m = 0; graph_.input_count[t] == 0 && m < members_; ++m) arrive(t, m);
    }
    pass_on();
    settle();
    while (!queue_.empty()) {
      const Time change = next_change(), event = queue_.time(queue_.first());
      now_ = std::min(change, event);
      if (now_ == never) break;
      if (change == now_) change_nics();
      while (!queue_.empty() && queue_.time(queue_.first()) == now_) {
        const std::uint32_t stream = queue_.first();
        queue_.pop();
        if (running_[stream].active)
          finish(stream);
        else
          start(stream);
        pass_on();
      }
      settle();
    }
    if (done_ != waiting_.size()) {
      throw base::Error(
          fmt::format("{} of {} tasks wait for each other in a circle", waiting_.size() - done_, waiting_.size()),
          "engine", "the schedule's order cannot be executed");
    }
    return std::move(out_);
  }

 private:
  struct Instance {
    TaskId task = 0;
    std::uint32_t member = 0;
  };
  struct StreamInfo {
    std::uint32_t first_gpu = 0;  // of its rank
    bool computes = false, collects = false;
  };
  // The task of a stream that runs, or that will start at the queue's time.
  struct Running {
    TaskId task = 0;
    std::uint32_t member = 0;  // the first of its group
    double remaining = 0.0, rate = 0.0;
    Time since = 0;
    bool active = false, dirty = false;
  };
  struct Change {
    Time at;
    const NicOutage* outage;
    bool down;
  };

  std::size_t instance(TaskId task, std::size_t member) const {
    return task * static_cast<std::size_t>(members_) + member;
  }
  std::uint32_t stream_of(TaskId task, std::uint32_t member) const { return graph_.stream[task] * members_ + member; }
  std::size_t gpu_of(TaskId task, std::size_t member) const { return infos_[graph_.stream[task]].first_gpu + member; }
  bool is_compute(TaskId task) const { return infos_[graph_.stream[task]].computes; }
  bool is_collective(TaskId task) const { return infos_[graph_.stream[task]].collects; }
  const ParallelGroup* group_of(TaskId task) const {
    const std::uint16_t group = graph_.use[task].group;
    return group == 0 || members_ == 1 ? nullptr : &machine_.groups[group];
  }
  // Calls each(member) for those that take part in the task with `member`.
  template <class Each>
  void each_member(TaskId task, std::uint32_t member, const Each& each) const {
    const ParallelGroup* group = group_of(task);
    if (group == nullptr) {
      each(member);
      return;
    }
    const auto stride = static_cast<std::uint32_t>(group->stride), ranks = static_cast<std::uint32_t>(group->ranks);
    const std::uint32_t block = stride * ranks, first = member / block * block + member % stride;
    for (std::uint32_t i = 0; i < ranks; ++i) each(first + i * stride);
  }
  // Whether others can change how long it takes: then it starts and ends in the order of time.
  bool disturbable(TaskId task) const {
    const TaskUse& use = graph_.use[task];
    return graph_.work[task] > 0 && ((uses_nic_ && use.nic > 0.0F) || use.slowdown != 1.0F || use.felt);
  }

  // All inputs of a task are there, at out_.start.
  void arrive(TaskId task, std::uint32_t member) {
    if (const ParallelGroup* group = group_of(task)) {
      const auto stride = static_cast<std::uint32_t>(group->stride),
                 block = stride * static_cast<std::uint32_t>(group->ranks);
      std::vector<std::uint16_t>& counts = arrived_[task];
      if (counts.empty()) counts.assign(members_ / block * stride, 0);
      if (++counts[member / block * stride + member % stride] < group->ranks) return;
      member = member / block * block + member % stride;
      Time last = 0;
      each_member(task, member, [&](std::uint32_t m) { last = std::max(last, out_.start[instance(task, m)]); });
      each_member(task, member, [&](std::uint32_t m) { out_.start[instance(task, m)] = last; });
    }
    const Time at = out_.start[instance(task, member)];
    if (!disturbable(task)) {
      end_at(task, member, at + work_of(task, member));
      return;
    }
    const std::uint32_t stream = stream_of(task, member);
    running_[stream] = {task, member, 0.0, 0.0, at, false, running_[stream].dirty};
    if (at == now_)
      start(stream);
    else
      queue_.set(stream, at);
  }
  void end_at(TaskId task, std::uint32_t member, Time end) {
    out_.makespan = std::max(out_.makespan, end);
    each_member(task, member, [&](std::uint32_t m) {
      out_.end[instance(task, m)] = end;
      ended_.push_back({task, m});
    });
  }
  // Tells those that wait for what ended; what cannot be disturbed ends at once, at a time to come.
  void pass_on() {
    while (!ended_.empty()) {
      const auto [task, member] = ended_.back();
      ended_.pop_back();
      ++done_;
      const Time end = out_.end[instance(task, member)];
      const std::uint32_t last = graph_.output_begin[task + 1];
      for (std::uint32_t i = graph_.output_begin[task]; i < last; ++i) {
        const std::size_t output = instance(graph_.outputs[i], member);
        out_.start[output] = std::max(out_.start[output], end);
        if (--waiting_[output] == 0) arrive(graph_.outputs[i], member);
      }
    }
  }

  void start(std::uint32_t stream) {
    Running& r = running_[stream];
    r.active = true;
    r.since = now_;
    r.remaining = static_cast<double>(work_of(r.task, r.member));
    r.rate = -1.0;  // settle() gives it one
    if (uses_nic_ && graph_.use[r.task].nic > 0.0F) use_nics(r.task, r.member, stream);
    if (is_collective(r.task)) collective(r, +1);
    mark(stream);
  }
  void finish(std::uint32_t stream) {
    Running& r = running_[stream];
    r.active = false;
    if (uses_nic_ && graph_.use[r.task].nic > 0.0F) leave_nics(r.task, r.member, stream);
    if (is_collective(r.task)) collective(r, -1);
    end_at(r.task, r.member, now_);
    ++out_.events;
    if (progress_ && (out_.events & 0xfff) == 0 && !progress_(share_done(), now_)) {
      throw base::Error(fmt::format("interrupted after {:.0f} % of the tasks, {:.3f} s into the step",
                                    100.0 * share_done(), base::seconds(now_)),
                        "simulation", "nothing was written");
    }
  }
  double share_done() const { return static_cast<double>(done_) / static_cast<double>(waiting_.size()); }

  Time work_of(TaskId task, std::uint32_t member) const {
    const Time work = graph_.work[task];
    const TaskUse& use = graph_.use[task];
    double factor = 1.0;
    if (use.row >= 0 && machine_.load_columns > 0) {
      float load = 0.0F;
      each_member(task, member, [&](std::uint32_t m) { load = std::max(load, load_of(use.row, m)); });
      factor += static_cast<double>(use.expert_share) * (static_cast<double>(load) - 1.0);
    }
    if (!machine_.compute_factor.empty() && is_compute(task))
      factor *= static_cast<double>(machine_.compute_factor[gpu_of(task, member)]);
    return factor == 1.0 ? work : static_cast<Time>(std::llround(static_cast<double>(work) * factor));
  }
  float load_of(std::int32_t row, std::uint32_t member) const {
    const auto columns = static_cast<std::size_t>(machine_.load_columns);
    const std::size_t column = member / static_cast<std::size_t>(machine_.load_stride) % columns;
    return machine_.loads[static_cast<std::size_t>(row) * columns + column];
  }

  // NICs: wires 2 g (out) and 2 g + 1 (in).
  template <class Each>
  void each_wire(TaskId task, std::uint32_t member, const Each& each) {
    const std::int32_t to = graph_.use[task].to;
    if (to >= 0) {
      each(wires_[2 * gpu_of(task, member)]);
      each(wires_[2 * (static_cast<std::size_t>(to) * members_ + member) + 1]);
      return;
    }
    each_member(task, member, [&](std::uint32_t m) {
      each(wires_[2 * gpu_of(task, m)]);
      each(wires_[2 * gpu_of(task, m) + 1]);
    });
  }
  void touch(const Wire& wire) {
    for (const Wire::User& user : wire.users) mark(user.stream);
  }
  void mark(std::uint32_t stream) {
    if (running_[stream].dirty) return;
    running_[stream].dirty = true;
    dirty_.push_back(stream);
  }
  void use_nics(TaskId task, std::uint32_t member, std::uint32_t stream) {
    const float want = graph_.use[task].nic;
    each_wire(task, member, [&](Wire& wire) {
      wire.users.push_back({stream, want});
      wire.wanted += static_cast<double>(want);
      wire.fill();
      if (wire.crowded()) touch(wire);
    });
  }
  void leave_nics(TaskId task, std::uint32_t member, std::uint32_t stream) {
    each_wire(task, member, [&](Wire& wire) {
      const bool was_crowded = wire.crowded();
      std::erase_if(wire.users, [&](const Wire::User& user) { return user.stream == stream; });
      wire.wanted = 0.0;
      for (const Wire::User& user : wire.users) wire.wanted += static_cast<double>(user.want);
      wire.fill();
      if (was_crowded) touch(wire);
    });
  }
  // A collective starts or ends; whom it disturbs computes on the first stream of its ranks' GPUs.
  void collective(const Running& r, int change) {
    if (!graph_.use[r.task].felt) return;
    const std::uint32_t rank_streams = graph_.stream[r.task] / per_rank_ * per_rank_ * members_;
    each_member(r.task, r.member, [&](std::uint32_t m) {
      collectives_[gpu_of(r.task, m)] += change;
      const Running& computing = running_[rank_streams + m];
      if (computing.active && graph_.use[computing.task].slowdown != 1.0F) mark(rank_streams + m);
    });
  }

  double rate_of(const Running& r) {
    const TaskUse& use = graph_.use[r.task];
    if (is_compute(r.task)) {
      const bool beside = use.slowdown == 1.0F || collectives_[gpu_of(r.task, r.member)] > 0;
      return beside ? 1.0 : static_cast<double>(use.slowdown);
    }
    if (!uses_nic_ || use.nic <= 0.0F) return 1.0;
    double level = std::numeric_limits<double>::infinity();
    each_wire(r.task, r.member, [&](const Wire& wire) { level = std::min(level, wire.level); });
    return std::min(1.0, level / static_cast<double>(use.nic));
  }
  // Gives what starts, and what was disturbed, its rate, once all that happens now has happened.
  void settle() {
    for (const std::uint32_t stream : dirty_) {
      Running& r = running_[stream];
      r.dirty = false;
      if (!r.active) continue;
      const double rate = rate_of(r);
      if (rate == r.rate) continue;
      if (r.rate > 0.0) r.remaining = std::max(0.0, r.remaining - r.rate * static_cast<double>(now_ - r.since));
      r.since = now_;
      r.rate = rate;
      const double left = rate == 1.0 ? r.remaining : r.remaining / rate;
      queue_.set(stream, rate > 0.0 ? now_ + static_cast<Time>(std::ceil(left - 1e-6)) : never);
      ++out_.events;
    }
    dirty_.clear();
  }

  Time next_change() const {
    Time at = never;
    for (const Change& change : changes_) at = std::min(at, change.at);
    return at;
  }
  void change_nics() {
    for (Change& change : changes_) {
      if (change.at != now_) continue;
      const auto gpu = static_cast<std::size_t>(change.outage->gpu);
      const double whole = machine_.nic_capacity.empty() ? 1.0 : static_cast<double>(machine_.nic_capacity[gpu]);
      for (const std::size_t w : {2 * gpu, 2 * gpu + 1}) {
        wires_[w].capacity = change.down ? 0.0 : whole;
        wires_[w].fill();
        touch(wires_[w]);
      }
      const double wait = change.down ? change.outage->down_s : change.outage->every_s - change.outage->down_s;
      change.at += base::time_from_seconds(wait);
      change.down = !change.down;
    }
  }

  const TaskGraph& graph_;
  std::uint32_t per_rank_;
  const Machine& machine_;
  const Progress& progress_;
  std::uint32_t members_;
  bool uses_nic_ = true;
  Time now_ = 0;
  std::size_t done_ = 0;
  std::vector<StreamInfo> infos_;                    // [stream of the graph]
  std::vector<std::uint32_t> waiting_;               // [instance]: inputs still missing
  std::vector<std::vector<std::uint16_t>> arrived_;  // [task][group]: members that are there
  std::vector<Instance> ended_;                      // whose outputs do not know yet
  std::vector<Running> running_;                     // [stream of a GPU]; of a collective, at its first member
  EventQueue queue_;
  std::vector<std::int32_t> collectives_;  // [GPU]: that run and are felt
  std::vector<Wire> wires_;
  std::vector<std::uint32_t> dirty_;
  std::vector<Change> changes_;
  MachineTimeline out_;
};

}  // namespace

Timeline MachineTimeline::of(const TaskGraph& graph, std::uint32_t streams_per_rank,
                             const std::vector<std::int64_t>& chosen) const {
  Timeline timeline{std::vector<base::Time>(graph.size()), std::vector<base::Time>(graph.size()), makespan};
  for (std::size_t t = 0; t < graph.size(); ++t) {
    const auto member = static_cast<std::size_t>(chosen[graph.stream[t] / streams_per_rank]);
    timeline.start[t] = start[t * static_cast<std::size_t>(members) + member];
    timeline.end[t] = end[t * static_cast<std::size_t>(members) + member];
  }
  return timeline;
}

double shared_run_bytes(const TaskGraph& graph, std::int64_t members) {
  constexpr double instance_bytes = 2.0 * sizeof(base::Time) + sizeof(std::uint32_t), gpu_bytes = 600.0;
  const double tasks = static_cast<double>(graph.size());
  return tasks * (static_cast<double>(members) * instance_bytes + 100.0) +
         gpu_bytes * static_cast<double>(members) * static_cast<double>(graph.streams);
}

MachineTimeline run_shared(const TaskGraph& graph, std::uint32_t streams_per_rank, const Machine& machine,
                           const Progress& progress) {
  return SharedRun(graph, streams_per_rank, machine, progress).run();
}

}  // namespace hourglass::sim
