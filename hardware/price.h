#pragma once

#include "hardware/compute_cost.h"
#include "hardware/platform.h"
#include "model/ops/operators.h"

namespace hourglass::hardware {

// What one operator costs on one GPU.
struct Cost {
  double seconds = 0.0;
  double nic_bytes = 0.0, nvlink_bytes = 0.0;  // that the GPU sends over each
  double launches = 1.0;                       // kernels that the host issues
  const char* profile_class = "";              // that priced it, a name of hardware::origins
  Origin origin = Origin::assumed;             // of that class
};

// The one price: of a step, of the fit, of samples, of the roofline. Throws base::Error if the GPU or the profile has no
// such math type or kernel.
Cost cost_of(const Platform& on, const model::OperatorKind& op, Conditions conditions = {});

}  // namespace hourglass::hardware
