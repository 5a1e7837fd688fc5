#include "base/provenance.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/version.h"

namespace hourglass::base {

Json provenance_json(const Provenance& provenance) {
  Json inputs = Json::array();
  for (const Provenance::Input& input : provenance.inputs) {
    inputs.push_back({{"path", utf8(input.path)}, {"fnv1a", fmt::format("{:016x}", input.hash)}});
  }
  Json argv = Json::array();
  for (const std::string& word : provenance.argv) argv.push_back(utf8(word));
  return {{"argv", argv},     {"version", version()},          {"git_commit", git_commit()}, {"git_dirty", git_dirty()},
          {"inputs", inputs}, {"profile", provenance.profile}, {"seed", provenance.seed}};
}

}  // namespace hourglass::base
