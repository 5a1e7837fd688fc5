#pragma once

#include <cstdint>

namespace hourglass::model {

// What is sent (model) and what was measured being sent (hardware) both rest on it.
//
// Which experts a token uses: top_k of `experts`, which form `groups` equal groups of which the token uses at most
// `groups_per_token` (node-limited routing, DeepSeek-V3 report, section 2.1.2).
struct Routing {
  std::int64_t experts = 0, top_k = 0, groups = 1, groups_per_token = 1;
};

// Expected number of distinct parts a token is sent to when the experts are placed in order over `parts` equal parts
// (GPUs or nodes) and routing is uniform. `parts` divides `experts`.
double expected_parts(const Routing& routing, std::int64_t parts);

}  // namespace hourglass::model
