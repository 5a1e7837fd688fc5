#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <source_location>

// Every call into CUDA and cuBLAS goes through here: what fails becomes a base::Error with the call's place and the
// library's words.
namespace hourglass::kernels::cuda {

void check(cudaError_t error, const char* call, std::source_location at = std::source_location::current());
void check(cublasStatus_t status, const char* call, std::source_location at = std::source_location::current());

}  // namespace hourglass::kernels::cuda
