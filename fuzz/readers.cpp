// Fuzz targets of every reader, one program: its first argument names the reader, the rest is libFuzzer's
// (scripts/fuzz calls it). A reader may refuse what it is given in one way only, by base::Error; every other exception,
// crash, sanitizer report, endless loop or more than 2 GB of memory is a finding.
//
// Readers of text are called with it. Readers that open a file get one in a folder of their own, laid out as configs/
// is, so that a plan finds the shipped models, clusters and profiles beside it.
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "hardware/cluster.h"
#include "hardware/measure/import.h"
#include "hardware/measure/kineto.h"
#include "hardware/measure/samples.h"
#include "hardware/profile.h"
#include "kernels/bench/bench.h"
#include "model/spec.h"
#include "planner/compare/sweep.h"
#include "planner/convert/megatron.h"
#include "planner/search/search_files.h"
#include "planner/validation/validate.h"
#include "schedules/formats.h"
#include "schedules/validate.h"
#include "sim/training/overlap_order.h"
#include "sim/training/plan.h"

namespace {

using namespace hourglass;

const std::string shipped = HOURGLASS_SOURCE_DIR "/configs";

// A folder like configs/, where plans/input is rewritten for every input; removed at the end.
class Folder {
 public:
  Folder() {
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    path_ = parent / ("hourglass-fuzz-" + std::to_string(getpid()));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_ / "plans");
    for (const char* kind : {"models", "clusters", "profiles"}) {
      std::filesystem::create_directory_symlink(shipped + "/" + kind, path_ / kind);
    }
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  // `text` as a file, whose path is returned.
  std::string holding(std::string_view text) const {
    const std::string name = path_ / "plans/input";
    std::FILE* file = std::fopen(name.c_str(), "wb");
    if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size()) std::abort();
    std::fclose(file);
    return name;
  }

 private:
  std::filesystem::path path_;
};

const Folder& folder() {
  static const Folder one;
  return one;
}

// A plan that is sound but for the --set assignments, one a line.
void overrides(std::string_view text) {
  std::vector<std::string> assignments;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    assignments.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  sim::load_inputs(shipped + "/plans/deepseek-v3.json", assignments);
}

void trace(std::string_view text) {
  static const hardware::KernelTable table = hardware::load_kernel_table(shipped + "/kineto/kernels.json");
  const hardware::Trace read = hardware::load_trace(folder().holding(text), table);
  hardware::trace_json(read, hardware::trace_summary(read), {}).dump();
}

// The mutations of a packed trace would only break its packing.
void packed_trace(std::string_view text) {
  const std::string path = folder().holding("");
  gzFile file = gzopen(path.c_str(), "wb1");
  if (file == nullptr || gzwrite(file, text.data(), static_cast<unsigned>(text.size())) < 0) std::abort();
  gzclose(file);
  static const hardware::KernelTable none;
  hardware::load_trace(path, none);
}

// Compiles the patterns. They are not tried: std::regex backtracks, so that one like (a*)*b takes forever, and whoever
// writes it waits for it.
void kernel_table(std::string_view text) { hardware::read_kernel_table(base::parse_json(text, "input"), "input"); }

void unit_line(std::string_view text) { planner::unit_line(planner::unit_from_line(std::string(text), "input")); }

// Small languages of the command line, all on the same text.
void arguments(std::string_view text) {
  const std::string word(text);
  const auto attempt = [](auto&& read) {
    try {
      read();
    } catch (const base::Error&) {
    }
  };
  attempt([&] { planner::parse_layout(word, "input"); });
  attempt([&] { planner::parse_shard(word); });
  attempt([&] { planner::read_sweep_range(word); });
  attempt([&] { hardware::parse_column_map(word); });
}

// Without and with what a log may leave out; what is made of it must be readable again.
void log_of(const char* format, std::string_view text, const char* op = "") {
  for (const std::int64_t ranks : {0, 16}) {
    hardware::ImportOptions options;
    options.device = "H800 SXM5";
    options.op = op;
    options.ranks = ranks;
    try {
      const hardware::Imported imported = hardware::import_log(format, text, options);
      hardware::read_samples(base::parse_json(hardware::samples_json(imported.set).dump(), "samples"), "samples");
    } catch (const base::Error&) {
    }
  }
}

void schedule(const schedules::Schedule& read) { schedules::validate(read); }

struct Reader {
  const char* name;
  void (*read)(std::string_view);
};

const Reader readers[] = {
    {"json", [](std::string_view text) { base::parse_json(text, "input").dump(); }},
    {"plan", [](std::string_view text) { sim::load_inputs(folder().holding(text), {}); }},
    {"overrides", overrides},
    {"cluster", [](std::string_view text) { hardware::read_cluster(base::parse_json(text, "input"), "input"); }},
    {"profile", [](std::string_view text) { hardware::read_profile(base::parse_json(text, "input"), "input"); }},
    {"model", [](std::string_view text) { model::read_model(folder().holding(text)); }},
    {"samples", [](std::string_view text) { hardware::read_samples(base::parse_json(text, "input"), "input"); }},
    {"suite", [](std::string_view text) { kernels::read_suite(base::parse_json(text, "input"), "input"); }},
    {"csv-tables", [](std::string_view text) { hardware::read_csv_table(text, "input"); }},
    {"csv", [](std::string_view text) { log_of("csv", text, "gemm"); }},
    {"nccl-tests", [](std::string_view text) { log_of("nccl-tests", text); }},
    {"deepep", [](std::string_view text) { log_of("deepep", text); }},
    {"deepgemm", [](std::string_view text) { log_of("deepgemm", text); }},
    {"nvbench", [](std::string_view text) { log_of("nvbench", text, "gemm"); }},
    {"kineto", trace},
    {"kineto-gz", packed_trace},
    {"kernel-table", kernel_table},
    {"schedule-json", [](std::string_view text) { schedule(schedules::from_json(text, "input")); }},
    {"schedule-csv", [](std::string_view text) { schedule(schedules::from_csv(text, "input")); }},
    {"schedule-pytorch", [](std::string_view text) { schedule(schedules::from_pytorch(text, "input")); }},
    {"megatron",
     [](std::string_view text) {
       planner::import_megatron(std::string(text), {"input", "c", "", 0});
     }},
    {"arguments", arguments},
    {"overlap-order", [](std::string_view text) { sim::load_overlap_order(folder().holding(text)); }},
    {"runs", [](std::string_view text) { planner::published_runs(folder().holding(text), shipped); }},
    {"search-results", unit_line},
};

const Reader* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (const Reader& reader : readers) {
    if (*argc > 1 && std::strcmp((*argv)[1], reader.name) == 0) chosen = &reader;
  }
  if (chosen == nullptr) {
    for (const Reader& reader : readers) std::puts(reader.name);
    std::exit(*argc > 1 && std::strcmp((*argv)[1], "list") != 0 ? 2 : 0);
  }
  for (int i = 1; i < *argc; ++i) (*argv)[i] = (*argv)[i + 1];
  --*argc;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    chosen->read({reinterpret_cast<const char*>(data), size});
  } catch (const base::Error&) {
  }
  return 0;
}
