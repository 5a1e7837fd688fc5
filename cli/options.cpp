#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "reports/tabular.h"

namespace hourglass::cli {

namespace po = boost::program_options;

namespace {

std::vector<std::string> option_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return names;
}

// The bare name: Boost writes '--name' into some messages and 'name' into others.
std::string with_dashes(std::string name) {
  name.erase(0, name.find_first_not_of('-'));
  return "--" + name;
}

}  // namespace

bool parse(const Invocation& invocation, const Usage& usage, const po::options_description& options,
           po::variables_map& values) {
  po::options_description all;
  all.add(options).add_options()("help,h", "print this help");
  po::options_description hidden;
  po::positional_options_description positional;
  for (const std::string& name : usage.positional) {
    if (name.ends_with('*')) {  // all that follow, of an option that is listed
      positional.add(name.substr(0, name.size() - 1).c_str(), -1);
      continue;
    }
    hidden.add_options()(name.c_str(), po::value<std::string>());
    positional.add(name.c_str(), 1);
  }
  po::options_description everything;
  everything.add(all).add(hidden);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  const std::string where = invocation.argv.size() > 1 ? "hourglass " + invocation.argv[1] : "hourglass";
  try {
    po::store(
        po::command_line_parser(invocation.arguments).options(everything).positional(positional).style(style).run(),
        values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    const std::string name = with_dashes(error.get_option_name());
    throw base::UsageError(fmt::format("unknown option '{}'", base::printable(name)), where,
                           base::suggestion(name, option_names(all)));
  } catch (const po::too_many_positional_options_error&) {
    throw base::UsageError("too many arguments", where, "the command is " + usage.synopsis);
  } catch (const po::error& error) {
    throw base::UsageError(base::printable(error.what()), where, "see " + where + " --help");
  }
  if (values.count("help") == 0) return true;
  std::ostringstream help;
  help << usage.summary << "\n\nusage: " << usage.synopsis << "\n\n" << all;
  write_out(help.str());
  return false;
}

void add_format(po::options_description& options, const std::string& choices) {
  options.add_options()("format", po::value<std::string>()->value_name("FORMAT"), ("output as " + choices).c_str());
}

void add_overrides(po::options_description& options) {
  options.add_options()("set", po::value<std::vector<std::string>>()->composing()->value_name("KEY=VALUE"),
                        "override an input: plan.key=value, cluster.key=value, profile.key=value; may be repeated");
}

void add_html(po::options_description& options) {
  options.add_options()("html", po::value<std::string>()->value_name("FILE"),
                        "also write the report as one self-contained HTML file");
}

void write_html(const po::variables_map& values, const std::function<std::string()>& page) {
  if (values.count("html") > 0) write_file(values["html"].as<std::string>(), page());
}

std::vector<std::string> overrides(const po::variables_map& values) {
  return values.count("set") > 0 ? values["set"].as<std::vector<std::string>>() : std::vector<std::string>{};
}

std::string format_of(const po::variables_map& values, const std::vector<std::string>& choices) {
  const std::string format = values.count("format") > 0 ? values["format"].as<std::string>() : choices.front();
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

void add_result_format(po::options_description& options, const std::vector<std::string>& more) {
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

std::string required(const po::variables_map& values, const std::string& name, const std::string& what) {
  if (values.count(name) == 0) throw base::UsageError(what + " is missing", "", "see --help");
  return values[name].as<std::string>();
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
