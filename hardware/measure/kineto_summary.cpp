// What a trace says in numbers: how long each stream was busy, each class and each phase took, and how much
// communication ran beside computation. Busy time is the union of intervals, never a sum, so that two kernels at once
// count once; class totals are sums, because that is what a cost model predicts.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/kineto.h"

namespace hourglass::hardware {

namespace {

using Intervals = std::vector<std::pair<std::int64_t, std::int64_t>>;  // [start, end)

double to_us(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-3; }

// Disjoint and in order.
Intervals merged(Intervals intervals) {
  std::sort(intervals.begin(), intervals.end());
  Intervals result;
  for (const auto& [start, end] : intervals) {
    if (!result.empty() && start <= result.back().second) {
      result.back().second = std::max(result.back().second, end);
    } else {
      result.emplace_back(start, end);
    }
  }
  return result;
}

std::int64_t length(const Intervals& disjoint) {
  std::int64_t sum = 0;
  for (const auto& [start, end] : disjoint) sum += end - start;
  return sum;
}

std::int64_t common_length(const Intervals& a, const Intervals& b) {
  std::int64_t sum = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    sum += std::max<std::int64_t>(0, std::min(a[i].second, b[j].second) - std::max(a[i].first, b[j].first));
    (a[i].second < b[j].second ? i : j) += 1;
  }
  return sum;
}

void add_streams(const Trace& trace, TraceSummary& summary) {
  std::map<std::pair<std::int32_t, std::int32_t>, Intervals> streams;
  std::map<std::pair<std::int32_t, std::int32_t>, bool> carries;
  Intervals communication;
  std::int64_t end = 0;
  for (const TraceKernel& kernel : trace.kernels) {
    const std::pair<std::int32_t, std::int32_t> at = {kernel.device, kernel.stream};
    streams[at].emplace_back(kernel.start, kernel.start + kernel.duration);
    end = std::max(end, kernel.start + kernel.duration);
    if (!communicates(trace.classes[kernel.kernel_class])) continue;
    carries[at] = true;
    communication.emplace_back(kernel.start, kernel.start + kernel.duration);
  }
  Intervals compute;
  for (const auto& [at, intervals] : streams) {
    summary.streams.push_back(
        {at.first, at.second, static_cast<std::int64_t>(intervals.size()), to_us(length(merged(intervals)))});
    if (!carries[at]) compute.insert(compute.end(), intervals.begin(), intervals.end());
  }
  compute = merged(std::move(compute));
  communication = merged(std::move(communication));
  summary.wall_us = to_us(end);
  summary.compute_busy_us = to_us(length(compute));
  summary.communication_busy_us = to_us(length(communication));
  summary.overlapped_us = to_us(common_length(compute, communication));
}

std::vector<TraceTotal> largest_first(const std::map<std::string, std::pair<std::int64_t, std::int64_t>>& totals) {
  std::vector<TraceTotal> sorted;
  for (const auto& [name, total] : totals) sorted.push_back({name, total.first, to_us(total.second)});
  std::stable_sort(sorted.begin(), sorted.end(), [](const TraceTotal& a, const TraceTotal& b) { return a.us > b.us; });
  return sorted;
}

void add_classes(const Trace& trace, TraceSummary& summary) {
  constexpr std::size_t shown = 10;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> classes, unclassified;
  for (const TraceKernel& kernel : trace.kernels) {
    const auto add = [&](auto& totals, const std::string& name) {
      auto& [count, nanoseconds] = totals[name];
      ++count;
      nanoseconds += kernel.duration;
    };
    add(classes, trace.classes[kernel.kernel_class]);
    if (kernel.kernel_class == 0) add(unclassified, trace.names[kernel.name]);
  }
  summary.classes = largest_first(classes);
  summary.unclassified = largest_first(unclassified);
  if (summary.unclassified.size() > shown) summary.unclassified.resize(shown);
}

void add_phases(const Trace& trace, TraceSummary& summary) {
  std::map<std::uint32_t, std::size_t> place;
  std::map<std::pair<std::uint32_t, std::int32_t>, std::pair<std::int64_t, std::int64_t>> spans;
  for (const TraceKernel& kernel : trace.kernels) {
    if (kernel.phase == 0) continue;
    const auto [entry, fresh] = place.emplace(kernel.phase, summary.phases.size());
    if (fresh) summary.phases.push_back({trace.phases[kernel.phase], 0, 0.0, {}});
    PhaseTotal& total = summary.phases[entry->second];
    ++total.count;
    total.kernels_us += to_us(kernel.duration);
    const std::pair<std::int64_t, std::int64_t> here = {kernel.start, kernel.start + kernel.duration};
    auto& span = spans.emplace(std::pair(kernel.phase, kernel.layer), here).first->second;
    span = {std::min(span.first, here.first), std::max(span.second, here.second)};
  }
  for (const auto& [key, span] : spans) {
    summary.phases[place[key.first]].span_us.push_back(to_us(span.second - span.first));
  }
}

std::string phases_text(const TraceSummary& summary) {
  constexpr std::size_t shown_layers = 8;
  std::string text;
  for (const PhaseTotal& phase : summary.phases) {
    text += fmt::format("  {:<24} {:>7} {:>12.1f}  ", base::printable(phase.phase), phase.count, phase.kernels_us);
    for (std::size_t i = 0; i < std::min(shown_layers, phase.span_us.size()); ++i) {
      text += fmt::format("{:>9.1f}", phase.span_us[i]);
    }
    text += phase.span_us.size() > shown_layers ? " ...\n" : "\n";
  }
  return text;
}

base::Json totals_json(const std::vector<TraceTotal>& totals, const char* key) {
  base::Json list = base::Json::array();
  for (const TraceTotal& total : totals) {
    list.push_back({{key, total.name}, {"count", total.count}, {"us", total.us}});
  }
  return list;
}

}  // namespace

TraceSummary trace_summary(const Trace& trace) {
  TraceSummary summary;
  add_streams(trace, summary);
  add_classes(trace, summary);
  add_phases(trace, summary);
  return summary;
}

std::string trace_text(const Trace& trace, const TraceSummary& summary) {
  std::string text =
      fmt::format("{}: {} GPU events on {} ({} SMs), {:.1f} us\n", base::printable(trace.path), trace.kernels.size(),
                  trace.device.empty() ? "an unnamed device" : trace.device, trace.sms, summary.wall_us);
  text += fmt::format(
      "computing {:.1f} us, communicating {:.1f} us, both at once {:.1f} us\n\n  stream             events      busy "
      "us\n",
      summary.compute_busy_us, summary.communication_busy_us, summary.overlapped_us);
  for (const StreamBusy& stream : summary.streams) {
    text += fmt::format("  {:<17} {:>7} {:>12.1f}\n", fmt::format("device {} / {}", stream.device, stream.stream),
                        stream.count, stream.busy_us);
  }
  text += "\n  class              events     total us\n";
  for (const TraceTotal& total : summary.classes) {
    text += fmt::format("  {:<17} {:>7} {:>12.1f}\n", base::printable(total.name), total.count, total.us);
  }
  if (!summary.phases.empty()) {
    text += fmt::format("\n  phase (from {:<11}) events     total us   span us by layer\n", trace.phases_from);
    text += phases_text(summary);
  }
  if (!summary.unclassified.empty()) text += "\n  not classified (name them with --kernels)\n";
  for (const TraceTotal& total : summary.unclassified) {
    text += fmt::format("  {:>7} {:>12.1f} us  {}\n", total.count, total.us, base::printable(total.name));
  }
  return text;
}

base::Json trace_json(const Trace& trace, const TraceSummary& summary, const base::Provenance& provenance) {
  base::Json streams = base::Json::array();
  for (const StreamBusy& s : summary.streams) {
    streams.push_back({{"device", s.device}, {"stream", s.stream}, {"count", s.count}, {"busy_us", s.busy_us}});
  }
  base::Json phases = base::Json::array();
  for (const PhaseTotal& p : summary.phases) {
    phases.push_back(
        {{"phase", p.phase}, {"count", p.count}, {"kernels_us", p.kernels_us}, {"span_us_by_layer", p.span_us}});
  }
  return {{"schema_version", "1.0.0"},
          {"provenance", base::provenance_json(provenance)},
          {"file", base::utf8(trace.path)},
          {"device", {{"name", trace.device}, {"sms", trace.sms}}},
          {"events", trace.kernels.size()},
          {"events_skipped", trace.events_skipped},
          {"wall_us", summary.wall_us},
          {"compute_busy_us", summary.compute_busy_us},
          {"communication_busy_us", summary.communication_busy_us},
          {"overlapped_us", summary.overlapped_us},
          {"streams", std::move(streams)},
          {"classes", totals_json(summary.classes, "class")},
          {"phases_from", trace.phases_from},
          {"phases", std::move(phases)},
          {"unclassified", totals_json(summary.unclassified, "name")}};
}

}  // namespace hourglass::hardware
