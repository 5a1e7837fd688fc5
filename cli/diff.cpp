#include "reports/diff.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"

namespace hourglass::cli {

namespace {

// A result names its schema near its start; everything else is read as a trace.
bool is_result(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw base::Error("no such file", path, "check the path");
  if (std::filesystem::is_directory(path, ignored)) throw base::Error("is a folder", path, "name a file in it");
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw base::Error("cannot be opened", path, "check its rights");
  std::string head(4096, '\0');
  head.resize(
      static_cast<std::size_t>(std::max(0, gzread(file.get(), head.data(), static_cast<unsigned>(head.size())))));
  return head.find("\"schema_version\"") != std::string::npos;
}

reports::TraceDifferences of_traces(const std::string& a, const std::string& b, const Values& values) {
  const hardware::KernelTable table = kernel_table(values);
  std::optional<hardware::TraceBlocks> blocks;
  if (values.has("blocks")) {
    const std::string name = values.text("blocks");
    blocks = static_cast<hardware::TraceBlocks>(place_among({"all", "pairs", "alone"}, name, "choice", "--blocks"));
  }
  return reports::trace_differences(hardware::load_trace(a, table), hardware::load_trace(b, table), blocks);
}

}  // namespace

int diff(const Invocation& invocation) {
  Options options;
  options.text("kernels", "FILE", "traces: your own mapping of kernel names to classes, tried before the shipped one");
  options.text(
      "blocks", "all|pairs|alone",
      "traces: of a simulated one only these blocks of its schedule (default: those that the other trace looks like)");
  add_result_format(options);
  Values values;
  const Usage usage = {
      "hourglass diff A B [options]",
      "Two steps beside each other in numbers: two traces of a step, simulated (simulate --trace) or "
      "measured (PyTorch's\n"
      "profiler), plain or .gz, by phase and operator class, for one layer; or two results of --format json.",
      {"a", "b"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string a = required(values, "a", "the first file"), b = required(values, "b", "the second file");
  const bool results = is_result(a);
  if (results != is_result(b))
    throw base::Error("one is a trace, the other a result", a + ", " + b, "name two of one kind");
  for (const char* option : {"kernels", "blocks"}) {
    if (results && values.has(option))
      throw base::UsageError("means nothing for results", std::string("--") + option, "leave it out");
  }
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  reports::TraceDifferences found;
  if (results) {
    const base::JsonFile file_a = base::load_json(a), file_b = base::load_json(b);
    provenance.inputs = {{a, file_a.text_hash}, {b, file_b.text_hash}};
    found.rows = reports::result_differences(file_a.value, a, file_b.value, b);
  } else {
    found = of_traces(a, b, values);
  }
  write_result(format, {[&] { return reports::diff_text(a, b, found.rows, found.notes); },
                        [&] { return reports::diff_json(a, b, found.rows, found.notes, provenance); },
                        {"differences"}});
  return 0;
}

}  // namespace hourglass::cli
