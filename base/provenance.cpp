#include "base/provenance.h"

#include <fmt/format.h>

#include "base/build_info.h"  // written by CMake: HOURGLASS_VERSION, HOURGLASS_GIT_COMMIT, HOURGLASS_GIT_DIRTY
#include "base/error.h"
#include "base/json.h"

namespace hourglass::base {

std::string version() { return build_version; }
std::string git_commit() { return build_git_commit; }

Json provenance_json(const Provenance& provenance) {
  Json inputs = Json::array();
  for (const Provenance::Input& input : provenance.inputs) {
    inputs.push_back({{"path", utf8(input.path)}, {"fnv1a", fmt::format("{:016x}", input.hash)}});
  }
  Json argv = Json::array();
  for (const std::string& word : provenance.argv) argv.push_back(utf8(word));
  return {{"argv", argv},
          {"version", build_version},
          {"git_commit", build_git_commit},
          {"git_dirty", build_git_dirty},
          {"inputs", inputs},
          {"profile", provenance.profile},
          {"seed", provenance.seed}};
}

}  // namespace hourglass::base
