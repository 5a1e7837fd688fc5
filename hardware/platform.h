#pragma once

#include "hardware/cluster.h"
#include "hardware/network_cost.h"
#include "hardware/profile.h"
#include "model/ops/dtype.h"
#include "model/ops/parallel.h"

namespace hourglass::hardware {

// All that a price, a wire, a group or a launch count reads: who works together on which GPUs, at which precision. A
// training plan becomes one, and so does anything else that runs operators on a cluster.
struct Platform {
  const Cluster& cluster;
  const Profile& profile;
  model::Layout layout;
  model::Precision precision = model::Precision::bf16;
  std::int64_t communication_sms = 0;  // that MoE kernels hold; 0: as many as they want
};

// What linear layers multiply in.
MathType math_of(model::Precision precision);

// How many GPUs of a parallel group of `ranks` share an NVLink domain.
GroupShape group_shape(const Platform& on, model::Group group, std::int64_t ranks);

}  // namespace hourglass::hardware
