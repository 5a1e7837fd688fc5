#pragma once

#include <string>

#include "sim/plan.h"
#include "sim/record.h"
#include "sim/result.h"

// A simulated step in the Chrome Trace Event format, for ui.perfetto.dev and chrome://tracing: a process a pipeline
// rank, a thread a stream, memory as a counter. Times in microseconds.
namespace hourglass::reports {

std::string chrome_trace(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record);

}  // namespace hourglass::reports
