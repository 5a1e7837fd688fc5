#include "cli/command.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "reports/tabular.h"

namespace hourglass::cli {

void add_format(Options& options, const std::string& choices) {
  options.text("format", "FORMAT", ("output as " + choices).c_str());
}

void add_overrides(Options& options) {
  options.texts("set", "KEY=VALUE",
                "override an input: plan.key=value, cluster.key=value, profile.key=value; may be repeated");
}

void add_html(Options& options) {
  options.text("html", "FILE", "also write the report as one self-contained HTML file");
}

void write_html(const Values& values, const std::function<std::string()>& page) {
  if (values.has("html")) write_file(values.text("html"), page());
}

std::vector<std::string> overrides(const Values& values) {
  return values.has("set") ? values.texts("set") : std::vector<std::string>{};
}

std::string format_of(const Values& values, const std::vector<std::string>& choices) {
  const std::string format = values.has("format") ? values.text("format") : choices.front();
  place_among(choices, format, "format", "--format");
  return format;
}

std::size_t place_among(const std::vector<std::string>& choices, const std::string& text, const std::string& what,
                        const std::string& where) {
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found == choices.end()) {
    throw base::UsageError(fmt::format("unknown {} '{}'", what, base::printable(text)), where,
                           base::suggestion(text, choices));
  }
  return static_cast<std::size_t>(found - choices.begin());
}

std::string shipped(const std::string& path) {
  return std::filesystem::exists(path) ? path : HOURGLASS_SOURCE_DIR "/" + path;
}

std::vector<std::string> result_formats(const std::vector<std::string>& more) {
  std::vector<std::string> formats = {"text", "json", "csv", "jsonl", "markdown"};
  formats.insert(formats.end(), more.begin(), more.end());
  return formats;
}

void add_result_format(Options& options, const std::vector<std::string>& more) {
  const std::vector<std::string> formats = result_formats(more);
  std::string choices = "text (default)";
  for (std::size_t i = 1; i < formats.size(); ++i) choices += (i + 1 == formats.size() ? " or " : ", ") + formats[i];
  add_format(options, choices);
}

void write_result(const std::string& format, const Rendering& result) {
  if (format == "text") return write_out(result.text());
  if (const auto drawing = result.drawings.find(format); drawing != result.drawings.end())
    return write_out(drawing->second());
  const base::Json document = result.document();
  write_out(format == "json" ? document.dump(2) + "\n"
                             : reports::formatted(document, reports::tables_of(document, result.tables), format));
}

std::string required(const Values& values, const std::string& name, const std::string& what) {
  if (!values.has(name)) throw base::UsageError(what + " is missing", "", "see --help");
  return values.text(name);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

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
