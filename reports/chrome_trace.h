#pragma once

#include <string>

#include "sim/training/plan.h"
#include "sim/training/record.h"
#include "sim/training/result.h"

// A simulated step in the Chrome Trace Event format, for ui.perfetto.dev and chrome://tracing, and for every tool that
// reads PyTorch's traces: a process a pipeline rank, a thread a stream, memory and link use as counters. Times in
// microseconds.
namespace hourglass::reports {

struct TraceOptions {
  bool flows = false;      // an arrow for every message between ranks
  bool operators = false;  // kernel by kernel, named as a profiler names them; else a run of operators is one event
};

std::string chrome_trace(const sim::Inputs& inputs, const sim::Result& result, const sim::StepRecord& record,
                         const TraceOptions& options = {});

}  // namespace hourglass::reports
