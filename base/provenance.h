#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"

namespace hourglass::base {

// Where a result comes from: enough to repeat it. Written into every machine-readable output.
struct Provenance {
  std::vector<std::string> argv;
  struct Input {
    std::string path;
    std::uint64_t hash = 0;  // FNV-1a of the file's bytes
  };
  std::vector<Input> inputs;
  std::string profile;
  std::uint64_t seed = 0;
};

// {argv, version, git_commit, git_dirty, inputs, profile, seed}; version and commit are those of the build.
Json provenance_json(const Provenance& provenance);

}  // namespace hourglass::base
