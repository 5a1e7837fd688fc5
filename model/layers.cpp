// A layer assembled from its halves, and the ends of the model. Backward runs the parts in the opposite order; what is
// recomputed is part of the input-gradient pass. Full recomputation repeats the whole forward, all-to-all included, at
// the start of the backward pass (Megatron-Core's --recompute-granularity full).
#include "model/layers.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/linear.h"

namespace hourglass::model {

namespace {

double hidden_bytes(const Shapes& s) { return static_cast<double>(s.tokens) * static_cast<double>(s.hidden) * 2.0; }

void append(Operators& to, const Operators& from) { to.insert(to.end(), from.begin(), from.end()); }

LayerPass forward_layer(const LayerContext& context, LayerKind kind) {
  LayerPass pass;
  add_attention_forward(pass[attention], context, kind);
  add_mlp_forward(pass, context, kind);
  return pass;
}

}  // namespace

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

LayerPass layer_operators(const LayerContext& context, LayerKind kind, Pass pass) {
  if (pass == Pass::forward) return forward_layer(context, kind);
  LayerPass operators;
  if (pass == Pass::backward_weight) {
    add_mlp_backward_weight(operators, context, kind);
    add_attention_backward_weight(operators[attention], context, kind);
    return operators;
  }
  if (context.recompute.full) {
    const LayerPass forward = forward_layer(context, kind);
    for (const Part part : {attention, dispatch, mlp, combine}) append(operators[combine], forward[part]);
  }
  add_mlp_backward_input(operators, context, kind);
  add_attention_backward_input(operators[attention], context, kind);
  return operators;
}

std::vector<Operator> embedding_operators(const LayerContext& context, Pass pass) {
  const Shapes s(context);
  // The vocabulary is split over the tensor group: each GPU looks up its part, the sum is scattered over the sequence.
  Operators list;
  if (pass == Pass::forward) {
    list.push_back({"embedding", Embedding{s.tokens, context.model->vocabulary, s.hidden, false}});
    if (s.tensor > 1) list.push_back({"tensor_parallel", ReduceScatter{hidden_bytes(s), Group::tensor, s.tensor}});
  }
  if (pass == Pass::backward_weight) {
    if (s.tensor > 1) list.push_back({"tensor_parallel", AllGather{hidden_bytes(s), Group::tensor, s.tensor}});
    list.push_back({"embedding", Embedding{s.tokens, context.model->vocabulary, s.hidden, true}});
  }
  return list;
}

// Head, embedding and norms stay in BF16 (DeepSeek-V3 report, section 3.3.1).
std::vector<Operator> head_operators(const LayerContext& context, Pass pass) {
  const Shapes s(context);
  const Linear head = head_linear(context);
  Operators list;
  switch (pass) {
    case Pass::forward:
      list.push_back({"final_norm", Norm{s.shard, s.hidden, false}});
      if (s.tensor > 1) list.push_back({"tensor_parallel", AllGather{hidden_bytes(s), Group::tensor, s.tensor}});
      add_forward(list, head, Precision::bf16);
      list.push_back({"loss", Loss{s.tokens, head.out, false}});
      // Maximum and sum of the exponentials over the split vocabulary.
      if (s.tensor > 1)
        list.push_back({"loss", AllReduce{static_cast<double>(s.tokens) * 8.0, Group::tensor, s.tensor}});
      break;
    case Pass::backward_input:
      list.push_back({"loss", Loss{s.tokens, head.out, true}});
      add_backward_input(list, head, Precision::bf16);
      if (s.tensor > 1) list.push_back({"tensor_parallel", ReduceScatter{hidden_bytes(s), Group::tensor, s.tensor}});
      list.push_back({"final_norm", Norm{s.shard, s.hidden, true}});
      break;
    case Pass::backward_weight:
      add_backward_weight(list, head, Precision::bf16);
      break;
  }
  return list;
}

std::vector<Operator> mtp_projection_operators(const LayerContext& context, Pass pass) {
  const Shapes s(context);
  const Linear projection = mtp_linear(context);
  Operators list;
  const auto norms = [&](bool backward) {
    list.push_back({"mtp_hidden_norm", Norm{s.shard, s.hidden, backward}});
    list.push_back({"mtp_embedding_norm", Norm{s.shard, s.hidden, backward}});
  };
  switch (pass) {
    case Pass::forward:
      norms(false);
      if (s.tensor > 1) list.push_back({"tensor_parallel", AllGather{2.0 * hidden_bytes(s), Group::tensor, s.tensor}});
      add_forward(list, projection, s.precision);
      break;
    case Pass::backward_input:
      add_backward_input(list, projection, s.precision);
      if (s.tensor > 1)
        list.push_back({"tensor_parallel", ReduceScatter{2.0 * hidden_bytes(s), Group::tensor, s.tensor}});
      norms(true);
      break;
    case Pass::backward_weight:
      add_backward_weight(list, projection, s.precision);
      break;
  }
  return list;
}

double boundary_bytes(const LayerContext& context) {
  const Shapes s(context);
  return static_cast<double>(s.shard) * static_cast<double>(s.hidden) * 2.0;
}

std::int64_t local_tokens(const LayerContext& context) { return Shapes(context).tokens; }

}  // namespace hourglass::model
