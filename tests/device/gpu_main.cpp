// The tests on a GPU: skipped, with the reason, where there is none. --libraries only sees whether cuBLAS and NCCL can
// be loaded and have every function that the backends call, which needs no GPU.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include "kernels/cuda/library.h"
#include "kernels/cuda/memory.h"
#ifdef HOURGLASS_NCCL
#include "kernels/nccl/communicator.h"
#endif

namespace {

int load_libraries() {
  std::printf("cuBLASLt %zu\n", hourglass::kernels::cuda::cublas().lt_version());
#ifdef HOURGLASS_NCCL
  std::printf("NCCL %s\n", hourglass::kernels::nccl::nccl_version().c_str());
#endif
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2 && std::strcmp(argv[1], "--libraries") == 0) return load_libraries();
    const std::string missing = hourglass::kernels::cuda::no_device();
    if (!missing.empty()) {
      std::printf("skipped: a GPU is needed, and there is %s\n", missing.c_str());
      return 77;
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
