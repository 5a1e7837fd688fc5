#pragma once

#include <vector>

#include "hardware/measure/samples.h"
#include "hardware/price.h"

// A measurement as what it measured: operators under conditions, which the one price knows (hardware/price.h).
namespace hourglass::hardware {

struct Measured {
  std::vector<model::OperatorKind> operators;  // timed together, one after the other
  model::Layout layout;                        // of the group that communicated
  model::Precision precision = model::Precision::bf16;
  std::int64_t communication_sms = 0;  // that MoE kernels held
  std::int64_t sms_beside = 0;         // that a kernel measured beside others could use; 0: it ran alone
};
// Throws base::Error for an operator that samples.h does not list.
Measured measured(const Sample& sample);

// Seconds that the profile predicts for a sample.
double predict_seconds(const Cluster& cluster, const Profile& profile, const Sample& sample);

}  // namespace hourglass::hardware
