// The sources of the CUDA kernels, compiled for the CPU with a block's threads as fibers (kernels/cuda/emulate.h), and
// host memory in the place of the device's. All tests run twice: fibers started in order and in reverse.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>

#include "kernels/cuda/attention.cu"
#include "kernels/cuda/attention_gradient.cu"
#include "kernels/cuda/elementwise.cu"
#include "kernels/cuda/measure.cu"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/products.cu"
#include "kernels/cuda/quantize.cu"
#include "kernels/cuda/routing.cu"

namespace hourglass::kernels::cuda {

std::string no_device() { return ""; }
void* allocate(std::size_t bytes) {
  void* memory = std::aligned_alloc(16, (bytes + 15) / 16 * 16);
  std::memset(memory, 0xff, bytes);
  return memory;
}
void release(void* memory) { std::free(memory); }
void copy_in(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
void copy_out(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }
void poison(void* device, std::size_t bytes, Stream) { std::memset(device, 0xff, bytes); }

}  // namespace hourglass::kernels::cuda

TEST_CASE("a barrier that not all threads reach is an error of the emulation") {
  using namespace hourglass::kernels::cuda;
  CHECK_THROWS_AS(EmulatedBlock::run({}, {}, 64, 0, false,
                                     [] {
                                       if (thread_index() < 40) synchronize();
                                     }),
                  std::logic_error);
}

int main(int argc, char** argv) {
  int failed = 0;
  for (const bool reverse : {false, true}) {
    hourglass::kernels::cuda::emulate_in_reverse() = reverse;
    doctest::Context context(argc, argv);
    failed += context.run();
  }
  return failed == 0 ? 0 : 1;
}
