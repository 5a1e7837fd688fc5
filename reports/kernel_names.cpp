#include "reports/kernel_names.h"

#include "reports/span_names.h"

namespace hourglass::reports {

namespace {

// The kernel behind a span that is one message or one step of the update.
std::string kernel_of(const model::OperatorKind& op) { return model::facts(op).kernel; }

}  // namespace

std::string kernel_name(const sim::OperatorCost& op) { return kernel_of(op.of.kind) + "<" + op.of.name + ">"; }

std::string kernel_name(const sim::StepRecord& record, const sim::Span& span) {
  if (const sim::Block::Segment* segment = record.segment_of(span); segment != nullptr && waits_for_peers(*segment))
    return "deep_ep::internode::notify<wait>";
  if (span.lane == sim::Lane::point_to_point) return kernel_of(model::SendRecv{});
  if (span.action >= 0) return name_of(record, span).name;
  switch (static_cast<sim::Update>(span.segment)) {
    case sim::Update::reduce_scatter:
      return kernel_of(model::ReduceScatter{});
    case sim::Update::optimizer:
      return kernel_of(model::Optimizer{});
    case sim::Update::all_gather:
      return kernel_of(model::AllGather{});
  }
  return "";
}

}  // namespace hourglass::reports
