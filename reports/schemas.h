#pragma once

#include <string_view>

namespace hourglass::reports {

// The content of a file of configs/schema ("plan.schema.json"), built into the program (tools/embed.cmake); empty for an
// unknown name.
std::string_view schema_text(std::string_view name);

}  // namespace hourglass::reports
