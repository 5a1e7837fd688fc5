#include "reports/bench.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "hardware/measure/fit.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using kernels::Measurement;

std::string microseconds(double seconds) { return fmt::format("{:.1f}", seconds / base::micro); }

std::string rate(const Measurement& m) {
  if (const double flops = kernels::flops_of(m.of); flops > 0.0)
    return fmt::format("{:.1f} GFLOP/s", flops / m.sample.seconds / base::giga);
  if (const double bytes = kernels::bytes_of(m.of); bytes > 0.0)
    return fmt::format("{:.1f} GB/s", bytes / m.sample.seconds / base::giga);
  return "";
}

std::string shape_text(const kernels::BenchCase& c) {
  std::string text;
  for (const std::string& key : kernels::case_keys(c.kernel))
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, c.at(key));
  return text;
}

double error_of(const BenchReport& report, std::size_t i) {
  return report.predicted[i] / report.measurements[i].sample.seconds - 1.0;
}

std::vector<double> errors_of(const BenchReport& report) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < report.predicted.size(); ++i) {
    if (report.measurements[i].fault.empty()) errors.push_back(error_of(report, i));
  }
  return errors;
}

}  // namespace

std::size_t BenchReport::faults() const {
  std::size_t count = 0;
  // A sample was made, but its result was wrong; unsupported cases have no sample at all.
  for (const Measurement& m : measurements) count += !m.fault.empty() && !m.sample.op.empty() ? 1 : 0;
  return count;
}

namespace {

double layer_error(const BenchReport& report, std::size_t i) {
  return report.layers_predicted[i] / report.layers[i].measured.sample.seconds - 1.0;
}

std::string spread(const Measurement& m) { return m.sample.runs > 1 ? percent(m.sample.spread) : "-"; }

std::string layers_text(const BenchReport& report) {
  const bool predicted = !report.layers_predicted.empty();
  std::vector<std::string> heading = {"layer", "pass", "ms", "spread", "runs", "operators"};
  if (predicted) heading.insert(heading.end(), {"predicted", "error"});
  Table table(heading);
  for (std::size_t i = 0; i < report.layers.size(); ++i) {
    const kernels::LayerPass& pass = report.layers[i];
    const Measurement& m = pass.measured;
    std::vector<std::string> row = {kernels::describe(pass.of),
                                    kernels::name_of(pass.pass),
                                    fmt::format("{:.2f}", m.sample.seconds * 1e3),
                                    spread(m),
                                    fmt::format("{}{}", m.sample.runs, m.settled ? "" : "*"),
                                    std::to_string(pass.operators.size())};
    if (predicted) {
      row.push_back(fmt::format("{:.2f}", report.layers_predicted[i] * 1e3));
      row.push_back(fmt::format("{:+.1f} %", layer_error(report, i) * 100.0));
    }
    table.add(row);
  }
  return "\n" + table.text() +
         (predicted ? "\npredicted: the sum of the profile's prices of the operators; no layer was in the fit\n" : "");
}

base::Json layers_json(const BenchReport& report) {
  base::Json rows = base::Json::array();
  for (std::size_t i = 0; i < report.layers.size(); ++i) {
    const kernels::LayerPass& pass = report.layers[i];
    const Measurement& m = pass.measured;
    base::Json row = {{"layer", pass.of.experts ? "moe" : "dense"}, {"tokens", pass.of.tokens}};
    row["pass"] = kernels::name_of(pass.pass);
    row["seconds"] = m.sample.seconds;
    row["spread"] = m.sample.spread;
    row["runs"] = m.sample.runs;
    row["settled"] = m.settled;
    if (!report.layers_predicted.empty()) {
      row["predicted_s"] = report.layers_predicted[i];
      row["error"] = layer_error(report, i);
    }
    base::Json operators = base::Json::array();
    for (const kernels::BenchCase& each : pass.operators) operators.push_back(kernels::describe(each));
    row["operators"] = std::move(operators);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::string bench_text(const BenchReport& report) {
  std::string out = fmt::format("{} on {}, {}\n", report.backend, report.device.name, report.date);
  if (report.ceilings.flops > 0.0) {
    out += fmt::format("at most: {:.1f} GFLOP/s in registers, copies {:.1f} GB/s\n", report.ceilings.flops / base::giga,
                       report.ceilings.memory_bandwidth / base::giga);
  }
  if (!report.layers.empty()) return out + layers_text(report);
  const bool predicted = !report.predicted.empty();
  std::vector<std::string> heading = {"kernel", "pass", "us", "spread", "runs", "rate"};
  if (predicted) heading.insert(heading.end(), {"predicted", "error"});
  heading.push_back("shape");
  Table table(heading);
  std::string faults;
  std::size_t unsettled = 0;
  for (std::size_t i = 0; i < report.measurements.size(); ++i) {
    const Measurement& m = report.measurements[i];
    if (!m.fault.empty()) {
      faults += fmt::format("no sample: {}: {}\n", kernels::describe(m.of), m.fault);
      continue;
    }
    if (!m.settled) ++unsettled;
    std::vector<std::string> row = {m.of.kernel,
                                    kernels::name_of(m.of.pass),
                                    microseconds(m.sample.seconds),
                                    spread(m),
                                    fmt::format("{}{}", m.sample.runs, m.settled ? "" : "*"),
                                    rate(m)};
    if (predicted)
      row.insert(row.end(), {microseconds(report.predicted[i]), fmt::format("{:+.1f} %", error_of(report, i) * 100.0)});
    row.push_back(shape_text(m.of));
    table.add(row);
  }
  out += "\n" + table.text("  ", true) + (faults.empty() ? "" : "\n" + faults);
  if (unsettled > 0) {
    out += fmt::format("\n* {} case{} had not settled when the time was up: noisier than asked for\n", unsettled,
                       unsettled == 1 ? "" : "s");
  }
  if (predicted) {
    const hardware::ErrorSummary errors = hardware::summarise_errors(errors_of(report));
    out += fmt::format("\npredicted against measured: median error {}, 90th percentile {}, worst {}\n",
                       percent(errors.median), percent(errors.p90), percent(errors.worst));
  }
  return out;
}

base::Json bench_json(const BenchReport& report, const base::Provenance& provenance) {
  base::Json rows = base::Json::array();
  for (std::size_t i = 0; i < report.measurements.size(); ++i) {
    const Measurement& m = report.measurements[i];
    base::Json row = {{"kernel", m.of.kernel}, {"pass", kernels::name_of(m.of.pass)}, {"dtype", m.of.dtype}};
    if (!m.of.name.empty()) row["name"] = m.of.name;
    for (const std::string& key : kernels::case_keys(m.of.kernel)) row[key] = m.of.at(key);
    if (m.fault.empty()) {
      row["seconds"] = m.sample.seconds;
      row["spread"] = m.sample.spread;
      row["runs"] = m.sample.runs;
      row["disturbed_runs"] = m.disturbed;
      row["noise"] = m.noise;
      row["settled"] = m.settled;
      if (const double flops = kernels::flops_of(m.of); flops > 0.0) row["flops_per_second"] = flops / m.sample.seconds;
      if (const double bytes = kernels::bytes_of(m.of); bytes > 0.0) row["bytes_per_second"] = bytes / m.sample.seconds;
      if (!report.predicted.empty()) {
        row["predicted_s"] = report.predicted[i];
        row["error"] = error_of(report, i);
      }
    } else {
      row["fault"] = m.fault;
    }
    rows.push_back(std::move(row));
  }
  base::Json device = {{"name", report.device.name}};
  for (const auto& [fact, value] : report.device.facts) device[fact] = value;
  base::Json document = {{"schema_version", schema_version},
                         {"provenance", base::provenance_json(provenance)},
                         {"backend", report.backend},
                         {"date", report.date},
                         {"device", std::move(device)}};
  if (report.ceilings.flops > 0.0) {
    document["ceilings"] = {{"flops_per_second", report.ceilings.flops},
                            {"bytes_per_second", report.ceilings.memory_bandwidth}};
  }
  document["cases"] = std::move(rows);
  if (!report.layers.empty()) document["layers"] = layers_json(report);
  return document;
}

base::Json cluster_json(const BenchReport& report) {
  const kernels::Ceilings& c = report.ceilings;
  if (c.flops <= 0.0) {
    throw base::Error(fmt::format("the {} backend measures no peaks", report.backend), "--cluster-out",
                      "write the data sheet's into a cluster file; configs/clusters/h800.json is one");
  }
  const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
  const std::string by = fmt::format("measured by hourglass bench on {}, {}", report.device.name, report.date);
  const std::string alone = "no other device: as the memory copies";
  const double copies = rounded(c.memory_bandwidth / base::giga);
  return {{"name", "this-cpu"},
          {"gpu", report.device.name},
          {"sms", report.device.processors},
          {"bf16_TFLOPS", rounded(c.flops / base::tera)},
          {"memory_GiB", rounded(c.memory_bytes / base::gibi)},
          {"memory_GBps", copies},
          {"gpus_per_node", 1},
          {"nvlink_GBps", copies},
          {"nic_GBps", copies},
          {"gpus", 1},
          {"price_USD_per_gpu_hour", 0.0},
          {"profile", "cpu"},
          {"sources",
           {{"sms", "threads used"},
            {"bf16_TFLOPS", by + ": FP32 multiply-adds in registers on all threads (the kernels compute in FP32)"},
            {"memory_GiB", "as the operating system reports it"},
            {"memory_GBps", by + ": a copy of 128 MiB, read and written together"},
            {"gpus_per_node", "one CPU"},
            {"nvlink_GBps", alone},
            {"nic_GBps", alone},
            {"gpus", "one CPU"},
            {"price_USD_per_gpu_hour", "not rented"}}}};
}

}  // namespace hourglass::reports
