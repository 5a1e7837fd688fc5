// Where a plug-in is looked for: in the folder that HOURGLASS_PLUGINS names, else beside the program (a build folder),
// else in ../lib/hourglass (installed). It stays loaded: its classes live as long as the program.
#include "kernels/bench/bench_backends.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/version.h"

namespace hourglass::kernels {

namespace {

std::vector<std::filesystem::path> plugin_folders() {
  if (const char* chosen = std::getenv("HOURGLASS_PLUGINS")) return {chosen};
  std::error_code error;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  return {here, here.parent_path() / "lib" / "hourglass"};
}

std::filesystem::path find_plugin(const std::string& backend) {
  for (const std::filesystem::path& folder : plugin_folders()) {
    const std::filesystem::path file = folder / ("hourglass_" + backend + ".so");
    std::error_code error;
    if (std::filesystem::exists(file, error)) return file;
  }
  const bool cuda = backend == "cuda";
  throw base::Error(fmt::format("this build has no {} backend", cuda ? "CUDA" : "NCCL"), "--backend " + backend,
                    fmt::format("build the target hourglass_{} where {} is installed, as scripts/run does", backend,
                                cuda ? "nvcc" : "NCCL"));
}

BackendPlugin load_plugin(const std::string& backend) {
  const std::filesystem::path file = find_plugin(backend);
  const std::string again = fmt::format("build the target hourglass_{} again", backend);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* offers = library == nullptr ? nullptr : dlsym(library, "hourglass_backend");
  if (offers == nullptr) {
    const char* why = dlerror();
    throw base::Error(fmt::format("cannot be loaded: {}", base::printable(why == nullptr ? "" : why)), file.string(),
                      again);
  }
  BackendPlugin plugin;
  reinterpret_cast<void (*)(BackendPlugin&)>(offers)(plugin);
  if (plugin.version != base::version() || plugin.commit != base::git_commit())
    throw base::Error(fmt::format("is of version {} ({}), the program of {} ({})", plugin.version, plugin.commit,
                                  base::version(), base::git_commit()),
                      file.string(), again);
  return plugin;
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
  if (name == "cpu") return make_cpu_backend(options);
  if (name == "cuda" || name == "nccl") return load_plugin(name).make(options);
  throw base::UsageError(fmt::format("unknown backend '{}'", base::printable(name)), "--backend",
                         base::suggestion(name, {"cpu", "cuda", "nccl"}));
}

}  // namespace hourglass::kernels
