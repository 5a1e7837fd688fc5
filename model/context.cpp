#include "model/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace hourglass::model {

namespace {

struct RecomputeChoice {
  const char* name;
  bool Recompute::*value;
};
constexpr RecomputeChoice recompute_choices[] = {
    {"norm", &Recompute::norm},       {"mla_up_proj", &Recompute::mla_up_proj}, {"swiglu", &Recompute::swiglu},
    {"moe_act", &Recompute::moe_act}, {"core_attn", &Recompute::core_attn},     {"full", &Recompute::full}};

}  // namespace

Recompute read_recompute(const std::vector<std::string>& names, const std::string& where) {
  Recompute recompute;
  std::vector<std::string> known = {"none"};
  for (const RecomputeChoice& choice : recompute_choices) known.emplace_back(choice.name);
  for (const std::string& name : names) {
    bool found = name == "none";
    for (const RecomputeChoice& choice : recompute_choices) {
      if (choice.name != name) continue;
      recompute.*choice.value = found = true;
    }
    if (!found)
      throw base::Error(fmt::format("unknown recompute choice '{}'", base::printable(name)), where,
                        base::suggestion(name, known));
    if (name == "none" && names.size() > 1)
      throw base::Error("'none' stands beside other choices", where, "remove one or the other");
  }
  return recompute;
}

std::vector<std::string> recompute_names(const Recompute& recompute) {
  std::vector<std::string> names;
  for (const RecomputeChoice& choice : recompute_choices) {
    if (recompute.*choice.value) names.emplace_back(choice.name);
  }
  return names;
}

const std::vector<std::string>& precision_names() {
  static const std::vector<std::string> names = {"bf16", "fp8_block", "fp8_tensor"};
  return names;
}

std::int64_t local_tokens(const LayerContext& context) {
  return context.micro_batch.sequences *
         std::max<std::int64_t>(1, context.micro_batch.sequence_length / context.parallel.context);
}

}  // namespace hourglass::model
