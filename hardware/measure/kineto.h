#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"

// Traces of the PyTorch profiler (Kineto): which kernels ran when, on which stream, for which part of the model.
namespace hourglass::hardware {

// A kernel belongs to the class of the first rule whose pattern is found in its name (and whose grid is its grid).
struct KernelRule {
  std::string kernel_class;
  std::regex match;
  std::optional<std::array<std::int64_t, 3>> grid;
};

// Without annotations in the trace: a phase begins where a kernel of this name follows in the phase `after`.
struct PhaseMark {
  std::string phase;
  std::string after;
  std::regex match;
  bool communication = false;  // looked for on the communication streams, else on the others
};

struct KernelTable {
  std::vector<KernelRule> rules;
  std::vector<PhaseMark> marks;
};

// {"schema": "1.0.0", "note", "kernels": [{"class", "match", "grid"}], "phases": [{"phase", "after", "match",
// "communication"}]}. The rules of `last` follow those of the file; its marks hold if the file has none. Throws
// base::Error.
KernelTable read_kernel_table(const base::Json& document, const std::string& file, const KernelTable& last = {});
KernelTable load_kernel_table(const std::string& path, const KernelTable& last = {});

// The kind of the schedule's block that a kernel runs in: an overlapped pair of a forward and a backward, or another.
enum class KernelBlock : std::uint8_t { unknown, pair, alone };

// One event of the GPU. Times in ns since the first of them.
struct TraceKernel {
  std::uint32_t name = 0;  // index into Trace::names
  std::int32_t device = 0;
  std::int32_t stream = 0;
  std::uint32_t kernel_class = 0;  // index into Trace::classes, 0: unclassified
  std::uint32_t phase = 0;         // index into Trace::phases, 0: none
  KernelBlock block = KernelBlock::unknown;
  std::int32_t layer = -1;  // how often the phase had occurred before; -1: unknown
  std::array<std::int32_t, 3> grid{};
  std::int64_t start = 0;
  std::int64_t duration = 0;
  std::uint64_t correlation = 0;
};

struct Trace {
  std::string path;
  std::string device;
  std::string name;
  std::int64_t sms = 0;
  std::vector<std::string> names;  // of kernels, cut to 512 bytes
  std::vector<std::string> classes = {"unclassified"};
  std::vector<std::string> phases = {""};
  std::string phases_from;           // "annotations", "kernel order", "kernels" (simulated: each says its own) or ""
  std::vector<TraceKernel> kernels;  // by start
  std::size_t events = 0;            // of all kinds
  std::size_t events_skipped = 0;    // GPU events without a usable name or time
  std::vector<std::string> complaints;
};

// Where phases come from: the user annotations around the launches, the table's marks in kernel order, or the first of
// the two that the trace has.
enum class PhaseSource : std::uint8_t { either, annotations, kernel_order };

// A simulated trace states the phase and layer of each kernel in its arguments, which goes before both.
// Streams the file, plain or gzip: memory grows with the kernels, about 100 bytes each, never with the file. Throws
// base::Error for a file that is no trace, is cut off, or has no GPU event.
Trace load_trace(const std::string& path, const KernelTable& table, PhaseSource source = PhaseSource::either);

// The steps of load_trace. A launch is the CPU's call behind the kernel of the same correlation number.
struct Annotation {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::string name;
};
struct Launch {
  std::uint64_t correlation = 0;
  std::int64_t time = 0;
};
void classify(Trace& trace, const KernelTable& table);
// Each kernel is of the innermost annotation around its launch. False if that finds none.
bool phases_from_annotations(Trace& trace, std::vector<Annotation> annotations, std::vector<Launch> launches);
// Each kernel is of the phase whose mark was seen last. False, and no phases, unless every mark's phase occurred.
bool phases_from_order(Trace& trace, const KernelTable& table);

struct TraceTotal {
  std::string name;
  std::int64_t count = 0;
  double us = 0.0;
};

struct StreamBusy {
  std::int64_t device = 0;
  std::int64_t stream = 0;
  std::int64_t count = 0;
  double busy_us = 0.0;  // the union of its kernels
};

// Of one phase: the sum over kernels, and from first start to last end on the compute streams and the others, per
// layer.
struct PhaseTotal {
  std::string phase;
  std::int64_t count = 0;
  double kernels_us = 0.0;
  std::vector<double> span_us;  // by layer
};

struct TraceSummary {
  double wall_us = 0.0;
  std::vector<StreamBusy> streams;
  std::vector<TraceTotal> classes;       // largest first
  std::vector<TraceTotal> unclassified;  // by kernel name, largest first, at most 10
  std::vector<PhaseTotal> phases;        // in order of appearance
  double compute_busy_us = 0.0;          // union over the streams without communication
  double communication_busy_us = 0.0;    // union of communication kernels
  double overlapped_us = 0.0;            // both
};

TraceSummary trace_summary(const Trace& trace);
std::string trace_text(const Trace& trace, const TraceSummary& summary);
base::Json trace_json(const Trace& trace, const TraceSummary& summary, const base::Provenance& provenance);

// Whether kernels of this class talk to other GPUs: dispatch, combine, notify, layout, collective, send_recv.
bool communicates(const std::string& kernel_class);

}  // namespace hourglass::hardware
