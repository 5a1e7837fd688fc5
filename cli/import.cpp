#include "hardware/measure/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "hardware/measure/kineto.h"
#include "planner/convert/megatron.h"
#include "reports/tabular.h"

namespace hourglass::cli {

namespace po = boost::program_options;

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
int import_trace(const po::variables_map& values, const std::string& path, const base::Provenance& provenance) {
  const std::string format = format_of(values, result_formats());
  const hardware::Trace trace = hardware::load_trace(path, kernel_table(values));
  const hardware::TraceSummary summary = hardware::trace_summary(trace);
  write_result(format, {[&] { return hardware::trace_text(trace, summary); },
                        [&] { return hardware::trace_json(trace, summary, provenance); },
                        {"classes", "phases"}});
  return 0;
}

// A name is one of ours: configs/clusters/NAME.json here, or beside the source.
std::string cluster_path(const std::string& name) {
  if (name.ends_with(".json")) return name;
  return shipped("configs/clusters/" + name + ".json");
}

// How a file names another: relative to its own folder.
std::string seen_from(const std::string& file, const std::string& other) {
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
int import_plan(const po::variables_map& values, const std::string& source) {
  const bool is_text = source.find("--") != std::string::npos && !std::filesystem::exists(source);
  format_of(values, {"json"});
  planner::MegatronOptions options;
  options.file = is_text ? "flags" : source;
  const std::string cluster = cluster_path(values.count("cluster") > 0 ? values["cluster"].as<std::string>() : "h100");
  const std::string model = values.count("model") > 0 ? values["model"].as<std::string>() : "";
  const std::string output = values.count("output") > 0 ? values["output"].as<std::string>() : "";
  if (!std::filesystem::exists(cluster)) throw base::Error("cannot be opened", cluster, "name a cluster file");
  options.cluster = output.empty() ? cluster : seen_from(output, cluster);
  options.model = output.empty() || model.empty() ? model : seen_from(output, model);
  if (values.count("gpus") > 0) options.gpus = values["gpus"].as<std::int64_t>();
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
void refuse_idle_options(const po::variables_map& values, const std::string& format) {
  std::vector<const char*> idle = {"kernels", "cluster", "model", "gpus"};
  if (format == "kineto") {
    idle = {"device",         "source", "op",     "dtype",   "map",   "ranks",
            "ranks-per-node", "tokens", "output", "cluster", "model", "gpus"};
  }
  if (format == "megatron") {
    idle = {"device", "source", "op", "dtype", "map", "ranks", "ranks-per-node", "tokens", "kernels"};
  }
  for (const char* name : idle) {
    if (values.count(name) == 0) continue;
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

hardware::KernelTable kernel_table(const po::variables_map& values) {
  hardware::KernelTable table = hardware::load_kernel_table(shipped("configs/kineto/kernels.json"));
  if (values.count("kernels") > 0) table = hardware::load_kernel_table(values["kernels"].as<std::string>(), table);
  return table;
}

int import_measurements(const Invocation& invocation) {
  hardware::ImportOptions import;
  po::options_description options("options");
  options.add_options()("output,o", po::value<std::string>()->value_name("FILE"),
                        "write the samples there (default stdout)");
  options.add_options()("device", po::value(&import.device)->value_name("NAME"),
                        "the GPU measured, as clusters name it: \"H800 SXM5\"");
  options.add_options()("source", po::value(&import.source)->value_name("TEXT"),
                        "where the log comes from, for the citation");
  options.add_options()("op", po::value(&import.op)->value_name("OP"),
                        "nvbench, csv: the operator; nccl-tests: the collective, if the log does not say");
  options.add_options()("dtype", po::value(&import.dtype)->value_name("DTYPE"),
                        "e4m3, e5m2, bf16 or fp32, if the log does not say");
  options.add_options()("ranks", po::value(&import.ranks)->value_name("N"),
                        "GPUs of a collective, if the log does not say");
  options.add_options()("ranks-per-node", po::value(&import.ranks_per_node)->value_name("N"), "of them on each node");
  options.add_options()("tokens", po::value(&import.tokens)->value_name("N"), "deepep: tokens a rank");
  options.add_options()("map", po::value<std::string>()->value_name("LIST"), "nvbench, csv: m=M,n=N,k=K,us=latency_us");
  options.add_options()("kernels", po::value<std::string>()->value_name("FILE"),
                        "kineto: your own mapping of kernel names to classes, tried before the shipped one");
  options.add_options()("cluster", po::value<std::string>()->value_name("NAME"),
                        "megatron: the plan's cluster, h100 (default), h800, ... or a file");
  options.add_options()("model", po::value<std::string>()->value_name("FILE"),
                        "megatron: a config.json, in place of the model in the flags");
  options.add_options()("gpus", po::value<std::int64_t>()->value_name("N"),
                        "megatron: GPUs, if the launcher's flags do not say");
  add_format(options,
             "kineto: text (default), json, csv, jsonl or markdown; samples: json (default), csv, jsonl or markdown");
  po::variables_map values;
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
  if (values.count("map") > 0) import.columns = hardware::parse_column_map(values["map"].as<std::string>());
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  if (format == "kineto") return import_trace(values, import.file, provenance);
  if (format == "megatron") return import_plan(values, import.file);
  const std::string table = format_of(values, {"json", "csv", "jsonl", "markdown"});
  if (values.count("format") > 0 && values.count("output") > 0)
    throw base::UsageError("samples are written as json", "--format", "leave out one of --format and --output");
  const hardware::Imported imported = hardware::import_log(format, read_log(import.file), import);
  base::Json samples = hardware::samples_json(imported.set);
  const std::string text = samples.dump(1) + "\n";
  if (values.count("output") > 0)
    write_file(values["output"].as<std::string>(), text);
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
