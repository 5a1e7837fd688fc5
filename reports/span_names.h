#pragma once

#include <string>

#include "sim/training/record.h"

// What spans are called, from what they are.
namespace hourglass::reports {

struct SpanName {
  std::string name;      // "F 12", "dispatch(F)", "optimizer"; of a step that was executed "F12@0"
  const char* cls = "";  // "forward", "overlapped", "attention", "dispatch", "peer_wait", "send", ...
  int stage = -1;        // of the action, in a pair of the half; -1: none
  int micro_batch = -1;
};
SpanName name_of(const sim::StepRecord& record, const sim::Span& span);

// PyTorch traces of DeepSeek's code annotate "attn(F)", "mlp(B)", "dispatch(F)": ours for a segment, whose wait for
// slower peers counts to the all-to-all it precedes; "" for other spans. Where a model has layers of experts and others,
// the latters' MLP is "dense_mlp(F)".
std::string phase_name(const sim::StepRecord& record, const sim::Span& span);
bool waits_for_peers(const sim::Block::Segment& segment);

const char* class_of(schedules::Kind kind);  // "forward", "backward_input", "backward_weight", "backward", "overlapped"
const char* name_of(model::Part part);       // "attention"
std::string name_of(const model::ModelSpec& model, sim::Unit unit);  // "MoE layer"

}  // namespace hourglass::reports
