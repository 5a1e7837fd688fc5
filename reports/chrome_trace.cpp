// Written event by event: a step of a million kernels is two hundred megabytes of text, which a JSON tree would take
// ten times. Names and classes are our own words and need no escaping; what comes from files goes through the JSON
// library. Events of one thread must nest for Perfetto, so that every stream has a thread of its own; the actions of
// the schedule are a thread above them. Kernels are named as libraries name them, carry the category "kernel" and the
// stream in their arguments, as PyTorch's profiler writes them, and state their phase and its occurrence, for which the
// profiler's annotations stand. A run of operators is one event, or on request written kernel by kernel, twelve times
// as much.
#include "reports/chrome_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>

#include "base/json.h"
#include "base/provenance.h"
#include "reports/kernel_names.h"
#include "sim/training/simulate.h"

namespace hourglass::reports {

namespace {

constexpr const char* lane_names[] = {"schedule", "compute", "communication", "point-to-point", "gradients", "host"};
constexpr std::int64_t most_occurrences = 1'000'000;  // of a phase on one rank
double microseconds(base::Time time) { return base::seconds(time) * 1e6; }

// What a step's operators cost; a schedule that was executed has none.
std::vector<sim::OperatorCost> priced(const sim::Inputs& inputs, const sim::Result& result) {
  if (inputs.model.layers.empty()) return {};
  return sim::operator_table(inputs, result.network ? &*result.network : nullptr);
}

// Of each kind of layer whether it has a dense MLP, where other kinds have experts.
std::vector<bool> dense_beside_experts(const model::ModelSpec& model) {
  std::vector<bool> dense;
  for (const model::LayerSpec& kind : model.kinds)
    dense.push_back(model::experts_of(kind) == nullptr && model::experts_of(model) != nullptr);
  return dense;
}

// Of the class of a schedule's span.
const char* block_name(std::string_view cls) {
  return cls == "forward"           ? "F"
         : cls == "backward_input"  ? "B"
         : cls == "backward_weight" ? "W"
         : cls == "backward"        ? "BW"
         : cls == "overlapped"      ? "F&B"
                                    : "";
}

class TraceWriter {
 public:
  TraceWriter(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record, bool operators)
      : record_(record),
        operators_(operators),
        dense_(dense_beside_experts(inputs.model)),
        runs_(priced(inputs, result)) {
    for (const sim::Span& span : record.spans) {
      if (span.lane == sim::Lane::schedule) blocks_[{span.rank, span.start}] = block_name(span.cls);
    }
    base::Json other = base::provenance_json(inputs.provenance);
    other["schedule"] = result.schedule;
    other["step_time_s"] = result.step_time_s;
    const base::Json devices = {{{"id", 0}, {"name", inputs.cluster.gpu}, {"numSms", inputs.cluster.sms}}};
    text_ = fmt::format(
        "{{\"schemaVersion\":1,\"displayTimeUnit\":\"ms\",\"deviceProperties\":{},\"otherData\":{},\"traceEvents\":[",
        devices.dump(), other.dump());
  }

  void names() {
    for (int rank = 0; rank < record_.ranks; ++rank) {
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
    for (std::size_t i = 0; i < record_.spans.size(); ++i) {
      const sim::Span& span = record_.spans[i];
      if (span.lane == sim::Lane::schedule) {
        event(
            "{{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"{}\",\"pid\":{},\"tid\":0,\"ts\":{:.3f},\"dur\":"
            "{:.3f},\"args\":{{\"class\":\"{}\",\"stage\":{},\"micro_batch\":{}}}}}",
            span.name, span.rank, microseconds(span.start), microseconds(span.end - span.start), span.cls, span.stage,
            span.micro_batch);
      } else {
        // The wait for slower peers belongs to the all-to-all that follows it.
        const bool wait = std::string_view(span.cls) == "peer_wait" && i + 1 < record_.spans.size();
        kernels(span, phase_name(record_.spans[i + (wait ? 1 : 0)].name), wait);
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
  void flows(const schedules::Schedule& schedule) {
    std::map<std::tuple<bool, int, int>, const sim::Span*> makers;  // backward, stage, micro-batch
    const auto each = [&](const auto& visit) {
      std::vector<std::size_t> next(schedule.actions.size(), 0);
      for (const sim::Span& span : record_.spans) {
        if (span.lane != sim::Lane::schedule) continue;
        const auto rank = static_cast<std::size_t>(span.rank);
        const auto& order = schedule.actions[rank];
        while (next[rank] < order.size() &&
               (order[next[rank]].stage != span.stage || order[next[rank]].micro_batch != span.micro_batch))
          ++next[rank];
        if (next[rank] == order.size()) continue;
        const schedules::Action& a = order[next[rank]++];
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
  void kernels(const sim::Span& span, std::string phase, bool wait) {
    if (span.lane == sim::Lane::host) return kernel(span, span.name, span.start, span.end - span.start, "");
    const bool communication = span.lane != sim::Lane::compute;
    const auto& slices = runs_.of(span.name, communication, span.end - span.start);
    // An MLP and a layer of experts are different things under the same name.
    if (!slices.empty() && phase.starts_with("mlp(") && dense_[slices.front().op->unit.kind]) phase = "dense_" + phase;
    // The n-th of a phase on a stream belongs together with the n-th on another: what a layer does.
    std::int64_t& occurrence = count_[{phase, span.rank, span.lane}];
    layer_ = span.rank * most_occurrences + occurrence;
    occurrence += wait ? 0 : 1;
    base::Time at = span.start;
    if (!operators_) {
      kernel(span, span.name, span.start, span.end - span.start, phase);
    } else {
      for (const auto& slice : slices) {
        kernel(span, kernel_name(*slice.op), at, slice.work, phase);
        at += slice.work;
      }
      const sim::OperatorCost* op = slices.empty() ? runs_.first(span.name, communication) : nullptr;
      if (slices.empty())
        kernel(span, op != nullptr ? kernel_name(*op) : kernel_name(span.cls), span.start, span.end - span.start,
               phase);
    }
    if (const sim::OperatorCost* op = communication ? runs_.first(span.name, true) : nullptr) link_use(span, *op);
  }
  // The kind of the action that it runs in: the last one of its rank that has begun.
  std::string block_of(const sim::Span& span) const {
    const auto next = blocks_.upper_bound({span.rank, span.start});
    const bool any = next != blocks_.begin() && std::prev(next)->first.first == span.rank;
    return any ? fmt::format(",\"block\":\"{}\"", std::prev(next)->second) : "";
  }
  void kernel(const sim::Span& span, const std::string& name, base::Time start, base::Time length,
              const std::string& phase) {
    if (length == 0) return;
    const int lane = static_cast<int>(span.lane);
    event(
        "{{\"ph\":\"X\",\"cat\":\"{}\",\"name\":\"{}\",\"pid\":{},\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},\"args\":"
        "{{\"device\":{},\"stream\":{}",
        span.lane == sim::Lane::host ? "cuda_runtime" : "kernel", name, span.rank, lane, microseconds(start),
        microseconds(length), span.rank, lane);
    if (!phase.empty())
      fmt::format_to(std::back_inserter(text_), ",\"phase\":\"{}\",\"layer\":{}{}", phase, layer_, block_of(span));
    if (span.stage >= 0)
      fmt::format_to(std::back_inserter(text_), ",\"stage\":{},\"micro_batch\":{}", span.stage, span.micro_batch);
    text_ += "}}";
  }
  // What one GPU sends meanwhile, over its NIC and over NVLink.
  void link_use(const sim::Span& span, const sim::OperatorCost& op) {
    const double seconds = base::seconds(span.end - span.start);
    const char* format =
        "{{\"ph\":\"C\",\"name\":\"link use\",\"pid\":{},\"ts\":{:.3f},\"args\":{{\"NIC GB/s\":{:.2f},\"NVLink "
        "GB/s\":{:.2f}}}}}";
    event(fmt::runtime(format), span.rank, microseconds(span.start), op.nic_bytes / seconds / base::giga,
          op.nvlink_bytes / seconds / base::giga);
    event(fmt::runtime(format), span.rank, microseconds(span.end), 0.0, 0.0);
  }

  const sim::StepRecord& record_;
  bool operators_;
  std::vector<bool> dense_;
  std::map<std::pair<int, base::Time>, const char*> blocks_;  // by rank and start
  sim::OperatorRuns runs_;
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
  if (options.flows) writer.flows(sim::plan_schedule(inputs.plan));
  return std::move(writer).take();
}

}  // namespace hourglass::reports
