#pragma once

#include <string>

#include "sim/training/operator_table.h"

namespace hourglass::reports {

// What a profiler would call the kernel: the library's name for its kind, the operator in angle brackets
// ("ncclDevKernel_AllGather", "flash_bwd_kernel<core>"), so that configs/kineto/kernels.json classifies simulated and
// measured kernels alike.
std::string kernel_name(const sim::OperatorCost& op);
// Of spans that are no whole run of operators: an all-to-all that took longer than its price, "peer_wait", "gradients",
// "parameters", "optimizer", "send".
std::string kernel_name(const std::string& span_class);

// PyTorch traces of DeepSeek's code annotate "attn(F)", "mlp(B)", "dispatch(F)": ours for a span, "" for none.
std::string phase_name(const std::string& span_name);

}  // namespace hourglass::reports
