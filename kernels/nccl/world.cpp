#include "kernels/nccl/world.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/error.h"

namespace hourglass::kernels::nccl {

namespace {

struct Launcher {
  const char *rank, *size, *local_rank, *local_size, *job;
};
// Slurm sets those of a step only under srun, so a batch script that calls a program without it is alone.
// A missing local_size means one node.
constexpr Launcher launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
     "PMIX_NAMESPACE"},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_JOBID"},
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_ID"}};

int number(const std::string& text, const char* name) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw base::Error(fmt::format("'{}' is no rank or number of ranks", base::printable(text)), name,
                      "start the processes with mpirun, srun or torchrun");
  return value;
}

// Slurm writes "8(x2)" for 8 on each of 2 nodes, and "8,4" for unequal ones, which number() refuses.
std::string without_repetition(std::string text) {
  const std::size_t bracket = text.find("(x");
  if (bracket != std::string::npos && text.ends_with(")") && text.find(',') == std::string::npos) text.resize(bracket);
  return text;
}

int number_or(const Environment& environment, const char* name, int otherwise) {
  const std::optional<std::string> text = environment(name);
  return text ? number(without_repetition(*text), name) : otherwise;
}

}  // namespace

World world_of(const Environment& environment) {
  for (const Launcher& launcher : launchers) {
    const std::optional<std::string> rank = environment(launcher.rank), size = environment(launcher.size);
    if (!rank || !size) continue;
    World w;
    w.rank = number(*rank, launcher.rank), w.size = number(*size, launcher.size);
    w.ranks_per_node = number_or(environment, launcher.local_size, w.size);
    w.local_rank = number_or(environment, launcher.local_rank, w.ranks_per_node > 0 ? w.rank % w.ranks_per_node : 0);
    w.job = environment(launcher.job).value_or("");
    if (launcher.job == std::string_view("SLURM_JOB_ID")) w.job += "." + environment("SLURM_STEP_ID").value_or("0");
    if (w.rank >= w.size || w.ranks_per_node < 1 || w.size % w.ranks_per_node != 0 ||
        w.rank % w.ranks_per_node != w.local_rank) {
      throw base::Error(
          fmt::format("rank {} of {} is number {} of {} on its node", w.rank, w.size, w.local_rank, w.ranks_per_node),
          launcher.rank,
          "place the same number of ranks on every node, node after node (mpirun --map-by slot, srun "
          "--distribution=block)");
    }
    return w;
  }
  return {};
}

World world_of_process() {
  return world_of([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  });
}

Rendezvous::Rendezvous(const World& world, const std::string& path) : rank_(world.rank), path_(path) {
  if (!path_.empty() || world.size == 1) return;
  if (world.job.empty())
    throw base::Error(
        "the launcher does not name the job, so the processes cannot tell their meeting place from an old one",
        "rendezvous", "set PMIX_NAMESPACE, SLURM_JOB_ID or TORCHELASTIC_RUN_ID");
  const char* folder = std::getenv("HOURGLASS_RENDEZVOUS");
  std::string job = world.job;
  for (char& c : job) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '-';
  }
  path_ = (std::filesystem::path(folder != nullptr ? folder : ".") / ("hourglass-rendezvous-" + job)).string();
}

std::string Rendezvous::share(const std::string& message, double seconds) const {
  if (path_.empty()) return message;
  if (rank_ == 0) {
    if (std::filesystem::exists(path_))
      throw base::Error("is there already, left by a run that failed", path_, "remove it");
    const std::string temporary = fmt::format("{}.{}", path_, getpid());
    std::ofstream file(temporary, std::ios::binary);
    file.write(message.data(), static_cast<std::streamsize>(message.size()));
    file.close();
    if (!file)
      throw base::Error("cannot be written", temporary, "name a folder that all processes see in HOURGLASS_RENDEZVOUS");
    std::filesystem::rename(temporary, path_);
    return message;
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (;;) {
    std::ifstream file(path_, std::ios::binary);
    if (file) return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (std::chrono::steady_clock::now() > deadline)
      throw base::Error(fmt::format("rank 0 wrote nothing in {:.0f} s", seconds), path_,
                        "name a folder that all processes see in HOURGLASS_RENDEZVOUS");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Rendezvous::forget() const {
  std::error_code ignored;  // somebody may have tidied up already
  if (rank_ == 0 && !path_.empty()) std::filesystem::remove(path_, ignored);
}

}  // namespace hourglass::kernels::nccl
