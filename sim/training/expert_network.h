#pragma once

#include <string>
#include <vector>

#include "hardware/compute_cost.h"
#include "hardware/network/link_cells.h"
#include "sim/training/plan.h"

// The MoE all-to-all of a plan as flows on the cluster's links: every expert-parallel group of the plan at the same
// time.
namespace hourglass::sim {

struct HotLink {
  std::string name;
  double bytes = 0.0;        // of one dispatch
  double utilization = 0.0;  // of what its kernels reach, while that dispatch lasts
};

struct ExpertNetwork {
  double dispatch_factor = 1.0;  // time with all groups and this routing, over that of one group and uniform routing
  double combine_factor = 1.0;
  double imbalance = 1.0;                                        // rows of the fullest GPU over the mean
  double dispatch_nvlink_bytes = 0.0, dispatch_nic_bytes = 0.0;  // of one GPU, mean
  std::vector<HotLink> hottest;                                  // the first few
  std::vector<hardware::LinkCell> cells;                         // all links during a dispatch
};

// Groups are laid out as model::Layout says. Throws base::Error if the topology cannot be built or no way is left.
ExpertNetwork expert_network(const Inputs& inputs);

// Of kernels beside communication that holds so many SMs; `network` null: balanced groups on wires of their own.
hardware::Conditions conditions_of(const ExpertNetwork* network, std::int64_t communication_sms);

}  // namespace hourglass::sim
