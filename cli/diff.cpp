#include "reports/diff.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/command.h"

namespace hourglass::cli {

namespace po = boost::program_options;

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

std::vector<reports::Difference> of_traces(const std::string& a, const std::string& b,
                                           const po::variables_map& values) {
  const std::string shipped = std::filesystem::exists("configs/kineto/kernels.json") ? "configs/kineto/kernels.json"
                                                                                     : HOURGLASS_SOURCE_DIR
                                  "/configs/kineto/kernels.json";
  hardware::KernelTable table = hardware::load_kernel_table(shipped);
  if (values.count("kernels") > 0) table = hardware::load_kernel_table(values["kernels"].as<std::string>(), table);
  return reports::trace_differences(hardware::trace_summary(hardware::load_trace(a, table)),
                                    hardware::trace_summary(hardware::load_trace(b, table)));
}

}  // namespace

int diff(const Invocation& invocation) {
  po::options_description options("options");
  options.add_options()("kernels", po::value<std::string>()->value_name("FILE"),
                        "traces: your own mapping of kernel names to classes, tried before the shipped one");
  add_result_format(options);
  po::variables_map values;
  const Usage usage = {"hourglass diff A B [options]",
                       "Two steps beside each other in numbers: two traces of a step, simulated (simulate --trace) or "
                       "measured (PyTorch's\n"
                       "profiler), plain or .gz, per phase and per operator class; or two results of --format json.",
                       {"a", "b"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string a = required(values, "a", "the first file"), b = required(values, "b", "the second file");
  const bool results = is_result(a);
  if (results != is_result(b))
    throw base::Error("one is a trace, the other a result", a + ", " + b, "name two of one kind");
  if (results && values.count("kernels") > 0)
    throw base::UsageError("means nothing for results", "--kernels", "leave it out");
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  std::vector<reports::Difference> rows;
  if (results) {
    const base::JsonFile file_a = base::load_json(a), file_b = base::load_json(b);
    provenance.inputs = {{a, file_a.text_hash}, {b, file_b.text_hash}};
    rows = reports::result_differences(file_a.value, a, file_b.value, b);
  } else {
    rows = of_traces(a, b, values);
  }
  write_result(format, {[&] { return reports::diff_text(a, b, rows); },
                        [&] { return reports::diff_json(a, b, rows, provenance); },
                        {"differences"}});
  return 0;
}

}  // namespace hourglass::cli
