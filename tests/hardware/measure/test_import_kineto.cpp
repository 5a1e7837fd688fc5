#include <doctest/doctest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "hardware/measure/kineto.h"

using namespace hourglass;
using hardware::KernelTable;
using hardware::PhaseSource;
using hardware::Trace;
using hardware::TraceSummary;

namespace {

const std::string source_dir = HOURGLASS_SOURCE_DIR;
const std::string small_trace = source_dir + "/tests/hardware/data/kineto.json";
const std::string real_trace = source_dir + "/../shared/data/traces/dualpipe-train.json.gz";

KernelTable our_table() { return hardware::load_kernel_table(source_dir + "/configs/kineto/kernels.json"); }

double class_us(const TraceSummary& summary, const std::string& name) {
  for (const hardware::TraceTotal& total : summary.classes) {
    if (total.name == name) return total.us;
  }
  return 0.0;
}

// A file that goes away with the test.
struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& name)
      : path((std::filesystem::temp_directory_path() / ("hourglass_test_" + name)).string()) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
};

bool real_trace_is_here() {
  if (std::filesystem::exists(real_trace)) return true;
  MESSAGE("SKIPPED: ", real_trace, " is not here");
  return false;
}

}  // namespace

TEST_CASE("a small trace: classes, streams, phases from annotations") {
  const Trace trace = hardware::load_trace(small_trace, our_table());
  CHECK(trace.device == "NVIDIA H800");
  CHECK(trace.sms == 132);
  CHECK(trace.events == 15);
  REQUIRE(trace.kernels.size() == 5);
  CHECK(trace.events_skipped == 1);
  REQUIRE(trace.complaints.size() == 1);
  CHECK(trace.complaints[0].starts_with("event 14: "));
  CHECK(trace.kernels[1].start == 5125);  // ns: 105.250 - 100.125 us, exact
  CHECK(trace.kernels[1].grid == std::array<std::int32_t, 3>{1, 2, 3});
  CHECK(trace.phases_from == "annotations");
  CHECK(trace.phases[trace.kernels[0].phase] == "attention");  // the innermost
  CHECK(trace.phases[trace.kernels[1].phase] == "forward");
  CHECK(trace.kernels[1].layer == 0);
  CHECK(trace.kernels[2].layer == 1);  // launched from another thread
  CHECK(trace.kernels[3].phase == 0);
  const TraceSummary summary = hardware::trace_summary(trace);
  CHECK(summary.wall_us == doctest::Approx(34.0));
  CHECK(class_us(summary, "attention_forward") == doctest::Approx(5.0));
  CHECK(class_us(summary, "gemm") == doctest::Approx(10.5));
  CHECK(class_us(summary, "collective") == doctest::Approx(20.0));
  CHECK(class_us(summary, "unclassified") == doctest::Approx(4.0));
  REQUIRE(summary.unclassified.size() == 1);
  CHECK(summary.unclassified[0].name == "my_own_thing");
  CHECK(summary.compute_busy_us == doctest::Approx(21.5));
  CHECK(summary.overlapped_us == doctest::Approx(5.625 + 2.0));
  CHECK(hardware::trace_text(trace, summary).find("my_own_thing") != std::string::npos);
  CHECK(hardware::trace_json(trace, summary, {})["classes"][0]["class"] == "collective");
}

TEST_CASE("a user's rules come first, and can look at the grid") {
  const base::Json document = base::parse_json(
      R"({"schema": "1.0.0", "kernels": [{"class": "mine", "match": "own_thing", "grid": [4, 1, 1]},
          {"class": "never", "match": "flash", "grid": [1, 1, 1]}, {"class": "linear", "match": "gemm"}]})",
      "mine.json");
  const KernelTable table = hardware::read_kernel_table(document, "mine.json", our_table());
  const TraceSummary summary = hardware::trace_summary(hardware::load_trace(small_trace, table));
  CHECK(class_us(summary, "mine") == doctest::Approx(4.0));
  CHECK(class_us(summary, "linear") == doctest::Approx(10.5));
  CHECK(class_us(summary, "attention_forward") == doctest::Approx(5.0));
  CHECK(summary.unclassified.empty());
}

TEST_CASE("a bad table is refused") {
  for (const char* kernels :
       {R"([{"class": "a"}])", R"([{"class": "a", "match": "("}])", R"([{"class": "", "match": "a"}])",
        R"([{"class": "a", "match": "a", "grid": [1]}])", R"([{"class": "a", "match": "a", "x": 1}])"}) {
    const std::string text = std::string(R"({"schema": "1.0.0", "kernels": )") + kernels + "}";
    CHECK_THROWS_AS(hardware::read_kernel_table(base::parse_json(text, "t"), "t"), base::Error);
  }
}

TEST_CASE("a kernel's name that is cut within a character can be written") {
  const TemporaryFile file("cut_name.json");
  std::ofstream(file.path) << R"({"traceEvents": [{"ph": "X", "cat": "kernel", "ts": 1, "dur": 1, "name": ")"
                           << std::string(511, 'a') << "\xc3\xa9\"}]}";
  const Trace trace = hardware::load_trace(file.path, our_table());
  CHECK(trace.names[0] == std::string(511, 'a') + "\\xc3");
  CHECK(!hardware::trace_json(trace, hardware::trace_summary(trace), {}).dump().empty());
}

TEST_CASE("a packed file that unpacks to one endless string is refused") {
  const TemporaryFile file("bomb.json.gz");
  const gzFile packed = gzopen(file.path.c_str(), "wb1");
  REQUIRE(packed != nullptr);
  const std::string start = R"({"traceName": ")", piece(1 << 20, 'a');
  gzwrite(packed, start.data(), static_cast<unsigned>(start.size()));
  for (int i = 0; i < 70; ++i) gzwrite(packed, piece.data(), static_cast<unsigned>(piece.size()));
  gzclose(packed);
  CHECK(std::filesystem::file_size(file.path) < (1u << 20));
  CHECK_THROWS_WITH_AS(hardware::load_trace(file.path, our_table()), doctest::Contains("64 MiB"), base::Error);
}

TEST_CASE("files that are no trace are refused") {
  CHECK_THROWS_AS(hardware::load_trace("/nonexistent.json", our_table()), base::Error);
  CHECK_THROWS_AS(hardware::load_trace("/tmp", our_table()), base::Error);
  const TemporaryFile file("bad_trace.json");
  for (const char* text : {"", "{", "[]", "{}", R"({"traceEvents": []})", R"({"traceEvents": [{"ph": "X"}]})"}) {
    std::ofstream(file.path) << text;
    CHECK_THROWS_AS(hardware::load_trace(file.path, our_table()), base::Error);
  }
}

TEST_CASE("mutated traces give an Error or a summary, never a crash") {
  std::ifstream in(small_trace, std::ios::binary);
  const std::string original{std::istreambuf_iterator<char>(in), {}};
  const KernelTable table = our_table();
  const TemporaryFile file("mutated_trace.json");
  base::Random random(11);
  const std::string noise = "0123456789.,:{}[]\"-eE \xff";
  for (int round = 0; round < 500; ++round) {
    std::string text = original;
    for (std::uint64_t edits = random.below(5) + 1; edits > 0; --edits) {
      text[static_cast<std::size_t>(random.below(text.size()))] =
          noise[static_cast<std::size_t>(random.below(noise.size()))];
    }
    std::ofstream(file.path, std::ios::binary) << text;
    try {
      const Trace trace = hardware::load_trace(file.path, table);
      hardware::trace_text(trace, hardware::trace_summary(trace));
    } catch (const base::Error&) {
    }
  }
}

TEST_CASE("DeepSeek's trace: every class as in the hand-made summary, to the microsecond") {
  if (!real_trace_is_here()) return;
  const Trace trace = hardware::load_trace(real_trace, our_table());
  const TraceSummary summary = hardware::trace_summary(trace);
  CHECK(trace.kernels.size() == 983);
  CHECK(trace.events_skipped == 0);
  CHECK(summary.wall_us == doctest::Approx(129012.0));
  const std::pair<const char*, double> classes[] = {{"combine", 49448},
                                                    {"notify", 32578},
                                                    {"dispatch", 31004},
                                                    {"grouped_gemm", 22926},
                                                    {"weight_gemm", 20997 + 11759},
                                                    {"gemm", 10752 + 8086 + 537},
                                                    {"attention_backward", 17017},
                                                    {"attention_forward", 4948},
                                                    {"cast", 16022},
                                                    {"permute", 5067},
                                                    {"norm", 3448},
                                                    {"rotary", 3087},
                                                    {"activation", 2504},
                                                    {"router", 639},
                                                    {"layout", 410}};
  for (const auto& each : classes) {
    CAPTURE(each.first);
    CHECK(std::abs(class_us(summary, each.first) - each.second) < 1.0);
  }
  CHECK(std::abs(class_us(summary, "elementwise") + class_us(summary, "copy") - 2840.0) < 1.0);
  CHECK(class_us(summary, "unclassified") == 0.0);
  REQUIRE(summary.streams.size() == 3);
  CHECK(summary.streams[0].busy_us == doctest::Approx(118193.0));
  CHECK(summary.streams[1].busy_us == doctest::Approx(11355.0));
  CHECK(summary.streams[2].busy_us == doctest::Approx(114521.0));
  CHECK(summary.compute_busy_us == doctest::Approx(124286.0));
  CHECK(summary.communication_busy_us == doctest::Approx(113440.0));
}

TEST_CASE("DeepSeek's trace: phases by annotations and by kernel order are the same") {
  if (!real_trace_is_here()) return;
  const std::pair<const char*, std::vector<double>> spans[] = {
      {"attn(F)", {4833, 4393, 4567, 4602}}, {"mlp(B)", {5746, 5467, 5467, 4772}},
      {"mlp(W)", {5333, 5059, 5260, 4639}},  {"mlp(F)", {4289, 4420, 5212, 4644}},
      {"attn(B)", {9215, 9563, 9646, 9737}}, {"attn(W)", {2381, 2390, 2400, 2412}}};
  const Trace by_annotation = hardware::load_trace(real_trace, our_table(), PhaseSource::annotations);
  const Trace by_order = hardware::load_trace(real_trace, our_table(), PhaseSource::kernel_order);
  CHECK(by_annotation.phases_from == "annotations");
  CHECK(by_order.phases_from == "kernel order");
  for (const Trace* trace : {&by_annotation, &by_order}) {
    const TraceSummary summary = hardware::trace_summary(*trace);
    CHECK(summary.phases.size() == 10);
    for (const auto& each : spans) {
      for (const hardware::PhaseTotal& phase : summary.phases) {
        if (phase.phase != each.first) continue;
        CAPTURE(each.first);
        CHECK(phase.span_us == each.second);
      }
    }
  }
  for (std::size_t i = 0; i < by_order.kernels.size(); ++i) {
    CHECK(by_order.phases[by_order.kernels[i].phase] == by_annotation.phases[by_annotation.kernels[i].phase]);
    CHECK(by_order.kernels[i].layer == by_annotation.kernels[i].layer);
  }
}

TEST_CASE("kernel order is not used where the table's phases do not all occur") {
  CHECK(hardware::load_trace(small_trace, our_table(), PhaseSource::kernel_order).phases_from == "");
}
