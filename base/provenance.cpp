#include "base/provenance.h"

#include <fmt/format.h>

#include "base/build_info.h"  // written by CMake: HOURGLASS_VERSION, HOURGLASS_GIT_COMMIT, HOURGLASS_GIT_DIRTY
#include "base/json.h"

namespace hourglass::base {

std::string version() { return build_version; }
std::string git_commit() { return build_git_commit; }

Json provenance_json(const Provenance& provenance) {
  Json inputs = Json::array();
  for (const Provenance::Input& input : provenance.inputs) {
    inputs.push_back({{"path", input.path}, {"fnv1a", fmt::format("{:016x}", input.hash)}});
  }
  return {{"argv", provenance.argv},      {"version", build_version}, {"git_commit", build_git_commit},
          {"git_dirty", build_git_dirty}, {"inputs", inputs},         {"profile", provenance.profile},
          {"seed", provenance.seed}};
}

}  // namespace hourglass::base
