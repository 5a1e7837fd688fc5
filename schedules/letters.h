#pragma once

#include <string>
#include <string_view>

#include "schedules/schedule.h"

// Schedules as letters that can be read in a diff.
namespace hourglass::schedules {

std::string_view letter(Kind kind);  // F, B, W, BW, F&BW

// "F12", "BW3", "F12&BW3"; with stages "F12@7", "F12@0&BW3@7".
std::string letters(const Action& action, bool with_stage);

// One line per rank, its actions separated by spaces; stages are shown where a rank holds more than one.
std::string letters(const Schedule& schedule);

}  // namespace hourglass::schedules
