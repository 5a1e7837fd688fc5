#include "hardware/measure/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/kineto.h"
#include "planner/convert/megatron.h"
#include "reports/tabular.h"

namespace hourglass::cli {

namespace {

std::string read_log(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw base::Error("cannot be opened", path, "check the path");
  std::string text;
  for (char buffer[1 << 16]; stream.read(buffer, sizeof buffer) || stream.gcount() > 0;) {
    text.append(buffer, static_cast<std::size_t>(stream.gcount()));
    if (text.size() > hardware::largest_log_bytes) throw base::Error("is larger than 64 MiB", path, "cut it");
  }
  if (text.empty()) throw base::Error("is empty or a folder", path, "name a log");
  return text;
}

// A trace tells where a step's time went; its kernels carry no shapes, so it gives a summary instead of samples.
int import_trace(const Values& values, const std::string& path, const base::Provenance& provenance) {
  const std::string format = format_of(values, result_formats());
  const hardware::Trace trace = hardware::load_trace(path, kernel_table(values));
  const hardware::TraceSummary summary = hardware::trace_summary(trace);
  write_result(format, {[&] { return hardware::trace_text(trace, summary); },
                        [&] { return hardware::trace_json(trace, summary, provenance); },
                        {"classes", "phases"}});
  return 0;
}

// How a file names another: what ships by its name, else relative to its own folder.
std::string seen_from(const std::string& file, base::Config kind, const std::string& other) {
  if (const std::string name = base::name_or_path(kind, other); file.empty() || !base::is_path(name)) return name;
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  return std::filesystem::absolute(other).lexically_normal().lexically_relative(folder.lexically_normal()).string();
}

void tell(const char* what, const std::vector<std::string>& items) {
  if (items.empty()) return;
  std::string all;
  for (const std::string& item : items) all += (all.empty() ? "" : ", ") + item;
  fmt::print(stderr, "{}: {}\n", what, all);
}

// A launch script, or the flags themselves.
int import_plan(const Values& values, const std::string& source) {
  const bool is_text = source.find("--") != std::string::npos && !std::filesystem::exists(source);
  format_of(values, {"json"});
  planner::MegatronOptions options;
  options.file = is_text ? "flags" : source;
  const std::string cluster =
      base::resolve(base::Config::cluster, values.has("cluster") ? values.text("cluster") : "h100");
  const std::string model = values.has("model") ? base::resolve(base::Config::model, values.text("model")) : "";
  const std::string output = values.has("output") ? values.text("output") : "";
  base::load_json(cluster);  // the plan shall not name what is not there
  options.cluster = seen_from(output, base::Config::cluster, cluster);
  if (!model.empty()) options.model = seen_from(output, base::Config::model, model);
  if (values.has("gpus")) options.gpus = values.get<std::int64_t>("gpus");
  planner::MegatronImport imported = planner::import_megatron(is_text ? source : read_log(source), options);
  if (output.empty()) {
    base::Json both = {{"plan", imported.plan}};
    if (!imported.model.is_null()) both["model"] = imported.model;
    write_out(both.dump(2) + "\n");
  } else {
    if (!imported.model.is_null()) {
      const std::string model_file =
          (output.ends_with(".json") ? output.substr(0, output.size() - 5) : output) + ".model.json";
      write_file(model_file, imported.model.dump(2) + "\n");
      imported.plan["model"] = std::filesystem::path(model_file).filename().string();
    }
    write_file(output, imported.plan.dump(2) + "\n");
  }
  tell("assumed", imported.assumed);
  tell("without effect", imported.ignored);
  tell("unknown", imported.unknown);
  return 0;
}

// An option that this format does not look at is a mistake, not a wish.
void refuse_idle_options(const Values& values, const std::string& format) {
  std::vector<const char*> idle = {"kernels", "cluster", "model", "gpus"};
  if (format == "kineto") {
    idle = {"device",         "source", "op",     "dtype",   "map",   "ranks",
            "ranks-per-node", "tokens", "output", "cluster", "model", "gpus"};
  }
  if (format == "megatron") {
    idle = {"device", "source", "op", "dtype", "map", "ranks", "ranks-per-node", "tokens", "kernels"};
  }
  for (const char* name : idle) {
    if (!values.has(name)) continue;
    throw base::UsageError(fmt::format("means nothing for {}", format), std::string("--") + name, "leave it out");
  }
}

// Flags in one argument, "--num-layers 32 ...", are the FILE and not an option of ours.
Invocation with_flags_as_file(Invocation invocation) {
  for (std::string& argument : invocation.arguments) {
    const std::size_t space = argument.find(' ');
    if (argument.starts_with("--") && space != std::string::npos && argument.find('=') > space)
      argument.insert(argument.begin(), ' ');
  }
  return invocation;
}

}  // namespace

hardware::KernelTable kernel_table(const Values& values) {
  hardware::KernelTable table = hardware::load_kernel_table(base::shipped("kineto/kernels.json"));
  if (values.has("kernels")) table = hardware::load_kernel_table(values.text("kernels"), table);
  return table;
}

int import_measurements(const Invocation& invocation) {
  hardware::ImportOptions import;
  Options options;
  options.text("output,o", "FILE", "write the samples there (default stdout)");
  options.fill("device", "NAME", "the GPU measured, as clusters name it: \"H800 SXM5\"", import.device);
  options.fill("source", "TEXT", "where the log comes from, for the citation", import.source);
  options.fill("op", "OP", "nvbench, csv: the operator; nccl-tests: the collective, if the log does not say",
               import.op);
  options.fill("dtype", "DTYPE", "e4m3, e5m2, bf16 or fp32, if the log does not say", import.dtype);
  options.fill("ranks", "N", "GPUs of a collective, if the log does not say", import.ranks);
  options.fill("ranks-per-node", "N", "of them on each node", import.ranks_per_node);
  options.fill("tokens", "N", "deepep: tokens a rank", import.tokens);
  options.text("map", "LIST", "nvbench, csv: m=M,n=N,k=K,us=latency_us");
  options.text("kernels", "FILE", "kineto: your own mapping of kernel names to classes, tried before the shipped one");
  options.text("cluster", "CLUSTER", "megatron: the plan's cluster, a name (default h100) or a file");
  options.text("model", "MODEL", "megatron: a name or a config.json, in place of the model in the flags");
  options.number<std::int64_t>("gpus", "N", "megatron: GPUs, if the launcher's flags do not say");
  add_format(options,
             "kineto: text (default), json, csv, jsonl or markdown; samples: json (default), csv, jsonl or markdown");
  Values values;
  const Usage usage = {
      "hourglass import FORMAT FILE [options]   (nccl-tests, deepep, deepgemm, nvbench, csv, kineto, megatron)\n"
      "       hourglass import megatron SCRIPT|'FLAGS' [options]",
      "Reads a benchmark's log into samples for calibrate and validate, or Megatron-LM's flags (a launch script's, or "
      "in one argument) into a plan; what it cannot use is counted and shown.",
      {"log-format", "file"}};
  if (!parse(with_flags_as_file(invocation), usage, options, values)) return 0;
  const std::string format = required(values, "log-format", "the FORMAT of the log");
  std::vector<std::string> formats = hardware::import_formats();
  formats.emplace_back("kineto");
  formats.emplace_back("megatron");
  place_among(formats, format, "format", "hourglass import");
  refuse_idle_options(values, format);
  import.file = required(values, "file", "the FILE");
  if (values.has("map")) import.columns = hardware::parse_column_map(values.text("map"));
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  if (format == "kineto") return import_trace(values, import.file, provenance);
  if (format == "megatron") return import_plan(values, import.file);
  const std::string table = format_of(values, {"json", "csv", "jsonl", "markdown"});
  if (values.has("format") && values.has("output"))
    throw base::UsageError("samples are written as json", "--format", "leave out one of --format and --output");
  const hardware::Imported imported = hardware::import_log(format, read_log(import.file), import);
  base::Json samples = hardware::samples_json(imported.set);
  const std::string text = samples.dump(1) + "\n";
  if (values.has("output"))
    write_file(values.text("output"), text);
  else if (table == "json")
    write_out(text);
  else {
    samples["provenance"] = base::provenance_json(provenance);
    write_out(reports::formatted(samples, reports::tables_of(samples, {"samples"}), table));
  }
  fmt::print(stderr, "{}\n", hardware::import_report(imported));
  return 0;
}

}  // namespace hourglass::cli
