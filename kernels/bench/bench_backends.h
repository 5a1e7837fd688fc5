#pragma once

#include <memory>
#include <string>

#include "kernels/bench/bench.h"

// The backends by name. The CPU's is part of the program. CUDA's and NCCL's are plug-ins: shared libraries that are
// built and loaded when a benchmark asks for them, because everything else does without.
namespace hourglass::kernels {

struct BackendOptions {
  int threads = 0;  // of the CPU backend; 0: as many as cores
};

// "cpu", "cuda" or "nccl". Throws base::Error, in one line, if this build or this machine has none.
std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options);

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);
// In their plug-ins; both throw base::Error where the machine has no GPU, with what was looked for.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_nccl_backend(const BackendOptions& options);

// What a plug-in (kernels/*/plugin.cpp) fills in, by hourglass_backend(). It shares classes with the program and takes
// its functions from there, so both must be of one build.
struct BackendPlugin {
  const char* version = "";
  const char* commit = "";
  std::unique_ptr<Backend> (*make)(const BackendOptions& options) = nullptr;
};

}  // namespace hourglass::kernels
