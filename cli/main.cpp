#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "base/error.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/processor.h"

namespace {

using namespace hourglass;

constexpr cli::Command command_table[] = {
    {"plan", cli::plan, "GPU-hour budget of a whole training run: stages, days, cost, memory fit, with a range"},
    {"simulate", cli::simulate, "one training step: where each rank's time and memory go"},
    {"compare", cli::compare, "pipeline schedules side by side, on a plan or on abstract costs"},
    {"search", cli::search, "every legal parallel layout of a plan: the fastest that fits, and why not its neighbours"},
    {"sensitivity", cli::sensitivity,
     "what links, chips and balance are worth: each moved by 10 %, largest effect first"},
    {"schedule", cli::schedule, "print a pipeline schedule, or check a foreign one"},
    {"run", cli::run, "execute a schedule for real on a small model, and compare it with its prediction"},
    {"model", cli::model, "parameters, FLOPs and KV cache of a model"},
    {"collective", cli::collective,
     "one collective or MoE all-to-all on the cluster: time, bandwidth, the limiting link"},
    {"topology", cli::topology, "the cluster's network: switches, links, cost, or a drawing"},
    {"validate", cli::validate, "recompute what was published and measured: reported, predicted, error"},
    {"import", cli::import_measurements,
     "read a benchmark's log (nccl-tests, DeepEP, DeepGEMM, nvbench, csv) or a PyTorch trace"},
    {"diff", cli::diff, "two traces, simulated or measured, or two results, side by side in numbers"},
    {"calibrate", cli::calibrate, "fit a profile to measured kernels, with its error on kernels it did not see"},
    {"bench", cli::bench, "measure this machine's kernels into samples: CPU, CUDA or NCCL"},
    {"numerics", cli::numerics, "what FP8 costs and gains: accumulation, promotion, scales, formats, throughput"},
    {"man", cli::man, "this program's manual page: hourglass man | man -l -"},
    {"completion", cli::completion, "for bash and zsh: source <(hourglass completion bash)"},
};

}  // namespace

std::span<const cli::Command> cli::commands() { return command_table; }

namespace {

std::string help() {
  std::string text =
      "Hourglass counts the GPU-hours of a training run before the GPUs are bought.\n\nusage: hourglass COMMAND "
      "[options]\n\n";
  for (const cli::Command& command : command_table) text += fmt::format("  {:<11} {}\n", command.name, command.summary);
  text += "\nPLAN, MODEL, CLUSTER and PROFILE are names of what ships (deepseek-v3, h800) or paths of files.\n";
  return text +
         "'hourglass COMMAND --help' tells more; start with: hourglass plan deepseek-v3\n"
         "'hourglass help plan.recompute' tells what a key of an input or a result means\n";
}

int run(const std::vector<std::string>& argv) {
  if (argv.size() < 2) throw base::UsageError("a command is missing", "hourglass", "see hourglass --help");
  const std::string& name = argv[1];
  if (name == "help" && argv.size() > 2) return cli::help({argv, {argv.begin() + 2, argv.end()}});
  if (name == "--help" || name == "-h" || name == "help") {
    cli::write_out(help());
    return 0;
  }
  if (name == "--version") {
    cli::write_out("hourglass " + base::version() + "\n");
    return 0;
  }
  std::vector<std::string> names;
  for (const cli::Command& command : command_table) {
    if (name == command.name) return command.run({argv, {argv.begin() + 2, argv.end()}});
    names.push_back(command.name);
  }
  throw base::UsageError(fmt::format("unknown command '{}'", base::printable(name)), "hourglass",
                         base::suggestion(name, names));
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // whoever started us: when the reader of a pipe has enough, that is the end
  try {
    cli::run_for_processor(argv);
    return run({argv, argv + argc});
  } catch (const base::UsageError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const base::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory; use a smaller plan\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {} (this is a fault of Hourglass: please report it with the command line)\n",
               error.what());
  }
  return 1;
}
