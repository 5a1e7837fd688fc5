#pragma once

#include <string>
#include <vector>

#include "model/context.h"

// The order in which an overlapped pair issues the parts of one micro-batch's forward layer and another's backward
// layer: data, so that people can try their own (simulate --overlap-order, configs/overlap/).
namespace hourglass::sim {

struct OverlapStep {
  model::Pass pass = model::Pass::forward;
  model::Part part = model::attention;
  bool operator==(const OverlapStep&) const = default;
};

// Ten steps: attention, dispatch, mlp, combine of F and of B, and attention, mlp of W, each once. Parts of one stream
// (dispatch and combine: communication; the others: compute) run in this order.
using OverlapOrder = std::vector<OverlapStep>;

// As DeepSeek's published trace shows it (github.com/deepseek-ai/profile-data, train.json).
OverlapOrder deepseek_overlap_order();

std::string step_name(const OverlapStep& step);            // "attention(F)", "mlp(W)", ...
std::string order_text(const OverlapOrder& order);         // names with blanks between
OverlapOrder load_overlap_order(const std::string& file);  // throws base::Error

// Whether every step comes after what it needs: F attention, dispatch, mlp, combine; B combine, mlp, dispatch,
// attention; W after the input gradient of the same part. Returns what is wrong, "" if nothing.
std::string order_fault(const OverlapOrder& order);

// Every sound order, without those that give each stream the same sequence as an earlier one.
std::vector<OverlapOrder> all_overlap_orders();

}  // namespace hourglass::sim
