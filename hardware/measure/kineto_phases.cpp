// Which part of the model a kernel belongs to.
//
// The good way: the CPU's launch of a kernel carries the same correlation number, and lies in the time of a user
// annotation ("attn(F)"). The innermost annotation around the launch, on whatever thread (autograd launches from its
// own), is the phase; its n-th occurrence is layer n. "ProfilerStep#1" is no phase.
//
// Without annotations: the order of kernels. A phase begins at its mark (a kernel name that follows in the phase before
// it) separately on the compute and on the communication streams, because the two run ahead of each other. The marks
// are written for one model's code; so the result is used only if every phase of the table was seen.
#include <algorithm>
#include <queue>
#include <set>

#include "hardware/measure/kineto.h"

namespace hourglass::hardware {

namespace {

struct Spot {
  std::uint32_t phase = 0;
  std::int32_t layer = -1;
};

std::uint32_t phase_index(Trace& trace, const std::string& name) {
  const auto found = std::find(trace.phases.begin(), trace.phases.end(), name);
  const auto index = static_cast<std::uint32_t>(found - trace.phases.begin());
  if (found == trace.phases.end()) trace.phases.push_back(name);
  return index;
}

// Phase and occurrence of every annotation; they are in order of time.
std::vector<Spot> spots_of(Trace& trace, const std::vector<Annotation>& annotations) {
  std::vector<Spot> spots;
  std::map<std::string, std::pair<std::uint32_t, std::int32_t>> seen;
  for (const Annotation& annotation : annotations) {
    const auto [entry, fresh] = seen.emplace(annotation.name, std::pair(0u, 0));
    if (fresh && seen.size() <= 10'000) {
      trace.phases.push_back(annotation.name);
      entry->second.first = static_cast<std::uint32_t>(trace.phases.size() - 1);
    }
    spots.push_back({entry->second.first, entry->second.second++});
  }
  return spots;
}

// For each launch, in order of time, the innermost annotation around it, or -1.
std::vector<std::ptrdiff_t> innermost(const std::vector<Annotation>& annotations, const std::vector<Launch>& launches) {
  using Ending = std::pair<std::int64_t, std::ptrdiff_t>;
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings;
  std::set<std::ptrdiff_t> running;  // annotations by index, which is by start
  std::vector<std::ptrdiff_t> found;
  std::size_t next = 0;
  for (const Launch& launch : launches) {
    for (; next < annotations.size() && annotations[next].start <= launch.time; ++next) {
      running.insert(static_cast<std::ptrdiff_t>(next));
      endings.emplace(annotations[next].end, static_cast<std::ptrdiff_t>(next));
    }
    for (; !endings.empty() && endings.top().first < launch.time; endings.pop()) running.erase(endings.top().second);
    found.push_back(running.empty() ? -1 : *running.rbegin());
  }
  return found;
}

// The streams of (device, stream) that carry communication.
std::set<std::pair<std::int32_t, std::int32_t>> communication_streams(const Trace& trace) {
  std::set<std::pair<std::int32_t, std::int32_t>> streams;
  for (const TraceKernel& kernel : trace.kernels) {
    if (communicates(trace.classes[kernel.kernel_class])) streams.emplace(kernel.device, kernel.stream);
  }
  return streams;
}

// Follows the marks over the kernels of one lane.
class Follower {
 public:
  Follower(Trace& trace, const KernelTable& table) : trace_(trace) {
    for (const PhaseMark& mark : table.marks) marks_.push_back({&mark, phase_index(trace, mark.phase), {}});
  }

  void run(bool communication, const std::vector<TraceKernel*>& kernels) {
    Spot now;
    std::string name;
    for (TraceKernel* kernel : kernels) {
      for (Mark& mark : marks_) {
        if (mark.mark->communication != communication || mark.mark->after != name || !matches(mark, kernel->name)) {
          continue;
        }
        name = mark.mark->phase;
        now = {mark.phase, count_[name]++};
        break;
      }
      kernel->phase = now.phase;
      kernel->layer = now.layer;
    }
  }
  bool complete() const {
    return std::all_of(marks_.begin(), marks_.end(),
                       [&](const Mark& mark) { return count_.contains(mark.mark->phase); });
  }

 private:
  struct Mark {
    const PhaseMark* mark;
    std::uint32_t phase;
    std::map<std::uint32_t, bool> known;  // by name: patterns are slow
  };
  bool matches(Mark& mark, std::uint32_t name) const {
    const auto [entry, fresh] = mark.known.emplace(name, false);
    if (fresh) entry->second = std::regex_search(trace_.names[name], mark.mark->match);
    return entry->second;
  }

  const Trace& trace_;
  std::vector<Mark> marks_;
  std::map<std::string, std::int32_t> count_;
};

}  // namespace

bool phases_from_annotations(Trace& trace, std::vector<Annotation> annotations, std::vector<Launch> launches) {
  std::erase_if(annotations, [](const Annotation& a) { return a.name.starts_with("ProfilerStep"); });
  // An outer annotation starts before an inner one, or ends after it.
  std::stable_sort(annotations.begin(), annotations.end(), [](const Annotation& a, const Annotation& b) {
    return a.start != b.start ? a.start < b.start : a.end > b.end;
  });
  std::sort(launches.begin(), launches.end(), [](const Launch& a, const Launch& b) {
    return a.time != b.time ? a.time < b.time : a.correlation < b.correlation;
  });
  const std::vector<Spot> spots = spots_of(trace, annotations);
  const std::vector<std::ptrdiff_t> around = innermost(annotations, launches);
  std::vector<std::pair<std::uint64_t, std::ptrdiff_t>> by_correlation;
  for (std::size_t i = 0; i < launches.size(); ++i) by_correlation.emplace_back(launches[i].correlation, around[i]);
  std::sort(by_correlation.begin(), by_correlation.end());
  bool any = false;
  for (TraceKernel& kernel : trace.kernels) {
    const auto found = std::lower_bound(by_correlation.begin(), by_correlation.end(),
                                        std::pair(kernel.correlation, std::ptrdiff_t{-1}));
    if (found == by_correlation.end() || found->first != kernel.correlation || found->second < 0) continue;
    const Spot& spot = spots[static_cast<std::size_t>(found->second)];
    kernel.phase = spot.phase;
    kernel.layer = spot.layer;
    any = true;
  }
  if (!any) trace.phases.resize(1);
  return any;
}

bool phases_from_order(Trace& trace, const KernelTable& table) {
  if (table.marks.empty()) return false;
  const auto communication = communication_streams(trace);
  std::vector<TraceKernel*> lanes[2];
  for (TraceKernel& kernel : trace.kernels) {
    lanes[communication.contains({kernel.device, kernel.stream}) ? 1 : 0].push_back(&kernel);
  }
  Follower follower(trace, table);
  follower.run(false, lanes[0]);
  follower.run(true, lanes[1]);
  if (follower.complete()) return true;
  for (TraceKernel& kernel : trace.kernels) {
    kernel.phase = 0;
    kernel.layer = -1;
  }
  trace.phases.resize(1);
  return false;
}

}  // namespace hourglass::hardware
