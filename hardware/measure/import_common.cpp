// What all importers of logs share. A log is other people's print statements: it changes with every release of the
// tool, it is cut off when a job dies, and it holds lines of other programs. So an importer never guesses. A line that
// claims to be a measurement and cannot be used is counted and named; a file without a single usable line is an error,
// because an empty set of samples would calibrate nothing and say so to nobody.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/import.h"

namespace hourglass::hardware {

namespace importing {

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

const base::Json& member(const base::Json& object, const char* key) {
  static const base::Json none;
  return object.is_object() && object.contains(key) ? object.at(key) : none;
}

bool number(std::string_view text, double& value) {
  text = trimmed(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && !text.empty() && end == text.data() + text.size() && std::isfinite(value);
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  for (std::size_t at = line.find_first_not_of(" \t"); at != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
    found.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(" \t", end);
  }
  return found;
}

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return small;
}

Collector::Collector(std::string format, const ImportOptions& options, std::string_view text)
    : format_(std::move(format)), options_(options) {
  if (text.size() > largest_log_bytes) {
    throw base::Error(fmt::format("{} bytes are more than the {} a log may have", text.size(), largest_log_bytes),
                      options.file, "split the log");
  }
}

void Collector::skip(const std::string& place, const std::string& reason) {
  ++imported_.lines_skipped;
  if (imported_.complaints.size() < most_complaints)
    imported_.complaints.push_back(fmt::format("{}: {}", place, reason));
}

void Collector::add(const std::string& place, Sample sample) {
  const std::string fault = sample_fault(sample);
  if (!fault.empty()) return skip(place, fault);
  if (!(sample.spread >= 0.0 && sample.spread <= 100.0)) sample.spread = 0.0;
  if (imported_.set.samples.size() >= most_imported_samples) {
    throw base::Error(fmt::format("more than {} measurements", most_imported_samples), options_.file, "split the log");
  }
  // A log may be in any encoding, samples are JSON.
  for (std::string* text : {&sample.dtype, &sample.name, &sample.source}) *text = base::utf8(*text);
  imported_.set.samples.push_back(std::move(sample));
}

Imported Collector::finish(const std::string& device_in_log) {
  if (empty()) {
    const std::string first = imported_.complaints.empty() ? "" : "; " + imported_.complaints.front();
    throw base::Error(
        fmt::format("no measurement of {} in {} lines{}", format_, imported_.lines_read + imported_.lines_other, first),
        options_.file, "check the format and the file");
  }
  imported_.set.path = options_.file;
  imported_.set.device = options_.device.empty() ? base::printable(device_in_log) : base::utf8(options_.device);
  if (imported_.set.device.empty()) {
    throw base::Error("the log does not name the device", options_.file, "name it with --device");
  }
  imported_.set.source = base::utf8(
      options_.source.empty() ? fmt::format("{}, imported from {}", options_.file, format_) : options_.source);
  return std::move(imported_);
}

std::optional<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  bool closed = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (c == '"' && (quoted || (fields.back().empty() && !closed))) {
      closed = quoted;
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      fields.emplace_back();
      closed = false;
    } else if (closed) {
      return std::nullopt;
    } else {
      fields.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  for (std::string& field : fields) field = std::string(trimmed(field));
  return fields;
}

}  // namespace importing

const std::vector<std::string>& import_formats() {
  static const std::vector<std::string> formats = {"nccl-tests", "deepep", "deepgemm", "nvbench", "csv"};
  return formats;
}

Imported import_log(const std::string& format, std::string_view text, const ImportOptions& options) {
  if (format == "nccl-tests") return import_nccl_tests(text, options);
  if (format == "deepep") return import_deepep(text, options);
  if (format == "deepgemm") return import_deepgemm(text, options);
  if (format == "nvbench") return import_nvbench(text, options);
  if (format == "csv") return import_csv(text, options);
  throw base::UsageError(fmt::format("unknown format '{}'", base::printable(format)), "import",
                         base::suggestion(format, import_formats()));
}

std::map<std::string, std::string> parse_column_map(const std::string& text) {
  std::map<std::string, std::string> columns;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == part.size()) {
      throw base::UsageError(fmt::format("'{}' is not KEY=COLUMN", base::printable(part)), "--map",
                             "write e.g. m=M,n=N,k=K,us=latency_us");
    }
    if (!columns.emplace(part.substr(0, equals), part.substr(equals + 1)).second) {
      throw base::UsageError(fmt::format("'{}' is given twice", base::printable(part.substr(0, equals))), "--map",
                             "give it once");
    }
    at = end + 1;
  }
  return columns;
}

std::string import_report(const Imported& imported) {
  std::string report = fmt::format("{} lines read, {} skipped", imported.lines_read, imported.lines_skipped);
  const char* separator = ": ";
  for (const std::string& complaint : imported.complaints) {
    report += separator + base::printable(complaint);
    separator = "; ";
  }
  if (imported.lines_skipped > imported.complaints.size() && !imported.complaints.empty()) report += "; ...";
  if (imported.lines_other > 0) report += fmt::format(" ({} other lines)", imported.lines_other);
  return report;
}

}  // namespace hourglass::hardware
