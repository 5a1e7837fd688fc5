// Every kind of operator, priced. A price is the seconds of the kernels behind it, what leaves the GPU on each wire, how
// many kernels the host issues, and the class of the profile that says so.
//
// Kernels an operator, where it is not one, are counted by the profile. A grouped GEMM whose groups differ in k is one
// kernel a group.
//
// Wires. A ring passes a node's buffer on through all NICs that the group has there: of what a GPU sends, its NIC
// carries one part in so many, NVLink the rest.
#include "hardware/price.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

// A neighbour in the pipeline is on another node unless a node holds several pipeline ranks.
bool neighbours_share_domain(const Platform& on, model::Group group) {
  if (on.layout.ranks_per_domain > 0) return on.layout.ranks_per_domain > 1;
  return on.layout.stride(group) < on.cluster.nvlink_domain;
}

struct Pricing {
  const Platform& on;
  const Conditions& conditions;
  const model::OperatorKind& op;
  const LaunchCounts& counts = on.profile.launches;

  // --- computation ---
  template <class Class>
  static Cost priced(double seconds, const char* name, const Class& by, double launches = 1.0) {
    return {seconds, 0.0, 0.0, launches, name, by.basis.origin};
  }
  Cost memory(const char* name, const MemoryClass& kernel, double launches = 1.0) const {
    return priced(memory_seconds(on.cluster, on.profile, kernel, model::facts(op).bytes(), conditions), name, kernel,
                  launches);
  }
  Cost elementwise() const { return memory("elementwise", on.profile.elementwise); }
  MathType math_of(model::Dtype dtype) const {
    if (!model::is_fp8(dtype)) return MathType::bf16;
    return on.precision == model::Precision::fp8_tensor ? MathType::fp8_tensor : MathType::fp8;
  }
  Cost gemm(const GemmShape& shape, double launches = 1.0) const {
    const double seconds = gemm_seconds(on.cluster, on.profile, shape, conditions);
    const GemmKernel kernel = gemm_kernel(on.profile, shape);
    return priced(seconds, kernel.name, kernel.cost, launches);
  }

  Cost operator()(const model::Gemm& g) const {
    return gemm({1, g.m, g.n, g.k, math_of(g.input), model::bytes_of(g.output), g.accumulate});
  }
  Cost operator()(const model::GroupedGemm& g) const {
    // The fullest GPU sets the pace: all wait for it at the combine.
    const auto rows = static_cast<std::int64_t>(
        std::ceil(conditions.imbalance * static_cast<double>(g.rows) / static_cast<double>(g.groups)));
    GemmShape shape{g.groups, rows, g.n, g.k, math_of(g.input), model::bytes_of(g.output), g.accumulate};
    if (g.k_grouped) {
      shape.m = g.m;
      shape.k = rows;
    }
    return gemm(shape, g.k_grouped ? static_cast<double>(g.groups) : 1.0);
  }
  Cost operator()(const model::AttentionCore& a) const {
    const double seconds =
        attention_seconds(on.cluster, on.profile, model::flops(op), a.kv_length, a.backward, conditions);
    return priced(seconds, "attention", on.profile.attention, a.backward ? counts.attention_backward : 1.0);
  }
  Cost operator()(const model::Norm&) const { return memory("norm", on.profile.norm, counts.norm); }
  Cost operator()(const model::Rotary&) const { return memory("rotary", on.profile.rotary, counts.rotary); }
  Cost operator()(const model::Activation&) const {
    return memory("activation", on.profile.activation, counts.activation);
  }
  Cost operator()(const model::Router& r) const {
    const double input = static_cast<double>(r.tokens) * static_cast<double>(r.hidden) * (2.0 + 4.0),
                 scores = static_cast<double>(r.tokens) * static_cast<double>(r.routing.experts);
    const double choice = router_seconds(on.cluster, on.profile, input, scores, r.backward, conditions);
    if (!r.gate) return priced(choice, "router", on.profile.router, counts.router);
    // The gate is a BF16 GEMM of [tokens, hidden] x [hidden, experts].
    const double gate = gemm_seconds(
        on.cluster, on.profile, {1, r.tokens, r.routing.experts, r.hidden, MathType::bf16, 4.0, false}, conditions);
    return priced(gate * (r.backward ? 2.0 : 1.0) + choice, "router", on.profile.router, counts.router);
  }
  Cost operator()(const model::Permute&) const { return memory("permute", on.profile.permute, counts.permute); }
  Cost operator()(const model::Cast&) const { return memory("cast", on.profile.cast, counts.cast); }
  Cost operator()(const model::Embedding&) const { return elementwise(); }
  Cost operator()(const model::Loss&) const { return elementwise(); }
  Cost operator()(const model::Residual&) const { return elementwise(); }
  Cost operator()(const model::Optimizer&) const { return memory("optimizer", on.profile.optimizer); }
  Cost operator()(const model::MemoryBound& m) const {
    switch (m.kernel) {
      case model::MemoryKernel::norm:
        return memory("norm", on.profile.norm);
      case model::MemoryKernel::rotary:
        return memory("rotary", on.profile.rotary);
      case model::MemoryKernel::activation:
        return memory("activation", on.profile.activation);
      case model::MemoryKernel::cast:
        return memory("cast", on.profile.cast);
      case model::MemoryKernel::permute:
        return memory("permute", on.profile.permute);
      case model::MemoryKernel::elementwise:
        return elementwise();
    }
    return {};
  }

  // --- MoE all-to-all ---
  template <class AllToAll>
  Cost moe(const AllToAll& a, MoeDirection direction, double factor, double launches) const {
    const GroupShape group = group_shape(on, model::Group::expert, a.expert_parallel);
    const bool leaves = group.per_node < group.ranks;
    const LinkClass& link = leaves ? on.profile.moe_rdma : on.profile.moe_nvlink;
    Cost cost = priced(0.0, leaves ? "moe_rdma" : "moe_nvlink", link, launches);
    if (a.expert_parallel <= 1) return cost;
    if (a.kernel != model::MoeKernel::throughput) return low_latency(a, group, launches);
    const MoeTraffic traffic = moe_traffic(a.routing, static_cast<double>(a.tokens), a.token_bytes, group);
    cost.seconds = moe_seconds(on.cluster, on.profile, traffic, direction, on.communication_sms, conditions) * factor;
    cost.nic_bytes = traffic.remote_nodes * traffic.bytes;
    cost.nvlink_bytes = traffic.other_gpus * traffic.bytes;
    return cost;
  }
  template <class AllToAll>
  Cost low_latency(const AllToAll& a, GroupShape group, double launches) const {
    const LowLatencyClass& kernel = on.profile.moe_low_latency;
    if (kernel.basis.source.empty()) {
      throw base::Error("the profile has no low-latency dispatch and combine", on.profile.name, "add moe_low_latency");
    }
    const bool over_nvlink = a.kernel == model::MoeKernel::low_latency;
    const double selections = static_cast<double>(a.tokens) * static_cast<double>(a.routing.top_k);
    const double seconds =
        low_latency_moe_seconds(on.cluster, on.profile, selections, a.token_bytes, group, over_nvlink);
    Cost cost = priced(seconds, "moe_low_latency", kernel, launches);
    const auto ranks = static_cast<double>(group.ranks);
    const double sent = selections * a.token_bytes / ranks;  // to each rank
    const double near = over_nvlink ? static_cast<double>(std::min(group.per_node, group.ranks)) - 1.0 : 0.0;
    cost.nvlink_bytes = sent * near;
    cost.nic_bytes = sent * (ranks - 1.0 - near);
    return cost;
  }
  Cost operator()(const model::Dispatch& d) const {
    return moe(d, MoeDirection::dispatch, conditions.dispatch_factor, counts.dispatch);
  }
  Cost operator()(const model::Combine& c) const {
    return moe(c, MoeDirection::combine, conditions.combine_factor, counts.combine);
  }

  // --- other messages ---
  Cost wires(const LinkClass& link, const char* name, double seconds, double nic, double nvlink) const {
    Cost cost = priced(seconds, name, link);
    cost.nic_bytes = nic;
    cost.nvlink_bytes = nvlink;
    return cost;
  }
  // `passes`: of the buffer around the ring.
  Cost ring(Collective kind, double bytes, model::Group group, std::int64_t ranks, double passes) const {
    const GroupShape shape = group_shape(on, group, ranks);
    const double seconds = collective_seconds(on.cluster, on.profile, kind, bytes, shape);
    const double sent = model::facts(op).message_bytes;
    if (shape.per_node >= ranks) return wires(on.profile.nvlink, "nvlink", seconds, 0.0, sent);
    const double nic = passes * bytes * static_cast<double>(ranks - 1) / static_cast<double>(ranks * shape.per_node);
    return wires(on.profile.rdma, "rdma", seconds, nic, sent - nic);
  }
  Cost operator()(const model::AllReduce& c) const {
    return ring(Collective::all_reduce, c.bytes, c.group, c.ranks, 2.0);
  }
  Cost operator()(const model::AllGather& c) const {
    return ring(Collective::all_gather, c.bytes, c.group, c.ranks, 1.0);
  }
  Cost operator()(const model::ReduceScatter& c) const {
    return ring(Collective::reduce_scatter, c.bytes, c.group, c.ranks, 1.0);
  }
  Cost operator()(const model::AllToAll& c) const {
    const GroupShape shape = group_shape(on, c.group, c.ranks);
    const double seconds = collective_seconds(on.cluster, on.profile, Collective::all_to_all, c.bytes, shape);
    const double part = c.bytes / static_cast<double>(std::max<std::int64_t>(c.ranks, 1));
    const double near = part * static_cast<double>(shape.per_node - 1);
    if (shape.per_node >= c.ranks) return wires(on.profile.nvlink_p2p, "nvlink_p2p", seconds, 0.0, near);
    return wires(on.profile.rdma, "rdma", seconds, part * static_cast<double>(c.ranks - shape.per_node), near);
  }
  Cost operator()(const model::SendRecv& s) const {
    const bool same_node = neighbours_share_domain(on, s.group);
    const double seconds = send_seconds(on.cluster, on.profile, s.bytes, same_node);
    if (same_node) return wires(on.profile.nvlink_p2p, "nvlink_p2p", seconds, 0.0, s.bytes);
    return wires(on.profile.rdma, "rdma", seconds, s.bytes, 0.0);
  }
};

}  // namespace

MathType math_of(model::Precision precision) {
  switch (precision) {
    case model::Precision::bf16:
      return MathType::bf16;
    case model::Precision::fp8_block:
      return MathType::fp8;
    case model::Precision::fp8_tensor:
      return MathType::fp8_tensor;
  }
  return MathType::bf16;
}

GroupShape group_shape(const Platform& on, model::Group group, std::int64_t ranks) {
  const std::int64_t near =
      on.layout.ranks_per_domain > 0 ? on.layout.ranks_per_domain : on.cluster.nvlink_domain / on.layout.stride(group);
  return {ranks, std::clamp<std::int64_t>(near, 1, std::max<std::int64_t>(ranks, 1))};
}

Cost cost_of(const Platform& on, const model::OperatorKind& op, Conditions conditions) {
  return std::visit(Pricing{on, conditions, op}, op);
}

}  // namespace hourglass::hardware
