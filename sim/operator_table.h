#pragma once

#include <string>
#include <vector>

#include "sim/plan.h"
#include "sim/units.h"

namespace hourglass::sim {

// One operator of a unit's pass on one GPU: what it computes and moves, what it costs, and which class of the profile
// says so.
struct OperatorCost {
  std::string name;  // "q_b_proj"
  std::string cls;   // "gemm"
  UnitKind unit = UnitKind::dense_layer;
  model::Part part = model::attention;
  model::Pass pass = model::Pass::forward;
  bool communication = false;
  double flops = 0.0;
  double bytes = 0.0;          // read from and written to HBM
  double message_bytes = 0.0;  // sent by one GPU
  double seconds = 0.0;        // alone on the GPU
  double overlapped_seconds = 0.0;  // beside communication that holds plan.communication_sms
  std::string profile_class;        // "gemm_fp8", a name of hardware::origins
};

// Of every unit that the model has, in the order in which they run.
std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network = nullptr);

const char* name_of(UnitKind unit);
const char* name_of(model::Part part);
const char* letter_of(model::Pass pass);  // F, B, W

}  // namespace hourglass::sim
