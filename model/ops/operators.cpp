#include "model/ops/operators.h"

namespace hourglass::model {

const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::e4m3:
      return "e4m3";
    case Dtype::e5m2:
      return "e5m2";
    case Dtype::e5m6:
      return "e5m6";
    case Dtype::bf16:
      return "bf16";
    case Dtype::fp32:
      return "fp32";
  }
  return "";
}

const char* name_of(WorkClass work) {
  static constexpr const char* names[work_classes] = {
      "gemm",       "grouped_gemm",   "attention",  "memory_bound", "router",    "all_to_all", "peer_wait",
      "collective", "point_to_point", "contention", "launch",       "gradients", "optimizer",  "parameters"};
  return names[static_cast<std::size_t>(work)];
}

const char* name_of(MemoryKernel kernel) {
  static constexpr const char* names[] = {"norm", "rotary", "activation", "cast", "permute", "elementwise"};
  return names[static_cast<std::size_t>(kernel)];
}

}  // namespace hourglass::model
