#pragma once

#include "hardware/compute_cost.h"
#include "hardware/network_cost.h"
#include "model/ops/operators.h"
#include "sim/training/expert_network.h"
#include "sim/training/plan.h"

namespace hourglass::sim {

// Seconds of one operator on one GPU of the plan: the only place where an operator meets a GPU.
// `network`: what shared links and skewed routing do to the all-to-all and the experts, if given.
double price(const Inputs& inputs, const model::OperatorKind& op, hardware::Conditions conditions,
             const ExpertNetwork* network = nullptr);

// Bytes that an operator sends through the NIC of one GPU; 0 for computation and for what stays on NVLink.
double nic_bytes(const Inputs& inputs, const model::OperatorKind& op);

// Kernels that an operator launches.
double launches(const model::OperatorKind& op);

// How many GPUs of a parallel group sit on one node: ranks are laid out tensor first, then context and expert, then
// data, then pipeline (Megatron-Core's default order tp-cp-ep-dp-pp).
hardware::GroupShape group_shape(const Inputs& inputs, model::Group group, std::int64_t ranks);

}  // namespace hourglass::sim
