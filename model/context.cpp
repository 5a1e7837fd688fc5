#include "model/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace hourglass::model {

Recompute read_recompute(const std::vector<std::string>& names, const std::string& where) {
  Recompute recompute;
  const std::vector<std::pair<std::string, bool*>> choices = {
      {"norm", &recompute.norm},       {"mla_up_proj", &recompute.mla_up_proj}, {"swiglu", &recompute.swiglu},
      {"moe_act", &recompute.moe_act}, {"core_attn", &recompute.core_attn},     {"full", &recompute.full}};
  std::vector<std::string> known = {"none"};
  for (const auto& [name, value] : choices) known.push_back(name);
  for (const std::string& name : names) {
    bool found = name == "none";
    for (const auto& [choice, value] : choices) {
      if (choice != name) continue;
      *value = found = true;
    }
    if (!found)
      throw base::Error(fmt::format("unknown recompute choice '{}'", base::printable(name)), where,
                        base::suggestion(name, known));
    if (name == "none" && names.size() > 1)
      throw base::Error("'none' stands beside other choices", where, "remove one or the other");
  }
  return recompute;
}

std::int64_t local_tokens(const LayerContext& context) {
  return context.micro_batch.sequences *
         std::max<std::int64_t>(1, context.micro_batch.sequence_length / context.parallel.context);
}

}  // namespace hourglass::model
