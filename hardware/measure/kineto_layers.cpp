// What one layer takes, phase by phase, so that a snippet of four layers and a step of thousands can be compared. A
// layer is one occurrence of a phase. Kernels of a class that run at once on two streams count once, as in the time
// that passes. A span runs from the phase's first start to its last end, waiting included; of a phase that communicates
// on the streams where it does, since its local operators wait for the compute stream.
//
// The same layer takes longer in an overlapped pair (F&B) than alone, because the communication of the other half holds
// SMs and links. A simulated trace says of each kernel which it is; of a measured one it shows in that forward and
// backward phases run at once.
#include "hardware/measure/kineto_layers.h"

#include <algorithm>
#include <set>

namespace hourglass::hardware {

namespace {

constexpr double us_per_ns = 1e-3;

bool taken(const TraceKernel& kernel, TraceBlocks blocks) {
  if (kernel.phase == 0 || kernel.layer < 0) return false;
  return blocks == TraceBlocks::all ||
         kernel.block == (blocks == TraceBlocks::pairs ? KernelBlock::pair : KernelBlock::alone);
}

struct Extent {
  std::int64_t start = 0, end = 0;
};

// Of kernels in order of start: the time in which at least one of them runs.
struct Busy {
  std::int64_t until = INT64_MIN, sum = 0;
  void add(std::int64_t start, std::int64_t end) {
    sum += std::max<std::int64_t>(0, end - std::max(start, until));
    until = std::max(until, end);
  }
};

using Stream = std::pair<std::int32_t, std::int32_t>;  // device, stream

// The streams on which each phase communicates.
std::map<std::uint32_t, std::set<Stream>> communicating(const Trace& trace) {
  std::map<std::uint32_t, std::set<Stream>> streams;
  for (const TraceKernel& kernel : trace.kernels) {
    if (kernel.phase != 0 && communicates(trace.classes[kernel.kernel_class]))
      streams[kernel.phase].emplace(kernel.device, kernel.stream);
  }
  return streams;
}

// From the start of a phase in one layer to its start in the next, where both follow each other.
double median_pitch(const std::map<std::int32_t, Extent>& layers) {
  std::vector<double> pitches;
  for (auto next = layers.begin(); next != layers.end();) {
    const auto here = next++;
    if (next != layers.end() && next->first == here->first + 1)
      pitches.push_back(static_cast<double>(next->second.start - here->second.start) * us_per_ns);
  }
  return median(std::move(pitches));
}

using Interval = std::pair<std::int64_t, std::int64_t>;

// Whether a time lies in one of the intervals, which are by start; longest: of them.
bool covered(const std::vector<Interval>& intervals, std::int64_t longest, std::int64_t time) {
  auto at = std::upper_bound(intervals.begin(), intervals.end(), Interval{time, INT64_MAX});
  while (at != intervals.begin() && (--at)->first >= time - longest) {
    if (at->second > time) return true;
  }
  return false;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

bool states_blocks(const Trace& trace) {
  return std::any_of(trace.kernels.begin(), trace.kernels.end(),
                     [](const TraceKernel& kernel) { return kernel.block != KernelBlock::unknown; });
}

bool runs_in_pairs(const Trace& trace) {
  constexpr double much = 0.25;
  const std::int32_t device = trace.kernels.empty() ? 0 : trace.kernels.front().device;
  std::vector<Interval> backward;
  std::int64_t longest = 0;
  const auto ends = [&](const TraceKernel& kernel, const char* suffix) {
    return kernel.device == device && trace.phases[kernel.phase].ends_with(suffix);
  };
  for (const TraceKernel& kernel : trace.kernels) {
    if (!ends(kernel, "(B)") && !ends(kernel, "(W)")) continue;
    backward.emplace_back(kernel.start, kernel.start + kernel.duration);
    longest = std::max(longest, kernel.duration);
  }
  std::sort(backward.begin(), backward.end());
  double forward = 0.0, both = 0.0;
  for (const TraceKernel& kernel : trace.kernels) {
    if (!ends(kernel, "(F)")) continue;
    const auto duration = static_cast<double>(kernel.duration);
    forward += duration;
    if (covered(backward, longest, kernel.start + kernel.duration / 2)) both += duration;
  }
  return forward > 0.0 && both > much * forward;
}

TraceLayers trace_layers(const Trace& trace, TraceBlocks blocks) {
  struct Gathered {
    std::map<std::int32_t, Extent> layers;
    std::map<std::int32_t, Busy> busy;
    std::map<std::pair<std::uint32_t, std::int32_t>, Busy> classes;  // class, layer
  };
  const auto streams = communicating(trace);
  std::map<std::uint32_t, Gathered> gathered;
  std::vector<std::uint32_t> order;
  for (const TraceKernel& kernel : trace.kernels) {
    if (!taken(kernel, blocks)) continue;
    const auto [entry, fresh] = gathered.try_emplace(kernel.phase);
    if (fresh) order.push_back(kernel.phase);
    const std::int64_t end = kernel.start + kernel.duration;
    entry->second.busy[kernel.layer].add(kernel.start, end);
    entry->second.classes[{kernel.kernel_class, kernel.layer}].add(kernel.start, end);
    const auto only = streams.find(kernel.phase);
    if (only != streams.end() && !only->second.contains({kernel.device, kernel.stream})) continue;
    Extent& extent = entry->second.layers.try_emplace(kernel.layer, Extent{kernel.start, end}).first->second;
    extent = {std::min(extent.start, kernel.start), std::max(extent.end, end)};
  }
  TraceLayers out;
  for (const std::uint32_t phase : order) {
    const Gathered& each = gathered[phase];
    const double scale = us_per_ns / static_cast<double>(each.busy.size());
    PhaseLayers result = {trace.phases[phase], each.busy.size(), 0.0, 0.0, median_pitch(each.layers), {}};
    for (const auto& [layer, busy] : each.busy) result.kernels_us += static_cast<double>(busy.sum) * scale;
    std::map<std::uint32_t, double> classes;
    for (const auto& [key, busy] : each.classes) classes[key.first] += static_cast<double>(busy.sum) * scale;
    for (const auto& [kernel_class, us] : classes) result.classes.emplace_back(trace.classes[kernel_class], us);
    std::stable_sort(result.classes.begin(), result.classes.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    std::vector<double> spans;
    for (const auto& [layer, extent] : each.layers)
      spans.push_back(static_cast<double>(extent.end - extent.start) * us_per_ns);
    result.span_us = median(std::move(spans));
    out.push_back(std::move(result));
  }
  return out;
}

}  // namespace hourglass::hardware
