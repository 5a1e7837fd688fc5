#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/random.h"
#include "hardware/measure/kineto.h"

using namespace hourglass;
using namespace hourglass::hardware;

namespace {

const std::string root = HOURGLASS_SOURCE_DIR;

KernelTable shipped() { return load_kernel_table(root + "/configs/kineto/kernels.json"); }

const TraceTotal* total(const TraceSummary& summary, const std::string& name) {
  for (const TraceTotal& each : summary.classes) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a small trace: classes, busy time, overlap, and what was not classified") {
  const Trace trace = load_trace(root + "/tests/cli/data/trace.json", shipped());
  const TraceSummary summary = trace_summary(trace);
  CHECK(trace.kernels.size() == 4);
  CHECK(trace.sms == 132);
  CHECK(summary.wall_us == 199.0);
  CHECK(summary.compute_busy_us == 180.0);
  CHECK(summary.communication_busy_us == 60.0);
  CHECK(summary.overlapped_us == 60.0);
  REQUIRE(summary.unclassified.size() == 1);
  CHECK(summary.unclassified.front().name == "my_secret_kernel");
}

// deepseek-ai/profile-data train.json @4496024; the totals are those that its published breakdown gives by hand.
TEST_CASE("DeepSeek's DualPipe trace: every kernel classified, totals and phases to the microsecond") {
  const std::string path = root + "/../shared/data/traces/dualpipe-train.json.gz";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: " << path << " is not here");
    return;
  }
  const Trace trace = load_trace(path, shipped());
  const TraceSummary summary = trace_summary(trace);
  CHECK(trace.kernels.size() == 983);
  CHECK(summary.unclassified.empty());
  CHECK(summary.wall_us == 129012.0);
  CHECK(summary.communication_busy_us == 113440.0);
  const std::pair<const char*, double> expected[] = {{"combine", 49448},
                                                     {"notify", 32578},
                                                     {"dispatch", 31004},
                                                     {"grouped_gemm", 22926},
                                                     {"attention_backward", 17017},
                                                     {"cast", 16022},
                                                     {"permute", 5067},
                                                     {"attention_forward", 4948},
                                                     {"norm", 3448},
                                                     {"rotary", 3087},
                                                     {"activation", 2504}};
  for (const auto& each : expected) {
    CAPTURE(each.first);
    REQUIRE(total(summary, each.first) != nullptr);
    CHECK(total(summary, each.first)->us == each.second);
  }
  for (const PhaseTotal& phase : summary.phases) {
    if (phase.phase == "attn(F)") CHECK(phase.span_us == std::vector<double>{4833, 4393, 4567, 4602});
    if (phase.phase == "attn(B)") CHECK(phase.span_us == std::vector<double>{9215, 9563, 9646, 9737});
  }
}

TEST_CASE("a file that is no trace, or a cut one, is one clear error") {
  const std::string file = (std::filesystem::temp_directory_path() / "hourglass_trace_test.json").string();
  std::ifstream stream(root + "/tests/cli/data/trace.json");
  const std::string good((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  base::Random random(23);
  for (int round = 0; round < 400; ++round) {
    std::string text = good;
    if (round % 4 == 0) text.resize(random.below(text.size()));
    for (std::size_t edits = random.below(5); edits > 0 && !text.empty(); --edits) {
      text[random.below(text.size())] = "0123456789\"{}[]:,x\\ -"[random.below(21)];
    }
    std::ofstream(file, std::ios::binary) << text;
    try {
      const Trace trace = load_trace(file, shipped());
      REQUIRE(trace.kernels.size() <= 4);
      trace_summary(trace);
    } catch (const base::Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
  std::filesystem::remove(file);
}
