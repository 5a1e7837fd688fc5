#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "base/json.h"
#include "hardware/measure/kineto.h"
#include "reports/assets.h"
#include "reports/chrome_trace.h"
#include "reports/kernel_names.h"
#include "reports/page.h"
#include "reports/span_names.h"
#include "reports/timeline.h"
#include "sim/training/operator_table.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

const std::string source = HOURGLASS_SOURCE_DIR;

sim::Inputs small_step() {
  return sim::load_inputs(source + "/configs/plans/deepseek-v3.json", {"plan.gpus=1024", "plan.global_batch=2048"});
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace

TEST_CASE("a page is whole, keeps the licences, and no name can end its script element") {
  const std::string evil = "</script><script>alert(1)</script><!-- data -->&";
  const std::string page = reports::html_page(evil, {{"kind", "plan"}, {"title", evil}});
  const std::string plain = reports::html_page("x", {{"kind", "plan"}, {"title", "x"}});
  CHECK(count(page, "</script>") == count(plain, "</script>"));
  CHECK(count(page, "<script>alert") == 0);
  CHECK(page.find("&lt;/script&gt;") != std::string::npos);
  CHECK(page.find("\\u003c/script>") != std::string::npos);
  CHECK(page.find("Copyright 2010-2026 Mike Bostock") != std::string::npos);
  CHECK(page.find("Copyright 2020-2025 Observable, Inc.") != std::string::npos);
  CHECK(page.find("Content-Security-Policy") != std::string::npos);
  CHECK(reports::asset("no such file").empty());
}

TEST_CASE("the page's timeline has every action of the schedule, and its patterns every span inside one") {
  const sim::Inputs inputs = small_step();
  sim::StepRecord record;
  sim::simulate(inputs, &record);
  const base::Json timeline = reports::step_timeline(record);
  const schedules::Schedule schedule = sim::plan_schedule(inputs.plan);
  std::size_t spans = 0, written = 0;
  for (const sim::Span& span : record.spans) spans += span.lane == sim::Lane::schedule ? 0 : 1;
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    const base::Json& row = timeline["ranks"][rank];
    CHECK(row["actions"].size() == 8 * schedule.actions[rank].size());
    written += row["loose"].size() / 4;
    for (std::size_t i = 7; i < row["actions"].size(); i += 8)
      written += timeline["patterns"][row["actions"][i].get<std::size_t>()].size() / 4;
  }
  CHECK(written == spans);
  // The critical path covers the step without a gap but waits for peers: its pieces follow each other.
  const base::Json& path = timeline["critical"];
  REQUIRE(path.size() >= 6);
  for (std::size_t i = 3; i < path.size(); i += 3)
    CHECK(path[i + 1].get<std::int64_t>() >= path[i - 2].get<std::int64_t>() + path[i - 1].get<std::int64_t>() - 1);
}

TEST_CASE("every span of a block is told operator by operator, whatever slows it; waits have none") {
  for (const bool contention : {false, true}) {
    sim::Inputs inputs = small_step();
    inputs.plan.contention = contention;
    sim::StepRecord record;
    sim::simulate(inputs, &record);
    std::size_t slowed = 0;
    for (const sim::Span& span : record.spans) {
      const sim::Block::Segment* segment = record.segment_of(span);
      const std::vector<sim::OperatorSlice> slices = sim::operators_of(record, span);
      INFO(reports::name_of(record, span).name);
      REQUIRE(slices.empty() == (segment == nullptr || reports::waits_for_peers(*segment)));
      if (slices.empty()) continue;
      base::Time sum = 0, priced = 0;
      for (const sim::OperatorSlice& slice : slices) {
        REQUIRE(slice.op->unit == segment->unit);
        REQUIRE(slice.op->pass == segment->pass);
        REQUIRE(slice.op->part == segment->part);
        REQUIRE(slice.op->communication == segment->communication);
        sum += slice.time;
        priced +=
            base::time_from_seconds(segment->beside_communication ? slice.op->overlapped_seconds : slice.op->seconds);
      }
      REQUIRE(priced == segment->work);
      REQUIRE(sum == span.end - span.start);
      slowed += sum > priced ? 1 : 0;
    }
    if (contention) CHECK(slowed > 0);
  }
}

TEST_CASE("spans are named from what they are") {
  const sim::Inputs inputs = small_step();
  sim::StepRecord record;
  sim::simulate(inputs, &record);
  std::map<sim::Lane, std::set<std::string>> classes;
  std::size_t messages = 0;
  for (const sim::Span& span : record.spans) {
    const reports::SpanName named = reports::name_of(record, span);
    REQUIRE_FALSE(named.name.empty());
    classes[span.lane].insert(named.cls);
    if (span.lane != sim::Lane::point_to_point) continue;
    // A message leaves when its sender has ended, for a rank beside it.
    ++messages;
    REQUIRE(std::abs(span.segment - span.rank) == 1);
    REQUIRE(record.action_of(span) != nullptr);
  }
  CHECK(messages == static_cast<std::size_t>(30 * inputs.plan.micro_batches()));
  CHECK(classes[sim::Lane::schedule] ==
        std::set<std::string>{"forward", "backward", "backward_input", "backward_weight", "overlapped"});
  CHECK(classes[sim::Lane::communication].contains("peer_wait"));
  CHECK(classes[sim::Lane::point_to_point] == std::set<std::string>{"send"});
}

TEST_CASE("simulated kernels are classified as measured ones are") {
  const std::map<std::string, std::string> same = {{"attention", "attention_forward"},
                                                   {"residual", "elementwise"},
                                                   {"all_gather", "collective"},
                                                   {"reduce_scatter", "collective"},
                                                   {"all_reduce", "collective"}};
  const sim::Inputs inputs = small_step();
  hardware::Trace trace;
  std::vector<std::string> expected;
  for (const sim::OperatorCost& op : sim::operator_table(inputs)) {
    const std::string kind = model::facts(op.of.kind).name;
    const auto other = same.find(kind);
    std::string cls = other == same.end() ? kind : other->second;
    const bool weights = op.pass == model::Pass::backward_weight;
    if (weights && (cls == "gemm" || cls == "grouped_gemm")) cls = "weight_gemm";
    if (kind == "attention" && op.pass == model::Pass::backward_input) cls = "attention_backward";
    hardware::TraceKernel kernel;
    kernel.name = static_cast<std::uint32_t>(trace.names.size());
    trace.names.push_back(reports::kernel_name(op));
    trace.kernels.push_back(kernel);
    expected.push_back(cls);
  }
  hardware::classify(trace, hardware::load_kernel_table(source + "/configs/kineto/kernels.json"));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(trace.names[i]);
    CHECK(trace.classes[trace.kernels[i].kernel_class] == expected[i]);
  }
}

TEST_CASE("a trace is JSON that names ranks and streams, and has an arrow a message on request") {
  const sim::Inputs inputs = small_step();
  sim::StepRecord record;
  const sim::Result result = sim::simulate(inputs, &record);
  const base::Json trace = base::Json::parse(reports::chrome_trace(inputs, result, record, {true, false}));
  std::map<std::string, int> phases;
  for (const base::Json& event : trace["traceEvents"]) ++phases[event["ph"].get<std::string>()];
  CHECK(phases["s"] == phases["f"]);
  // 16 ranks pass each micro-batch on 15 times forward and 15 times backward.
  CHECK(phases["s"] == 30 * inputs.plan.micro_batches());
  CHECK(phases["M"] == 16 * (2 + sim::lane_count));
  CHECK(phases["C"] > 0);
}
