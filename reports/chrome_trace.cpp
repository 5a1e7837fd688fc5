// Written event by event: a step of a million kernels is two hundred megabytes of text, which a JSON tree would take
// ten times. Names and classes are our own words and need no escaping; what comes from files goes through the JSON
// library. Events of one thread must nest for Perfetto, so that every stream has a thread of its own; the actions of
// the schedule are a thread above them. Kernels are named as libraries name them, carry the category "kernel" and the
// stream in their arguments, as PyTorch's profiler writes them, and state their phase and its occurrence, for which the
// profiler's annotations stand. A run of operators is one event, or on request written kernel by kernel, twelve times
// as much.
#include "reports/chrome_trace.h"

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <tuple>

#include "base/json.h"
#include "base/provenance.h"
#include "reports/kernel_names.h"
#include "reports/span_names.h"

namespace hourglass::reports {

namespace {

constexpr const char* lane_names[] = {"schedule", "compute", "communication", "point-to-point", "gradients", "host"};
constexpr std::int64_t most_occurrences = 1'000'000;  // of a phase on one rank
double microseconds(base::Time time) { return base::seconds(time) * 1e6; }

// As PyTorch traces of DeepSeek's code would annotate an action.
const char* block_name(schedules::Kind kind) {
  constexpr const char* names[] = {"F", "B", "W", "BW", "F&B"};
  return names[static_cast<std::size_t>(kind)];
}

class TraceWriter {
 public:
  TraceWriter(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record, bool operators)
      : record_(record), operators_(operators) {
    base::Json other = base::provenance_json(inputs.provenance);
    other["schedule"] = result.schedule;
    other["step_time_s"] = result.step_time_s;
    const base::Json devices = {{{"id", 0}, {"name", inputs.cluster.gpu}, {"numSms", inputs.cluster.sms}}};
    text_ = fmt::format(
        "{{\"schemaVersion\":1,\"displayTimeUnit\":\"ms\",\"deviceProperties\":{},\"otherData\":{},\"traceEvents\":[",
        devices.dump(), other.dump());
  }

  void names() {
    for (int rank = 0; rank < record_.schedule.ranks; ++rank) {
      event("{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":\"pipeline rank {}\"}}}}", rank,
            rank);
      event("{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":{},\"args\":{{\"sort_index\":{}}}}}", rank, rank);
      for (int lane = 0; lane < sim::lane_count; ++lane) {
        event("{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":\"{}\"}}}}", rank,
              lane, lane_names[lane]);
      }
    }
  }
  void spans() {
    for (const sim::Span& span : record_.spans) {
      const SpanName named = name_of(record_, span);
      if (span.lane == sim::Lane::schedule) {
        event(
            "{{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"{}\",\"pid\":{},\"tid\":0,\"ts\":{:.3f},\"dur\":"
            "{:.3f},\"args\":{{\"class\":\"{}\",\"stage\":{},\"micro_batch\":{}}}}}",
            named.name, span.rank, microseconds(span.start), microseconds(span.end - span.start), named.cls,
            named.stage, named.micro_batch);
      } else {
        kernels(span, named);
      }
    }
  }
  void memory() {
    for (const sim::MemoryPoint& point : record_.memory) {
      event("{{\"ph\":\"C\",\"name\":\"memory\",\"pid\":{},\"ts\":{:.3f},\"args\":{{\"bytes\":{:.0f}}}}}", point.rank,
            microseconds(point.at), point.bytes);
    }
  }
  // From the end of the action that makes a boundary to the start of the action that needs it, on another rank.
  void flows() {
    std::map<std::tuple<bool, int, int>, const sim::Span*> makers;  // backward, stage, micro-batch
    const auto each = [&](const auto& visit) {
      for (const sim::Span& span : record_.spans) {
        if (span.lane != sim::Lane::schedule) continue;
        const schedules::Action& a = *record_.action_of(span);
        const bool pair = a.kind == schedules::Kind::overlapped;
        if (pair || a.kind == schedules::Kind::forward) visit(false, a.stage, a.micro_batch, span);
        if (pair) visit(true, a.backward_stage, a.backward_micro_batch, span);
        if (a.kind == schedules::Kind::backward || a.kind == schedules::Kind::backward_input)
          visit(true, a.stage, a.micro_batch, span);
      }
    };
    each([&](bool backward, int stage, int micro_batch, const sim::Span& span) {
      makers[{backward, stage, micro_batch}] = &span;
    });
    each([&](bool backward, int stage, int micro_batch, const sim::Span& span) {
      const auto maker = makers.find({backward, backward ? stage + 1 : stage - 1, micro_batch});
      if (maker != makers.end() && maker->second->rank != span.rank) arrow(*maker->second, span);
    });
  }
  std::string take() && { return std::move(text_) + "\n]}\n"; }

 private:
  template <class... Values>
  void event(fmt::format_string<Values...> format, Values&&... values) {
    text_ += first_ ? "\n" : ",\n";
    first_ = false;
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
  }
  void arrow(const sim::Span& from, const sim::Span& to) {
    ++arrows_;
    event("{{\"ph\":\"s\",\"cat\":\"p2p\",\"name\":\"send\",\"id\":{},\"pid\":{},\"tid\":0,\"ts\":{:.3f}}}", arrows_,
          from.rank, microseconds(from.end) - 0.001);
    event(
        "{{\"ph\":\"f\",\"bp\":\"e\",\"cat\":\"p2p\",\"name\":\"send\",\"id\":{},\"pid\":{},\"tid\":0,\"ts\":{:.3f}}}",
        arrows_, to.rank, microseconds(to.start) + 0.001);
  }
  void kernels(const sim::Span& span, const SpanName& named) {
    if (span.lane == sim::Lane::host) return kernel(span, named, named.name, span.start, span.end - span.start, "");
    const std::string phase = phase_name(record_, span);
    // The n-th of a phase on a stream belongs together with the n-th on another: what a layer does. A wait for slower
    // peers belongs to the all-to-all that follows it.
    std::int64_t& occurrence = count_[{phase, span.rank, span.lane}];
    layer_ = span.rank * most_occurrences + occurrence;
    const sim::Block::Segment* segment = record_.segment_of(span);
    occurrence += segment != nullptr && waits_for_peers(*segment) ? 0 : 1;
    const std::vector<sim::OperatorSlice> slices = sim::operators_of(record_, span);
    if (!operators_ || slices.empty()) {
      const std::string name = operators_ ? kernel_name(record_, span) : named.name;
      kernel(span, named, name, span.start, span.end - span.start, phase);
    } else {
      base::Time at = span.start;
      for (const sim::OperatorSlice& slice : slices) {
        kernel(span, named, kernel_name(*slice.op), at, slice.time, phase);
        at += slice.time;
      }
    }
    if (span.lane == sim::Lane::communication && !slices.empty()) link_use(span, slices);
  }
  void kernel(const sim::Span& span, const SpanName& named, const std::string& name, base::Time start,
              base::Time length, const std::string& phase) {
    if (length == 0) return;
    const int lane = static_cast<int>(span.lane);
    event(
        "{{\"ph\":\"X\",\"cat\":\"{}\",\"name\":\"{}\",\"pid\":{},\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},\"args\":"
        "{{\"device\":{},\"stream\":{}",
        span.lane == sim::Lane::host ? "cuda_runtime" : "kernel", name, span.rank, lane, microseconds(start),
        microseconds(length), span.rank, lane);
    if (!phase.empty()) {
      fmt::format_to(std::back_inserter(text_), ",\"phase\":\"{}\",\"layer\":{},\"block\":\"{}\"", phase, layer_,
                     block_name(record_.action_of(span)->kind));
    }
    if (named.stage >= 0)
      fmt::format_to(std::back_inserter(text_), ",\"stage\":{},\"micro_batch\":{}", named.stage, named.micro_batch);
    text_ += "}}";
  }
  // What one GPU sends meanwhile, over its NIC and over NVLink.
  void link_use(const sim::Span& span, const std::vector<sim::OperatorSlice>& slices) {
    const double seconds = base::seconds(span.end - span.start);
    double nic = 0.0, nvlink = 0.0;
    for (const sim::OperatorSlice& slice : slices) nic += slice.op->nic_bytes, nvlink += slice.op->nvlink_bytes;
    const char* format =
        "{{\"ph\":\"C\",\"name\":\"link use\",\"pid\":{},\"ts\":{:.3f},\"args\":{{\"NIC GB/s\":{:.2f},\"NVLink "
        "GB/s\":{:.2f}}}}}";
    event(fmt::runtime(format), span.rank, microseconds(span.start), nic / seconds / base::giga,
          nvlink / seconds / base::giga);
    event(fmt::runtime(format), span.rank, microseconds(span.end), 0.0, 0.0);
  }

  const sim::StepRecord& record_;
  bool operators_;
  std::string text_;
  std::map<std::tuple<std::string, int, sim::Lane>, std::int64_t> count_;
  std::int64_t layer_ = 0;
  std::int64_t arrows_ = 0;
  bool first_ = true;
};

}  // namespace

std::string chrome_trace(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record,
                         const TraceOptions& options) {
  TraceWriter writer(inputs, result, record, options.operators);
  writer.names();
  writer.spans();
  writer.memory();
  if (options.flows) writer.flows();
  return std::move(writer).take();
}

}  // namespace hourglass::reports
