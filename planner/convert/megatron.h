#pragma once

#include <string>
#include <vector>

#include "base/json.h"

// Megatron-LM's command lines as plans.
namespace hourglass::planner {

struct MegatronOptions {
  std::string file;       // named in errors
  std::string cluster;    // path, as the plan shall name it
  std::string model;      // path of a config.json; "": one is made from the flags
  std::int64_t gpus = 0;  // 0: from the launcher's flags
};

struct MegatronImport {
  base::Json plan;   // as sim::load_inputs reads it; "model" is left out where `model` was made from the flags
  base::Json model;  // a config.json, or null
  std::vector<std::string> assumed;  // what the flags left open, and what they ask that is not modelled
  std::vector<std::string> ignored;  // flags without effect on time or memory here
  std::vector<std::string> unknown;  // flags that are not known
};

// From a launch script or a bare command line: flags anywhere in the text, with the shell's quotes, comments, line ends,
// and variables that are set in it. Throws base::Error if sizes are missing or do not fit together.
MegatronImport import_megatron(const std::string& text, const MegatronOptions& options);

// Layers of each stage in a --pipeline-model-parallel-layout ("E|(t|)*3,m|m||L"). Throws base::Error.
std::vector<std::int64_t> parse_layout(const std::string& layout, const std::string& where);

}  // namespace hourglass::planner
