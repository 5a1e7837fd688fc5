#pragma once

#include "kernels/bench/bench.h"

// The backends that make_backend chooses from. A build with nvcc defines HOURGLASS_CUDA, one with NCCL HOURGLASS_NCCL,
// and links their definitions; both throw base::Error where the machine has no GPU, with what was looked for.
namespace hourglass::kernels {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_nccl_backend(const BackendOptions& options);

}  // namespace hourglass::kernels
