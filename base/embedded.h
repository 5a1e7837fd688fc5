#pragma once

#include <span>
#include <string_view>

namespace hourglass::base {

// A file of the source tree that is built into the program (tools/embed.cmake writes the tables).
struct EmbeddedFile {
  std::string_view name, text;
};

// The files of configs/, named from there: "clusters/h800.json".
std::span<const EmbeddedFile> embedded_files();

}  // namespace hourglass::base
