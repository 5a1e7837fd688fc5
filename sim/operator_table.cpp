// The operators of a step one by one, priced as UnitPrices prices them, for the roofline and for telling where a cost
// comes from. Waits for slower peers, which UnitPrices adds to the all-to-all, belong to no operator and are not here.
#include "sim/operator_table.h"

#include <algorithm>

#include "sim/price.h"

namespace hourglass::sim {

namespace {

// The class of the profile that prices an operator: the same choice as in price.cpp and compute_cost.cpp.
struct ClassName {
  const Inputs& in;

  std::string gemm(const char* plain, model::Dtype dtype) const {
    const std::string name = plain;
    if (dtype != model::Dtype::e4m3 && dtype != model::Dtype::e5m2) return name + "_bf16";
    if (in.plan.precision == model::Precision::fp8_tensor) return "gemm_fp8_tensor";
    return name + "_fp8";
  }
  bool leaves_node(model::Group group, std::int64_t ranks) const {
    return group_shape(in, group, ranks).per_node < ranks;
  }
  std::string moe(std::int64_t ranks) const {
    return leaves_node(model::Group::expert, ranks) ? "moe_rdma" : "moe_nvlink";
  }
  template <class C>
  std::string collective(const C& c) const {
    return leaves_node(c.group, c.ranks) ? "rdma" : "nvlink";
  }

  std::string operator()(const model::Gemm& g) const { return gemm("gemm", g.input); }
  std::string operator()(const model::GroupedGemm& g) const { return gemm("grouped_gemm", g.input); }
  std::string operator()(const model::AttentionCore&) const { return "attention"; }
  std::string operator()(const model::Norm&) const { return "norm"; }
  std::string operator()(const model::Rotary&) const { return "rotary"; }
  std::string operator()(const model::Activation&) const { return "activation"; }
  std::string operator()(const model::Router&) const { return "router"; }
  std::string operator()(const model::Permute&) const { return "permute"; }
  std::string operator()(const model::Cast&) const { return "cast"; }
  std::string operator()(const model::Embedding&) const { return "elementwise"; }
  std::string operator()(const model::Loss&) const { return "elementwise"; }
  std::string operator()(const model::Residual&) const { return "elementwise"; }
  std::string operator()(const model::Optimizer&) const { return "optimizer"; }
  std::string operator()(const model::Dispatch& d) const { return moe(d.expert_parallel); }
  std::string operator()(const model::Combine& c) const { return moe(c.expert_parallel); }
  std::string operator()(const model::AllReduce& c) const { return collective(c); }
  std::string operator()(const model::AllGather& c) const { return collective(c); }
  std::string operator()(const model::ReduceScatter& c) const { return collective(c); }
  std::string operator()(const model::SendRecv&) const { return "rdma"; }
};

bool has_unit(const Inputs& inputs, UnitKind unit) {
  const auto& layers = inputs.model.layers;
  const auto any = [&](model::LayerKind kind) { return std::find(layers.begin(), layers.end(), kind) != layers.end(); };
  switch (unit) {
    case UnitKind::dense_layer:
      return any(model::LayerKind::dense);
    case UnitKind::moe_layer:
      return any(model::LayerKind::moe);
    case UnitKind::mtp_projection:
      return inputs.plan.mtp && inputs.model.mtp_modules > 0;
    case UnitKind::embedding:
    case UnitKind::head:
      break;
  }
  return true;
}

}  // namespace

const char* name_of(UnitKind unit) {
  constexpr const char* names[unit_kinds] = {"embedding", "dense layer", "MoE layer", "MTP projection", "head"};
  return names[static_cast<std::size_t>(unit)];
}

const char* name_of(model::Part part) {
  constexpr const char* names[] = {"attention", "dispatch", "mlp", "combine"};
  return names[static_cast<std::size_t>(part)];
}

const char* letter_of(model::Pass pass) {
  constexpr const char* letters[] = {"F", "B", "W"};
  return letters[static_cast<std::size_t>(pass)];
}

std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network) {
  const hardware::Conditions alone{0}, beside{inputs.plan.communication_sms};
  std::vector<OperatorCost> table;
  for (std::size_t u = 0; u < unit_kinds; ++u) {
    const auto unit = static_cast<UnitKind>(u);
    if (!has_unit(inputs, unit)) continue;
    for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
      const model::LayerPass parts = unit_operators(inputs, unit, pass);
      for (std::size_t part = 0; part < parts.size(); ++part) {
        for (const model::Operator& op : parts[part]) {
          table.push_back({op.name, model::class_of(op.kind), unit, static_cast<model::Part>(part), pass,
                           model::is_communication(op.kind), model::flops(op.kind),
                           model::bytes_read(op.kind) + model::bytes_written(op.kind), model::message_bytes(op.kind),
                           price(inputs, op.kind, alone, network), price(inputs, op.kind, beside, network),
                           std::visit(ClassName{inputs}, op.kind)});
        }
      }
    }
  }
  return table;
}

}  // namespace hourglass::sim
