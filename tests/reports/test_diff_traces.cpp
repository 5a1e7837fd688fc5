#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "reports/chrome_trace.h"
#include "reports/diff.h"
#include "sim/training/simulate.h"

using namespace hourglass;
using hardware::KernelBlock;
using hardware::Trace;
using hardware::TraceBlocks;

namespace {

enum Class : std::uint32_t { gemm = 1, weight_gemm = 2, dispatch = 3, notify = 4 };
enum Phase : std::uint32_t { mlp_f = 1, mlp_w = 2, dispatch_f = 3, head_f = 4 };

Trace empty() {
  Trace trace;
  trace.path = "t.json";
  trace.names = {"kernel"};
  trace.classes = {"unclassified", "gemm", "weight_gemm", "dispatch", "notify"};
  trace.phases = {"", "mlp(F)", "mlp(W)", "dispatch(F)", "head(F)"};
  trace.phases_from = "kernels";
  return trace;
}
void add(Trace& trace, Phase phase, int layer, Class cls, int stream, std::int64_t from_us, std::int64_t to_us,
         KernelBlock block = KernelBlock::unknown) {
  hardware::TraceKernel kernel;
  kernel.kernel_class = cls, kernel.phase = phase, kernel.layer = layer, kernel.stream = stream, kernel.block = block;
  kernel.start = from_us * 1000, kernel.duration = (to_us - from_us) * 1000;
  trace.kernels.push_back(kernel);
}

// Two layers, 100 us from one to the next: a weight gradient on two streams at once beside the forward's dispatch.
Trace snippet() {
  Trace trace = empty();
  for (const int layer : {0, 1}) {
    const std::int64_t t = 100 * layer;
    add(trace, dispatch_f, layer, notify, 9, t, t + 10);
    add(trace, mlp_w, layer, weight_gemm, 7, t, t + 40);
    add(trace, dispatch_f, layer, dispatch, 9, t + 10, t + 40);
    add(trace, mlp_w, layer, weight_gemm, 8, t + 20, t + 60);
    add(trace, mlp_f, layer, gemm, 7, t + 60, t + 90);
  }
  return trace;
}
// The same in pairs, slower by a tenth of the GEMM, among blocks that run alone and a head.
Trace step() {
  Trace trace = empty();
  for (int layer = 0; layer < 6; ++layer) {
    const bool pair = layer >= 2;
    const std::int64_t t = 100 * layer;
    const KernelBlock block = pair ? KernelBlock::pair : KernelBlock::alone;
    if (pair) {
      add(trace, dispatch_f, layer, notify, 2, t, t + 10, block);
      add(trace, mlp_w, layer, weight_gemm, 1, t, t + 60, block);
      add(trace, dispatch_f, layer, dispatch, 2, t + 10, t + 40, block);
    }
    add(trace, mlp_f, layer, gemm, 1, t + 60, t + (pair ? 93 : 70), block);
  }
  add(trace, head_f, 0, gemm, 1, 600, 900, KernelBlock::pair);
  return trace;
}

const reports::Difference* row(const reports::TraceDifferences& all, const std::string& group,
                               const std::string& name) {
  for (const auto& each : all.rows) {
    if (each.group.starts_with(group) && each.name == name) return &each;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a step and a snippet are compared for one layer, of the blocks that the snippet looks like") {
  const Trace a = step(), b = snippet();
  CHECK(hardware::states_blocks(a));
  CHECK_FALSE(hardware::states_blocks(b));
  CHECK(hardware::runs_in_pairs(b));
  const auto found = reports::trace_differences(a, b);
  REQUIRE(found.notes.size() == 2);
  CHECK(found.notes[0].find("4 layers, overlapped pairs") != std::string::npos);
  const auto* pitch = row(found, "layer, us", "from a layer to the next, median");
  REQUIRE(pitch != nullptr);
  CHECK(pitch->a == 100.0);
  CHECK(pitch->b == 100.0);
  const auto* gemms = row(found, "operator class, us a layer", "gemm");
  REQUIRE(gemms != nullptr);
  CHECK(gemms->a == doctest::Approx(33.0));  // neither the lone layers' 10 nor the head's 300
  CHECK(gemms->b == doctest::Approx(30.0));
  const auto* two_streams = row(found, "operator class by phase", "mlp(W) weight_gemm");
  REQUIRE(two_streams != nullptr);
  CHECK(two_streams->b == doctest::Approx(60.0));  // 40 and 40, 20 of them at once
  CHECK(two_streams->a == doctest::Approx(60.0));
  const auto* head = row(found, "phase, us from first start", "head(F)");
  REQUIRE(head != nullptr);
  CHECK(head->b == 0.0);
}

TEST_CASE("blocks can be asked for, and must be there") {
  const Trace a = step(), b = snippet();
  CHECK(row(reports::trace_differences(a, b, TraceBlocks::alone), "operator class, us a layer", "gemm")->a ==
        doctest::Approx(10.0));
  CHECK(row(reports::trace_differences(a, b, TraceBlocks::all), "phase, us of its kernels", "mlp(F)")->a ==
        doctest::Approx((4 * 33.0 + 2 * 10.0) / 6.0));
  CHECK_THROWS_AS(reports::trace_differences(b, b, TraceBlocks::pairs), base::UsageError);
  Trace lone = step();
  for (auto& kernel : lone.kernels) kernel.block = KernelBlock::alone;
  CHECK_THROWS_AS(reports::trace_differences(lone, b, TraceBlocks::pairs), base::Error);
  const auto found = reports::trace_differences(lone, b);  // not asked: all it has
  CHECK(found.notes[0].find("all blocks") != std::string::npos);
}

TEST_CASE("the span of a phase that communicates is that of its communication; its local part waits elsewhere") {
  Trace a = snippet();
  add(a, dispatch_f, 1, gemm, 7, 195, 199);
  const auto found = reports::trace_differences(a, snippet());
  const auto* span = row(found, "phase, us from first start", "dispatch(F)");
  REQUIRE(span != nullptr);
  CHECK(span->a == 40.0);
  CHECK(row(found, "operator class by phase", "dispatch(F) gemm")->a == doctest::Approx(2.0));
}

TEST_CASE("traces without a common phase are compared by shares and means") {
  Trace a = snippet(), b = snippet();
  for (auto& kernel : b.kernels) kernel.phase = 0;
  const auto found = reports::trace_differences(a, b);
  CHECK(found.notes[0].find("no phase in common") != std::string::npos);
  CHECK(row(found, "operator class, % of all", "gemm")->a == doctest::Approx(60.0 / 300.0 * 100.0));
  CHECK(row(found, "operator class, us a kernel", "gemm")->b == doctest::Approx(30.0));
}

namespace {

// A step of DeepSeek-V3, kernel by kernel, read as a measured trace is.
Trace simulated() {
  const std::string root = HOURGLASS_SOURCE_DIR;
  const sim::Inputs inputs = sim::load_inputs(root + "/configs/plans/deepseek-v3.json", {"plan.global_batch=5120"});
  sim::StepRecord record;
  const sim::Result result = sim::simulate(inputs, &record);
  const std::string path = (std::filesystem::temp_directory_path() / "hourglass_test_step.json").string();
  std::ofstream(path) << reports::chrome_trace(inputs, result, record, {false, true});
  Trace trace = hardware::load_trace(path, hardware::load_kernel_table(root + "/configs/kineto/kernels.json"));
  std::filesystem::remove(path);
  return trace;
}

}  // namespace

TEST_CASE("a simulated step as a trace: every kernel has a class, a phase and a block; layers of experts stand apart") {
  const Trace trace = simulated();
  for (const auto& kernel : trace.kernels) {
    CAPTURE(trace.names[kernel.name]);
    CHECK(kernel.kernel_class != 0);
    if (kernel.phase != 0) CHECK(kernel.block != KernelBlock::unknown);
  }
  std::set<std::string> phases(trace.phases.begin(), trace.phases.end());
  CHECK(phases.contains("dense_mlp(F)"));
  CHECK(phases.contains("mlp(F)"));
  // Backward, gradients come back over what the forward sent: a combine runs as a dispatch, and a dispatch as a combine.
  for (const hardware::PhaseLayers& phase : hardware::trace_layers(trace, TraceBlocks::pairs)) {
    std::set<std::string> classes;
    for (const auto& [cls, us] : phase.classes) classes.insert(cls);
    if (phase.phase == "combine(B)") CHECK(classes == std::set<std::string>{"dispatch", "notify", "cast"});
    if (phase.phase == "dispatch(B)") CHECK(classes == std::set<std::string>{"combine", "notify"});
    if (phase.phase == "attn(W)") CHECK(classes == std::set<std::string>{"weight_gemm"});
  }
}

TEST_CASE("DeepSeek's trace beside the simulated step: what the profile was fitted to agrees per layer") {
  const std::string root = HOURGLASS_SOURCE_DIR, real = root + "/../shared/data/traces/dualpipe-train.json.gz";
  if (!std::filesystem::exists(real)) {
    MESSAGE("SKIPPED: ", real, " is not here");
    return;
  }
  const Trace measured = hardware::load_trace(real, hardware::load_kernel_table(root + "/configs/kineto/kernels.json"));
  CHECK(hardware::runs_in_pairs(measured));
  const auto found = reports::trace_differences(simulated(), measured);
  for (const char* cls : {"notify", "weight_gemm", "grouped_gemm", "gemm", "attention_backward", "attention_forward"}) {
    CAPTURE(cls);
    const auto* each = row(found, "operator class, us a layer", cls);
    REQUIRE(each != nullptr);
    CHECK(each->a == doctest::Approx(each->b).epsilon(0.03));
  }
  const auto* pitch = row(found, "layer, us", "from a layer to the next, median");
  CHECK(pitch->a == doctest::Approx(pitch->b).epsilon(0.05));
}
