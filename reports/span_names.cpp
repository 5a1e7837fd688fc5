#include "reports/span_names.h"

#include <fmt/format.h>

#include "schedules/letters.h"

namespace hourglass::reports {

namespace {

using schedules::Kind;
using sim::Unit;

std::string action_name(const schedules::Action& action) {
  const auto one = [](Kind kind, int micro_batch) {
    return fmt::format("{} {}", schedules::letter(kind), micro_batch);
  };
  if (action.kind != Kind::overlapped) return one(action.kind, action.micro_batch);
  return one(Kind::forward, action.micro_batch) + " & " + one(Kind::backward, action.backward_micro_batch);
}

// What a segment is about; the ends of the model keep everything in one part.
const char* segment_class(const sim::Block::Segment& segment) {
  switch (segment.unit.type) {
    case Unit::embedding:
      return "embedding";
    case Unit::mtp_projection:
      return "mtp_projection";
    case Unit::head:
      return "head";
    case Unit::layer:
      break;
  }
  if (waits_for_peers(segment)) return "peer_wait";
  switch (segment.part) {
    case model::attention:
      return segment.communication ? "attention_collective" : "attention";
    case model::dispatch:
      return segment.communication ? "dispatch" : "dispatch_local";
    case model::mlp:
      return segment.communication ? "mlp_collective" : "mlp";
    case model::combine:
      return segment.communication ? "combine" : "combine_local";
  }
  return "";
}

// Of the whole action, or of that half of a pair which the segment belongs to.
SpanName placed(const schedules::Action& action, const sim::Block::Segment* segment) {
  const bool backward = segment != nullptr && segment->pass != model::Pass::forward && action.backward_stage >= 0;
  SpanName out;
  out.stage = backward ? action.backward_stage : action.stage;
  out.micro_batch = backward ? action.backward_micro_batch : action.micro_batch;
  return out;
}

SpanName update_name(const sim::Span& span) {
  switch (static_cast<sim::Update>(span.segment)) {
    case sim::Update::reduce_scatter:
      return {"reduce_scatter gradients", "gradients"};
    case sim::Update::optimizer:
      return {"optimizer", "optimizer"};
    case sim::Update::all_gather:
      return {"all_gather parameters", "parameters"};
  }
  return {};
}

// Of a step that ran for real: what a rank waits for is another's message.
SpanName executed_name(const schedules::Action& action, const sim::Block::Segment* segment, sim::Lane lane) {
  SpanName out = placed(action, segment);
  out.name = schedules::letters(action, true);
  out.cls = class_of(action.kind);
  if (segment != nullptr) {
    const auto pass = segment->pass;
    const Kind kind = pass == model::Pass::forward          ? Kind::forward
                      : pass == model::Pass::backward_input ? Kind::backward_input
                                                            : Kind::backward_weight;
    out.name = schedules::letters({kind, out.stage, out.micro_batch, -1, -1}, true);
    out.cls = class_of(kind);
  } else if (lane == sim::Lane::point_to_point) {
    out.name = "wait for " + out.name;
    out.cls = "receive";
  }
  return out;
}

}  // namespace

SpanName name_of(const sim::StepRecord& record, const sim::Span& span) {
  const schedules::Action* action = record.action_of(span);
  if (action == nullptr) return update_name(span);
  const sim::Block::Segment* segment = record.segment_of(span);
  if (record.executed) return executed_name(*action, segment, span.lane);
  SpanName out = placed(*action, segment);
  if (segment != nullptr) {
    out.cls = segment_class(*segment);
    out.name = fmt::format("{}({})", out.cls, base::letter(segment->pass));
  } else if (span.lane == sim::Lane::point_to_point) {
    out = {"send", "send"};
  } else if (span.lane == sim::Lane::host) {
    out.name = "launch kernels";
    out.cls = "launch";
  } else {
    out.name = action_name(*action);
    out.cls = class_of(action->kind);
  }
  return out;
}

std::string phase_name(const sim::StepRecord& record, const sim::Span& span) {
  const sim::Block::Segment* segment = record.segment_of(span);
  if (segment == nullptr || record.executed) return "";
  const char* part = segment_class(*segment);
  if (segment->unit.type == Unit::layer) {
    part = segment->part == model::attention ? "attn" : name_of(segment->part);
    if (segment->part == model::mlp && record.dense[segment->unit.kind]) part = "dense_mlp";
  }
  return fmt::format("{}({})", part, base::letter(segment->pass));
}

bool waits_for_peers(const sim::Block::Segment& segment) {
  return segment.by_class[static_cast<std::size_t>(sim::WorkClass::peer_wait)] > 0;
}

const char* class_of(Kind kind) {
  switch (kind) {
    case Kind::forward:
      return "forward";
    case Kind::backward_input:
      return "backward_input";
    case Kind::backward_weight:
      return "backward_weight";
    case Kind::backward:
      return "backward";
    case Kind::overlapped:
      return "overlapped";
  }
  return "";
}

std::string name_of(const model::ModelSpec& model, Unit unit) {
  switch (unit.type) {
    case Unit::embedding:
      return "embedding";
    case Unit::mtp_projection:
      return "MTP projection";
    case Unit::head:
      return "head";
    case Unit::layer:
      break;
  }
  return model::kind_name(model, unit.kind) + " layer";
}

const char* name_of(model::Part part) {
  constexpr const char* names[] = {"attention", "dispatch", "mlp", "combine"};
  return names[static_cast<std::size_t>(part)];
}

}  // namespace hourglass::reports
