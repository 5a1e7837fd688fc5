#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
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

}  // namespace hourglass::cli
