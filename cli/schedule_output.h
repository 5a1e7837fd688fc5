#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "schedules/evaluate.h"

namespace hourglass::cli {

// The formats a schedule can be written in, the default first.
std::vector<std::string> schedule_formats();
std::string schedule_formats_help();
// Throws base::Error for what the format cannot express.
std::string schedule_output(const schedules::Schedule& schedule, const schedules::Costs& costs,
                            const std::string& format, const Invocation& invocation);

}  // namespace hourglass::cli
