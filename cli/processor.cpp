// A package is made for any x86-64 processor, but kernels want AVX2 or AVX-512 (HOURGLASS_NATIVE=OFF). One program cannot
// hold the same code compiled for several processors: the linker keeps one copy of every inline function, and it may
// keep one that the processor does not know. So there are three programs that differ in their kernels alone, `hourglass`
// and lib/hourglass/hourglass-x86-64-v3 and -v4, and the first goes on as the best of them. A copy of the first alone
// works, more slowly. HOURGLASS_CPU=baseline, v3 or v4 chooses, for tests.
#include "cli/processor.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/configs.h"
#include "base/error.h"

namespace hourglass::cli {

namespace {

namespace fs = std::filesystem;

const std::string companion = "hourglass-x86-64-";

// The levels that this processor knows, the best first (x86-64 psABI).
std::vector<std::string> levels() {
  std::vector<std::string> known;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4") != 0) known.emplace_back("v4");
  if (__builtin_cpu_supports("x86-64-v3") != 0) known.emplace_back("v3");
#endif
  known.emplace_back("baseline");
  return known;
}

// The levels to try. Throws base::UsageError for one that there is not, or that this processor does not know.
std::vector<std::string> wanted() {
  const char* const chosen = std::getenv("HOURGLASS_CPU");
  const std::vector<std::string> known = levels();
  if (chosen == nullptr || *chosen == '\0') return known;
  const std::string where = "HOURGLASS_CPU=" + base::printable(chosen);
  const std::vector<std::string> all = {"baseline", "v3", "v4"};
  if (std::find(all.begin(), all.end(), chosen) == all.end())
    throw base::UsageError("is no level", where, base::suggestion(chosen, all));
  if (std::find(known.begin(), known.end(), chosen) == known.end())
    throw base::UsageError("this processor has no such instructions", where, "choose " + known.front());
  return {chosen};
}

// The commands that run kernels; for the others it does not matter.
bool computes(const char* command) {
  const std::string_view name = command == nullptr ? "" : command;
  return name == "bench" || name == "run" || name == "numerics";
}

}  // namespace

void run_for_processor(char** argv) {
  if (argv[0] == nullptr || !computes(argv[1])) return;
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored);
  if (here.empty() || here.filename().string().starts_with(companion)) return;
  const std::vector<std::string> tried = wanted();
  for (const std::string& level : tried) {
    if (level == "baseline") return;
    for (const char* folder : {"../lib/hourglass", "."}) {
      const fs::path program = here.parent_path() / folder / (companion + level);
      if (access(program.c_str(), X_OK) == 0) execv(program.c_str(), argv);
    }
  }
  throw base::UsageError("there is no " + companion + tried.back() + " beside this program", "HOURGLASS_CPU",
                         "install the package, or unset it");
}

}  // namespace hourglass::cli
