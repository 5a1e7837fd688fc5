#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "reports/chrome_trace.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/pictures.h"
#include "reports/text.h"
#include "sim/training/fast/simulate_plan.h"
#include "sim/training/tune_overlap.h"

namespace hourglass::cli {

namespace {

sim::Fold fold_of(const Values& values) {
  const std::string fold = values.has("fold") ? values.text("fold") : "auto";
  return static_cast<sim::Fold>(place_among({"auto", "on", "off"}, fold, "choice", "--fold"));
}

sim::Result run(const sim::Inputs& inputs, sim::Fold fold, sim::StepRecord* record) {
  constexpr double share_of_memory = 0.8, worth_saying = 1e9;
  ProgressLine line("simulating");
  sim::SimulateOptions options;
  options.fold = fold;
  options.memory_limit_bytes =
      share_of_memory * static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  options.announce = [](double tasks, double bytes) {
    if (bytes < worth_saying && isatty(STDERR_FILENO) == 0) return;
    fmt::print(stderr, "every GPU one by one: {:.1f} million tasks, about {:.1f} GiB of memory\n", tasks / base::mega,
               bytes / base::gibi);
  };
  options.progress = line.callback();
  return sim::simulate_plan(inputs, record, options);
}

}  // namespace

int simulate(const Invocation& invocation) {
  Options options;
  add_result_format(options, {"svg"});
  add_overrides(options);
  options.flag("explain", "text: also print where every cost comes from");
  options.text("trace", "FILE", "write what ran when, for ui.perfetto.dev: trace.json, or trace.json.gz");
  options.text("overlap-order", "FILE",
               "the order of the steps of an overlapped pair, as configs/overlap/deepseek.json");
  options.text("fold", "auto|on|off",
               "simulate one GPU of each pipeline rank (auto: unless the plan's variation makes them differ)");
  options.flag("tune-overlap", "try every such order and split of the SMs, and simulate the best");
  options.flag("trace-operators",
               "in the trace: kernel by kernel, named as PyTorch's profiler would, for hourglass diff");
  options.flag("trace-flows", "in the trace: an arrow for every message between pipeline ranks");
  add_html(options);
  Values values;
  const Usage usage = {"hourglass simulate PLAN [options]", "One training step of the plan, rank by rank.", {"plan"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats({"svg"}));
  sim::Inputs inputs = sim::load_inputs(required(values, "plan", "PLAN"), overrides(values));
  inputs.provenance.argv = invocation.argv;
  if (values.has("overlap-order")) inputs.plan.overlap_order = sim::load_overlap_order(values.text("overlap-order"));
  std::optional<sim::OverlapTuning> tuning;
  if (values.has("tune-overlap")) {
    tuning = sim::tune_overlap(inputs);
    inputs.plan.overlap_order = tuning->best.order;
    inputs.plan.communication_sms = tuning->best.communication_sms;
  }
  const bool traced = values.has("trace"), recorded = traced || values.has("html") || format == "svg";
  for (const char* option : {"trace-flows", "trace-operators"}) {
    if (values.has(option) && !traced)
      throw base::UsageError("is for a trace", std::string("--") + option, "give --trace FILE");
  }
  sim::StepRecord record;
  const sim::Result result = run(inputs, fold_of(values), recorded ? &record : nullptr);
  if (traced) {
    write_file(values.text("trace"), reports::chrome_trace(inputs, result, record,
                                                           {values.has("trace-flows"), values.has("trace-operators")}));
  }
  write_html(values, [&] { return reports::step_html(inputs, result, record); });
  write_result(format, {[&] {
                          return reports::step_text(inputs, result) + (tuning ? reports::tuning_text(*tuning) : "") +
                                 (values.has("explain") ? reports::explain_text(inputs.profile) : "");
                        },
                        [&] {
                          base::Json document = reports::step_json(result, inputs.provenance);
                          if (tuning) document["overlap_tuning"] = reports::tuning_json(*tuning);
                          return document;
                        },
                        {"ranks"},
                        {{"svg", [&] { return reports::step_svg(result, record); }}}});
  return 0;
}

}  // namespace hourglass::cli
