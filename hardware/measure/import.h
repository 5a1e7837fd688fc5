#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "hardware/measure/samples.h"

// Logs of other people's benchmarks, read into samples.
namespace hourglass::hardware {

inline constexpr std::size_t largest_log_bytes = std::size_t{64} << 20;
inline constexpr std::size_t most_imported_samples = 1'000'000;
inline constexpr std::size_t most_complaints = 20;

// What a log does not say about itself. A number that is 0 and a text that is "" are unknown: the log's own word, or
// the default of its format, counts.
struct ImportOptions {
  std::string file = "log";  // named in errors
  std::string device;        // required, unless the log names the device
  std::string source;        // the citation; default "FILE, imported from FORMAT"
  std::string op;            // nvbench, csv: the operator; nccl-tests: the collective, where no line names it
  std::string dtype;
  std::int64_t ranks = 0;           // nccl-tests, deepep
  std::int64_t ranks_per_node = 0;  // nccl-tests: default from the host names; deepep: 8
  // deepep; the defaults are those of its tests, one line for throughput and one for low latency.
  std::int64_t tokens = 0;            // 4096, 128
  std::int64_t hidden = 0;            // 7168
  std::int64_t top_k = 0;             // 8
  std::int64_t experts = 0;           // 256, 288
  std::int64_t groups = 0;            // the number of nodes
  std::int64_t groups_per_token = 0;  // 4, or the number of nodes
  // nvbench, csv: shape key (or us, ms, ns, s, dtype, name, sms, runs, spread) to column or axis. What is not named
  // here is looked for under its own name, in any case.
  std::map<std::string, std::string> columns;
};

// `lines_read` counts the lines (JSON: records) that claim to be a measurement, `lines_skipped` those of them that
// could not be used, `lines_other` the rest: comments, headers, chatter.
struct Imported {
  SampleSet set;
  std::size_t lines_read = 0;
  std::size_t lines_skipped = 0;
  std::size_t lines_other = 0;
  std::vector<std::string> complaints;  // "line 7: the time is 'N/A'", the first 20
};

// All throw base::Error where nothing at all could be read, the text is above largest_log_bytes, or a needed option
// lacks.
Imported import_nccl_tests(std::string_view text, const ImportOptions& options);  // text, or the JSON of -J
Imported import_deepep(std::string_view text, const ImportOptions& options);
Imported import_deepgemm(std::string_view text, const ImportOptions& options);
Imported import_nvbench(std::string_view text, const ImportOptions& options);
Imported import_csv(std::string_view text, const ImportOptions& options);

// By name: "nccl-tests", "deepep", "deepgemm", "nvbench", "csv". Throws base::UsageError for another.
const std::vector<std::string>& import_formats();
Imported import_log(const std::string& format, std::string_view text, const ImportOptions& options);

// "m=M,n=N,us=latency_us" into columns. Throws base::UsageError.
std::map<std::string, std::string> parse_column_map(const std::string& text);

// "12 lines read, 2 skipped: line 7: ...; 30 other lines".
std::string import_report(const Imported& imported);

// What the importers share.
namespace importing {

// The whole of `text` as a finite number; false for anything else ("1e3x", "nan", ""). `text` may have spaces around
// it.
bool number(std::string_view text, double& value);
std::string_view trimmed(std::string_view text);
std::vector<std::string_view> words(std::string_view line);
std::string lower(std::string_view text);
// The value of an object's key; null where there is none.
const base::Json& member(const base::Json& object, const char* key);
// The fields of a CSV line; nullopt: a quote that does not close, or text after a closing quote.
std::optional<std::vector<std::string>> split_csv(std::string_view line);

// Collects samples and complaints, and hands both over at the end.
class Collector {
 public:
  Collector(std::string format, const ImportOptions& options, std::string_view text);

  void read() { ++imported_.lines_read; }
  void other() { ++imported_.lines_other; }
  // A line that claimed to be a measurement is not used; `place` is "line 7" or "state 3".
  void skip(const std::string& place, const std::string& reason);
  // Adds the sample, or skips it with the reason: no positive time, or a shape outside what samples may hold.
  void add(const std::string& place, Sample sample);
  bool empty() const { return imported_.set.samples.empty(); }
  Imported finish(const std::string& device_in_log = "");

 private:
  std::string format_;
  const ImportOptions& options_;
  Imported imported_;
};

// Calls f(line, number) for every line, without its line end; a line above 64 KiB is cut there.
template <typename F>
void each_line(std::string_view text, F&& f) {
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    f(line.substr(0, std::size_t{64} << 10), ++number);
  }
}

}  // namespace importing

}  // namespace hourglass::hardware
