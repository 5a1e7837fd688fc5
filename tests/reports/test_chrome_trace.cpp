#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "base/json.h"
#include "reports/chrome_trace.h"
#include "reports/span_names.h"
#include "sim/training/simulate.h"

using namespace hourglass;

namespace {

struct Step {
  sim::Inputs inputs;
  sim::StepRecord record;
  sim::Result result;
};

Step step(const std::string& schedule, const std::string& batch = "5120") {
  Step out;
  out.inputs = sim::load_inputs(std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json",
                                {"plan.schedule=" + schedule, "plan.global_batch=" + batch});
  out.result = sim::simulate(out.inputs, &out.record);
  return out;
}

}  // namespace

TEST_CASE("the spans of a rank's schedule add up to the result's breakdown, and its memory to the peak") {
  for (const char* schedule : {"dualpipe", "zb-h1"}) {
    const Step s = step(schedule);
    std::map<std::pair<int, std::string>, double> seconds;
    for (const sim::Span& span : s.record.spans) {
      const reports::SpanName named = reports::name_of(s.record, span);
      const std::string cls = span.lane == sim::Lane::schedule ? named.cls : named.name;
      seconds[{span.rank, cls}] += base::seconds(span.end - span.start);
    }
    std::vector<double> peak(s.result.ranks.size(), 0.0);
    for (const sim::MemoryPoint& point : s.record.memory)
      peak[static_cast<std::size_t>(point.rank)] = std::max(peak[static_cast<std::size_t>(point.rank)], point.bytes);
    for (const sim::RankResult& rank : s.result.ranks) {
      const auto of = [&](const char* cls) { return seconds[{rank.pipeline_rank, cls}]; };
      CHECK(of("forward") == doctest::Approx(rank.forward_s));
      CHECK(of("backward") + of("backward_input") == doctest::Approx(rank.backward_s));
      CHECK(of("backward_weight") == doctest::Approx(rank.weight_s));
      CHECK(of("overlapped") == doctest::Approx(rank.overlapped_s));
      CHECK(of("reduce_scatter gradients") + of("optimizer") + of("all_gather parameters") ==
            doctest::Approx(rank.optimizer_s));
      CHECK(peak[static_cast<std::size_t>(rank.pipeline_rank)] == doctest::Approx(rank.peak_memory_bytes));
    }
  }
}

TEST_CASE("no two spans of a lane overlap, and all lie within the step") {
  const Step s = step("dualpipe");
  const sim::Span* before = nullptr;
  for (const sim::Span& span : s.record.spans) {
    CHECK(base::seconds(span.end) <= s.result.step_time_s);
    if (before != nullptr && before->rank == span.rank && before->lane == span.lane) CHECK(before->end <= span.start);
    before = &span;
  }
}

TEST_CASE("asking for a record does not change the result") {
  const Step s = step("dualpipe");
  CHECK(sim::simulate(s.inputs).step_time_s == s.result.step_time_s);
}

TEST_CASE("the trace is JSON that names every rank and stream; names from files are inert") {
  Step s = step("dualpipe", "4096");  // 32 micro-batches
  for (const bool operators : {false, true}) {
    s.inputs.provenance.argv = {"hourglass", "</script>\"\n\\"};
    const base::Json trace = base::parse_json(reports::chrome_trace(s.inputs, s.result, s.record, {false, operators}),
                                              "trace", std::size_t{1} << 30);
    CHECK(trace["otherData"]["argv"][1] == "</script>\"\n\\");
    std::size_t counters = 0, names = 0;
    std::map<std::pair<int, int>, double> seconds;  // rank, lane
    for (const sim::Span& span : s.record.spans)
      seconds[{span.rank, static_cast<int>(span.lane)}] += base::seconds(span.end - span.start);
    for (const base::Json& event : trace["traceEvents"]) {
      const std::string phase = event["ph"];
      counters += phase == "C" ? 1 : 0;
      names += phase == "M" ? 1 : 0;
      if (phase != "X") continue;
      CHECK(event["dur"].get<double>() >= 0.0);
      seconds[{event["pid"].get<int>(), event["tid"].get<int>()}] -= event["dur"].get<double>() * 1e-6;
    }
    // A run of operators is written one by one; together they take as long. Durations are rounded to nanoseconds.
    for (const auto& [lane, left] : seconds) CHECK(std::abs(left) < 1e-4);
    CHECK(counters > s.record.memory.size());
    CHECK(names == 16 * (2 + sim::lane_count));
  }
}
