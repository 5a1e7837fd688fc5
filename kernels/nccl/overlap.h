#pragma once

#include <functional>
#include <vector>

#include "hardware/measure/samples.h"
#include "kernels/nccl/communicator.h"

// How much a GEMM and an all-to-all slow each other down when they run at the same time, by the number of SMs that the
// all-to-all may hold: what the simulator assumes of DualPipe's overlap, measured in situ.
namespace hourglass::kernels::nccl {

struct OverlapShape {
  Index m = 4096, n = 4096, k = 7168;
  Index bytes = Index{64} << 20;  // of a rank's all-to-all, as in nccl-tests
  std::vector<int> sms = {4, 8, 12, 16, 20, 24, 32};
  int runs = 20;
};

struct OverlapPoint {
  int sms = 0;                                     // of the communication
  double gemm_alone_s = 0.0, gemm_beside_s = 0.0;  // medians, of the slowest rank
  double message_alone_s = 0.0, message_beside_s = 0.0;
  double gemm_slowdown() const { return gemm_beside_s / gemm_alone_s; }
  double message_slowdown() const { return message_beside_s / message_alone_s; }
};

// All ranks call it with the same shape.
std::vector<OverlapPoint> measure_overlap(const World& world, const OverlapShape& shape);

// The GEMM alone and beside each all-to-all, and the all-to-all in both: four samples a point.
std::vector<hardware::Sample> overlap_samples(const World& world, const OverlapShape& shape,
                                              const std::vector<OverlapPoint>& points, int device_sms);

}  // namespace hourglass::kernels::nccl
