#pragma once

#include <span>
#include <string_view>

#include "base/embedded.h"

namespace hourglass::reports {

// The files of reports/html and reports/vendor, built into the program (tools/embed.cmake).
std::span<const base::EmbeddedFile> embedded_files();

// One of them ("vendor/d3.min.js"); empty for an unknown name.
std::string_view asset(std::string_view name);

}  // namespace hourglass::reports
