#include "sim/training/price.h"

#include <algorithm>
#include <cmath>

namespace hourglass::sim {

namespace {

using hardware::Collective;
using hardware::MathType;

hardware::MoeTraffic traffic_of(const Inputs& in, const model::Routing& routing, std::int64_t tokens,
                                double token_bytes, std::int64_t expert_parallel) {
  return hardware::moe_traffic(routing, static_cast<double>(tokens), token_bytes,
                               group_shape(in, model::Group::expert, expert_parallel));
}

bool on_one_node(const Inputs& in) { return in.plan.gpus / in.plan.parallel.pipeline < in.cluster.gpus_per_node; }

// Visits every kind of operator; a new one does not compile until it is priced here.
struct Pricer {
  const Inputs& in;
  const model::OperatorKind& op;
  hardware::Conditions conditions;
  const ExpertNetwork* network;

  MathType math_of(model::Dtype dtype) const {
    if (dtype != model::Dtype::e4m3 && dtype != model::Dtype::e5m2) return MathType::bf16;
    return in.plan.precision == model::Precision::fp8_tensor ? MathType::fp8_tensor : MathType::fp8;
  }
  double memory(const hardware::MemoryClass& kernel) const {
    return hardware::memory_seconds(in.cluster, in.profile, kernel, model::bytes_read(op) + model::bytes_written(op),
                                    conditions);
  }
  double collective(Collective kind, double bytes, model::Group group, std::int64_t ranks) const {
    return hardware::collective_seconds(in.cluster, in.profile, kind, bytes, group_shape(in, group, ranks));
  }
  template <class AllToAll>
  double moe(const AllToAll& a, hardware::MoeDirection direction) const {
    if (a.expert_parallel <= 1) return 0.0;
    const hardware::MoeTraffic traffic = traffic_of(in, a.routing, a.tokens, a.token_bytes, a.expert_parallel);
    const double alone =
        hardware::moe_seconds(in.cluster, in.profile, traffic, direction, in.plan.communication_sms, conditions);
    if (network == nullptr) return alone;
    return alone * (direction == hardware::MoeDirection::dispatch ? network->dispatch_factor : network->combine_factor);
  }

  double operator()(const model::Gemm& g) const {
    return hardware::gemm_seconds(in.cluster, in.profile,
                                  {1, g.m, g.n, g.k, math_of(g.input), model::bytes_of(g.output), g.accumulate},
                                  conditions);
  }
  double operator()(const model::GroupedGemm& g) const {
    // The fullest GPU sets the pace: all wait for it at the combine.
    const double fullest = network != nullptr ? network->imbalance : 1.0;
    const auto rows =
        static_cast<std::int64_t>(std::ceil(fullest * static_cast<double>(g.rows) / static_cast<double>(g.groups)));
    hardware::GemmShape shape{g.groups, rows, g.n, g.k, math_of(g.input), model::bytes_of(g.output), g.accumulate};
    if (g.k_grouped) {
      shape.m = g.m;
      shape.k = rows;
    }
    return hardware::gemm_seconds(in.cluster, in.profile, shape, conditions);
  }
  double operator()(const model::AttentionCore& a) const {
    return hardware::attention_seconds(in.cluster, in.profile, model::flops(op), a.kv_length, a.backward, conditions);
  }
  double operator()(const model::Norm&) const { return memory(in.profile.norm); }
  double operator()(const model::Rotary&) const { return memory(in.profile.rotary); }
  double operator()(const model::Activation&) const { return memory(in.profile.activation); }
  double operator()(const model::Router& r) const {
    // The gate is a BF16 GEMM of [tokens, hidden] x [hidden, experts].
    const double gemm = hardware::gemm_seconds(
        in.cluster, in.profile, {1, r.tokens, r.routing.experts, r.hidden, MathType::bf16, 4.0, false}, conditions);
    const double input = static_cast<double>(r.tokens) * static_cast<double>(r.hidden) * (2.0 + 4.0),
                 scores = static_cast<double>(r.tokens) * static_cast<double>(r.routing.experts);
    return gemm * (r.backward ? 2.0 : 1.0) +
           hardware::router_seconds(in.cluster, in.profile, input, scores, r.backward, conditions);
  }
  double operator()(const model::Permute&) const { return memory(in.profile.permute); }
  double operator()(const model::Cast&) const { return memory(in.profile.cast); }
  double operator()(const model::Embedding&) const { return memory(in.profile.elementwise); }
  double operator()(const model::Loss&) const { return memory(in.profile.elementwise); }
  double operator()(const model::Residual&) const { return memory(in.profile.elementwise); }
  double operator()(const model::Optimizer&) const { return memory(in.profile.optimizer); }
  double operator()(const model::Dispatch& d) const { return moe(d, hardware::MoeDirection::dispatch); }
  double operator()(const model::Combine& c) const { return moe(c, hardware::MoeDirection::combine); }
  double operator()(const model::AllReduce& c) const {
    return collective(Collective::all_reduce, c.bytes, c.group, c.ranks);
  }
  double operator()(const model::AllGather& c) const {
    return collective(Collective::all_gather, c.bytes, c.group, c.ranks);
  }
  double operator()(const model::ReduceScatter& c) const {
    return collective(Collective::reduce_scatter, c.bytes, c.group, c.ranks);
  }
  double operator()(const model::SendRecv& s) const {
    // A neighbour in the pipeline is on another node unless a node holds several pipeline ranks.
    return hardware::send_seconds(in.cluster, in.profile, s.bytes, on_one_node(in));
  }
};

// What leaves a GPU's NIC. A ring passes a node's buffer on through all NICs that the group has there.
struct NicBytes {
  const Inputs& in;

  double ring(double bytes, model::Group group, std::int64_t ranks, double passes) const {
    const hardware::GroupShape shape = group_shape(in, group, ranks);
    if (shape.per_node >= ranks || ranks <= 1) return 0.0;
    return passes * bytes * static_cast<double>(ranks - 1) / static_cast<double>(ranks * shape.per_node);
  }
  template <class AllToAll>
  double moe(const AllToAll& a) const {
    if (a.expert_parallel <= 1) return 0.0;
    const hardware::MoeTraffic traffic = traffic_of(in, a.routing, a.tokens, a.token_bytes, a.expert_parallel);
    return traffic.remote_nodes * traffic.bytes;
  }
  double operator()(const model::Dispatch& d) const { return moe(d); }
  double operator()(const model::Combine& c) const { return moe(c); }
  double operator()(const model::AllReduce& c) const { return ring(c.bytes, c.group, c.ranks, 2.0); }
  double operator()(const model::AllGather& c) const { return ring(c.bytes, c.group, c.ranks, 1.0); }
  double operator()(const model::ReduceScatter& c) const { return ring(c.bytes, c.group, c.ranks, 1.0); }
  double operator()(const model::SendRecv& s) const { return on_one_node(in) ? 0.0 : s.bytes; }
  template <class Computation>
  double operator()(const Computation&) const {
    return 0.0;
  }
};

// Kernels an operator, counted in DeepSeek's published trace (deepseek-ai/profile-data train.json @4496024: 963 kernels
// for the forward and backward of four MoE layers) and divided by our operators of the kind in the same layers. The
// router stands for the elementwise kernels around it, too. Others are one kernel each.
struct Launches {
  double operator()(const model::Gemm&) const { return 1.0; }
  double operator()(const model::GroupedGemm& g) const { return g.k_grouped ? static_cast<double>(g.groups) : 1.0; }
  double operator()(const model::AttentionCore& a) const { return a.backward ? 3.0 : 1.0; }
  double operator()(const model::Norm&) const { return 4.0 / 3.0; }
  double operator()(const model::Rotary&) const { return 5.0 / 3.0; }
  double operator()(const model::Activation&) const { return 1.25; }
  double operator()(const model::Router&) const { return 44.0; }
  double operator()(const model::Permute&) const { return 1.5; }
  double operator()(const model::Cast&) const { return 1.3; }
  double operator()(const model::Dispatch&) const { return 2.5; }
  double operator()(const model::Combine&) const { return 2.0; }
  template <class Other>
  double operator()(const Other&) const {
    return 1.0;
  }
};

}  // namespace

double launches(const model::OperatorKind& op) { return std::visit(Launches{}, op); }

double price(const Inputs& inputs, const model::OperatorKind& op, hardware::Conditions conditions,
             const ExpertNetwork* network) {
  return std::visit(Pricer{inputs, op, conditions, network}, op);
}

double nic_bytes(const Inputs& inputs, const model::OperatorKind& op) { return std::visit(NicBytes{inputs}, op); }

hardware::GroupShape group_shape(const Inputs& inputs, model::Group group, std::int64_t ranks) {
  const model::Parallelism& p = inputs.plan.parallel;
  // The stride between neighbours of the group: the product of the groups laid out inside it.
  std::int64_t stride = 1;
  switch (group) {
    case model::Group::tensor:
    case model::Group::expert_tensor:
      stride = 1;
      break;
    case model::Group::context:
      stride = p.tensor;
      break;
    case model::Group::expert:
      stride = p.expert_tensor;
      break;
    case model::Group::data:
      stride = p.tensor;
      break;  // gradients are reduced over data x context together
    case model::Group::expert_data:
      stride = p.expert_tensor * p.expert;
      break;
    case model::Group::pipeline:
      stride = inputs.plan.gpus / p.pipeline;
      break;
  }
  return {ranks, std::clamp<std::int64_t>(inputs.cluster.gpus_per_node / stride, 1, ranks)};
}

}  // namespace hourglass::sim
