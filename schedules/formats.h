#pragma once

#include <string>
#include <string_view>

#include "schedules/schedule.h"

// Schedules as files, out and in. Every reader is strict: a cell that does not match as a whole, a number out of range,
// a stage on two ranks are Errors that name file, row and column; what it returns still has to pass validate().
namespace hourglass::schedules {

// {"name", "ranks", "micro_batches", "stages", "directions", "placement": [[rank of each stage]], "actions": [["F0@0",
// ...]]}
std::string to_json(const Schedule& schedule);
Schedule from_json(std::string_view text, const std::string& file);

// One line an action: rank,position,kind,stage,micro_batch,backward_stage,backward_micro_batch; the last two only for
// pairs.
std::string to_csv(const Schedule& schedule);
Schedule from_csv(std::string_view text, const std::string& file);

// torch.distributed.pipelining's _PipelineScheduleRuntime._load_csv: one row a rank, cells "3F0", "3I0" (input
// gradient), "3W0", "3B0" (full backward), "(0F1;7B0)OVERLAP_F_B". A stage lives on one rank there: to_pytorch refuses
// two directions.
std::string to_pytorch(const Schedule& schedule);
Schedule from_pytorch(std::string_view text, const std::string& file);

// Reads a file in any of the three, told apart by its beginning. Throws Error if it cannot be read or is larger than 64
// MiB.
Schedule read_schedule(const std::string& path);

}  // namespace hourglass::schedules
