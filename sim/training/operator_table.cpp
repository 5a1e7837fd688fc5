// The operators of a step one by one, priced as UnitPrices prices them, for the roofline and for telling where a cost
// comes from. Waits for slower peers, which UnitPrices adds to the all-to-all, belong to no operator and are not here.
#include "sim/training/operator_table.h"

#include <algorithm>

#include "sim/training/price.h"

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

// Bytes that one GPU sends over its NIC and over NVLink.
struct Wires {
  const Inputs& in;
  struct Bytes {
    double nic = 0.0, nvlink = 0.0;
  };

  template <class AllToAll>
  Bytes moe(const AllToAll& a) const {
    if (a.expert_parallel <= 1) return {};
    const hardware::MoeTraffic traffic =
        hardware::moe_traffic(a.routing, static_cast<double>(a.tokens), a.token_bytes,
                              group_shape(in, model::Group::expert, a.expert_parallel));
    return {traffic.bytes * traffic.remote_nodes, traffic.bytes * traffic.other_gpus};
  }
  template <class C>
  Bytes collective(const C& c, double sent) const {
    const hardware::GroupShape group = group_shape(in, c.group, c.ranks);
    return group.per_node < group.ranks ? Bytes{sent, 0.0} : Bytes{0.0, sent};
  }

  Bytes of(const model::OperatorKind& op) const {
    const double sent = model::message_bytes(op);
    if (const auto* d = std::get_if<model::Dispatch>(&op)) return moe(*d);
    if (const auto* c = std::get_if<model::Combine>(&op)) return moe(*c);
    if (const auto* c = std::get_if<model::AllReduce>(&op)) return collective(*c, sent);
    if (const auto* c = std::get_if<model::AllGather>(&op)) return collective(*c, sent);
    if (const auto* c = std::get_if<model::ReduceScatter>(&op)) return collective(*c, sent);
    return {};
  }
};

// As record.cpp names the span of a run: "attention(F)", "dispatch_local(B)", "head(W)".
std::string span_name(const OperatorCost& op) {
  std::string name;
  switch (op.unit) {
    case UnitKind::embedding:
      name = "embedding";
      break;
    case UnitKind::mtp_projection:
      name = "mtp_projection";
      break;
    case UnitKind::head:
      name = "head";
      break;
    case UnitKind::dense_layer:
    case UnitKind::moe_layer: {
      const bool all_to_all = op.part == model::dispatch || op.part == model::combine;
      name = name_of(op.part);
      if (op.communication != all_to_all) name += all_to_all ? "_local" : "_collective";
    }
  }
  return name + "(" + letter_of(op.pass) + ")";
}

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
          const Wires::Bytes wires = Wires{inputs}.of(op.kind);
          table.push_back({op.name, model::class_of(op.kind), unit, static_cast<model::Part>(part), pass,
                           model::is_communication(op.kind), model::flops(op.kind),
                           model::bytes_read(op.kind) + model::bytes_written(op.kind), model::message_bytes(op.kind),
                           wires.nic, wires.nvlink, price(inputs, op.kind, alone, network),
                           price(inputs, op.kind, beside, network), std::visit(ClassName{inputs}, op.kind)});
        }
      }
    }
  }
  return table;
}

OperatorRuns::OperatorRuns(std::vector<OperatorCost> table) : table_(std::move(table)) {
  const auto same = [&](std::size_t a, std::size_t b) {
    return table_[a].unit == table_[b].unit && table_[a].part == table_[b].part && table_[a].pass == table_[b].pass &&
           table_[a].communication == table_[b].communication;
  };
  for (std::size_t begin = 0, end = 0; begin < table_.size(); begin = end) {
    for (end = begin + 1; end < table_.size() && same(begin, end);) ++end;
    add_run(begin, end);
  }
}

void OperatorRuns::add_run(std::size_t begin, std::size_t end) {
  const OperatorCost& head = table_[begin];
  const std::string name = span_name(head);
  first_.emplace(std::pair(name, head.communication), &head);
  for (const bool overlapped : {false, true}) {
    std::vector<Slice> slices;
    base::Time length = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const double seconds = overlapped ? table_[i].overlapped_seconds : table_[i].seconds;
      slices.push_back({&table_[i], base::time_from_seconds(seconds)});
      length += slices.back().work;
    }
    runs_.emplace(Key(name, head.communication, length), std::move(slices));
  }
}

const std::vector<OperatorRuns::Slice>& OperatorRuns::of(const std::string& span_name, bool communication,
                                                         base::Time length) const {
  static const std::vector<Slice> none;
  constexpr base::Time tolerance = 1000;  // picoseconds: what rounding may do under a slowdown
  const auto found = runs_.lower_bound(Key(span_name, communication, length - tolerance));
  const bool near = found != runs_.end() && found->first <= Key(span_name, communication, length + tolerance);
  return near ? found->second : none;
}

const OperatorCost* OperatorRuns::first(const std::string& span_name, bool communication) const {
  const auto found = first_.find(std::pair(span_name, communication));
  return found == first_.end() ? nullptr : found->second;
}

}  // namespace hourglass::sim
