#pragma once

#include <string>

namespace hourglass::cli {

// Writes to stdout. Throws base::Error if that fails (a full disk).
void write_out(const std::string& text);
// Writes a file whole or not at all: beside the target, then renamed.
// Compressed where the name ends in .gz.
void write_file(const std::string& path, const std::string& text);

}  // namespace hourglass::cli
