#pragma once

#include <string_view>

namespace hourglass::reports {

// The content of a file of reports/html or reports/vendor ("vendor/d3.min.js"), built into the program
// (tools/embed.cmake); empty for an unknown name.
std::string_view asset(std::string_view name);

}  // namespace hourglass::reports
