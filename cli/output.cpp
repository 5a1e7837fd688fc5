#include "cli/output.h"

#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace hourglass::cli {

namespace {

std::string compressed(const std::string& text) {
  constexpr int gzip_window = 15 + 16;  // zlib: the largest window, in a gzip frame
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw base::Error("zlib cannot start", "write", "is there memory left?");
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int state = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (state != Z_STREAM_END) throw base::Error("zlib could not compress the result", "write", "write it without .gz");
  return out;
}

}  // namespace

// A file appears whole or not at all, and a link goes on pointing to it. What is no file (a device, a pipe) is written
// to.
void write_file(const std::string& path, const std::string& plain) {
  const std::string text = path.ends_with(".gz") ? compressed(plain) : plain;
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  const bool in_place = std::filesystem::is_other(status);
  const std::filesystem::path target =
      std::filesystem::is_regular_file(status) ? std::filesystem::canonical(path, error) : std::filesystem::path(path);
  const std::string written_to = in_place ? path : target.string() + ".part";
  std::ofstream stream(written_to, std::ios::binary);
  stream << text << std::flush;
  const bool written = static_cast<bool>(stream);
  stream.close();
  error.clear();
  if (written && !in_place) std::filesystem::rename(written_to, target, error);
  if (!written || error) {
    if (!in_place) std::filesystem::remove(written_to, error);
    throw base::Error("cannot be written", path, "check the folder and its rights");
  }
}

void write_out(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw base::Error("cannot write the result", "stdout", "is the disk full?");
  }
}

}  // namespace hourglass::cli
