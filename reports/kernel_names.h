#pragma once

#include <string>

#include "sim/training/record.h"

namespace hourglass::reports {

// What a profiler would call the kernel: the library's name for its kind, the operator in angle brackets
// ("ncclDevKernel_AllGather<...>", "flash_bwd_kernel<core>"), so that configs/kineto/kernels.json classifies simulated
// and measured kernels alike.
std::string kernel_name(const sim::OperatorCost& op);
// Of a span of a stream that is no run of operators: a wait for peers, a message, a part of the update.
std::string kernel_name(const sim::StepRecord& record, const sim::Span& span);

}  // namespace hourglass::reports
