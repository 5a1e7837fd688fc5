#pragma once

#include <string>
#include <vector>

#include "model/ops/operators.h"
#include "schedules/schedule.h"
#include "sim/training/blocks.h"
#include "sim/training/lower.h"
#include "sim/training/memory.h"

// What ran when: the record of a step that reports draw. Made only when asked for. Spans say what they are by number;
// reports/span_names.h names them.
namespace hourglass::sim {

enum class Lane : std::uint8_t { schedule, compute, communication, point_to_point, gradients, host };
inline constexpr int lane_count = 6;

// The end of a step on a rank (sim/training/tail.h).
enum class Update : std::int32_t { reduce_scatter, optimizer, all_gather };

struct Span {
  int rank = 0;
  Lane lane = Lane::compute;
  std::int32_t action = -1;  // its place in the rank's list, of a message the sender's; -1: an Update
  std::int32_t segment =
      -1;  // of a block: index; of a message: the receiving rank; without action: which Update; else -1
  base::Time start = 0, end = 0;
};

// A stretch of the critical path: tasks of one pipeline rank that follow each other.
struct PathPiece {
  int rank = 0;
  base::Time start = 0, end = 0;
};

// One operator of a unit's pass on one GPU: what it computes and moves, what it costs, and which class of the profile
// says so.
struct OperatorCost {
  model::Operator of;
  Unit unit;
  model::Part part = model::attention;
  model::Pass pass = model::Pass::forward;
  bool communication = false;
  double flops = 0.0;
  double bytes = 0.0;          // read from and written to HBM
  double message_bytes = 0.0;  // sent by one GPU
  double nic_bytes = 0.0;      // of them over its NIC, and over NVLink
  double nvlink_bytes = 0.0;
  double seconds = 0.0;             // alone on the GPU
  double overlapped_seconds = 0.0;  // beside communication that holds plan.communication_sms
  std::string profile_class;        // "gemm_fp8", a name of hardware::origins
};

struct StepRecord {
  // Ran for real: a block's segments are the F, B and W of its action, and there are no operators.
  bool executed = false;
  schedules::Schedule schedule;
  std::vector<bool> dense;              // [kind of layer] has no experts, but others have
  std::vector<OperatorCost> operators;  // of every unit that the model has, in the order in which they run
  struct RecordedBlock {
    Block block;
    std::vector<std::size_t> first_operator;  // [segment], into `operators`; how many: Segment::operators
  };
  std::vector<RecordedBlock> blocks;               // each kind of action on the same stages once
  std::vector<std::vector<std::size_t>> block_of;  // [rank][action] -> blocks
  std::vector<Span> spans;                         // by rank, lane and start; without zero lengths
  std::vector<MemoryPoint> memory;                 // by rank and time
  std::vector<PathPiece> critical;                 // from the start of the step to its end

  // nullptr: the span belongs to no action, or is no segment of its block.
  const schedules::Action* action_of(const Span& span) const;
  const Block::Segment* segment_of(const Span& span) const;
};

// The operators of a span of a stream, each with its part of the span's time: what it costs there, or as much longer as
// the whole span took (what contends slows them all alike). Empty for what is no computation and no collective of a
// block: actions, launches, waits for peers, messages, the update.
struct OperatorSlice {
  const OperatorCost* op = nullptr;
  base::Time time = 0;
};
std::vector<OperatorSlice> operators_of(const StepRecord& record, const Span& span);

// `operators`: operator_table().
StepRecord record_step(const Inputs& inputs, const schedules::Schedule& schedule, const StageLayout& layout,
                       BlockLibrary& blocks, const Lowered& lowered, const Timeline& timeline,
                       std::vector<OperatorCost> operators);

}  // namespace hourglass::sim
