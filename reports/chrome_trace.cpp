// Written event by event: a step of a hundred thousand tasks is some ten megabytes of text, which a JSON tree would
// take ten times. Names and classes are our own words and need no escaping; what comes from files goes through the JSON
// library. Events of one thread must nest for Perfetto, so that every stream has a thread of its own; the actions of
// the schedule are a thread above them. Kernels carry the category "kernel" and the stream in their arguments, as
// PyTorch's profiler writes them, so that tools for its traces read this one.
#include "reports/chrome_trace.h"

#include <fmt/format.h>

#include <iterator>

#include "base/provenance.h"

namespace hourglass::reports {

namespace {

constexpr const char* lane_names[] = {"schedule", "compute", "communication", "point-to-point", "gradients"};
double microseconds(base::Time time) { return base::seconds(time) * 1e6; }

}  // namespace

std::string chrome_trace(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record) {
  base::Json other = base::provenance_json(inputs.provenance);
  other["schedule"] = result.schedule;
  other["step_time_s"] = result.step_time_s;
  std::string out = fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[", other.dump());
  const auto to = std::back_inserter(out);
  for (int rank = 0; rank < record.ranks; ++rank) {
    fmt::format_to(
        to, "{}\n{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":\"pipeline rank {}\"}}}}",
        rank == 0 ? "" : ",", rank, rank);
    fmt::format_to(to, ",\n{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":{},\"args\":{{\"sort_index\":{}}}}}",
                   rank, rank);
    for (int lane = 0; lane < sim::lanes; ++lane) {
      fmt::format_to(to,
                     ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":\"{}\"}}}}",
                     rank, lane, lane_names[lane]);
    }
  }
  for (const sim::Span& span : record.spans) {
    const int lane = static_cast<int>(span.lane);
    fmt::format_to(
        to,
        ",\n{{\"ph\":\"X\",\"cat\":\"{}\",\"name\":\"{}\",\"pid\":{},\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},\"args\":"
        "{{\"class\":\"{}\",\"stream\":{}",
        lane == 0 ? "user_annotation" : "kernel", span.name, span.rank, lane, microseconds(span.start),
        microseconds(span.end - span.start), span.cls, lane);
    if (span.stage >= 0) fmt::format_to(to, ",\"stage\":{},\"micro_batch\":{}", span.stage, span.micro_batch);
    out += "}}";
  }
  for (const sim::MemoryPoint& point : record.memory) {
    fmt::format_to(to, ",\n{{\"ph\":\"C\",\"name\":\"memory\",\"pid\":{},\"ts\":{:.3f},\"args\":{{\"bytes\":{:.0f}}}}}",
                   point.rank, microseconds(point.at), point.bytes);
  }
  out += "\n]}\n";
  return out;
}

}  // namespace hourglass::reports
