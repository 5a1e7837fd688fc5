#pragma once

#include <cstddef>
#include <limits>

#include "base/error.h"
#include "kernels/cuda/operators.h"
#include "kernels/cuda/simt.h"

// How a kernel is started: nvcc's launch, checked; or one emulated block after the other.
namespace hourglass::kernels::cuda {

inline Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

inline void require(bool fits, const char* what, const char* where) {
  if (!fits) throw base::Error(what, where, "choose a shape that the CUDA kernel takes");
}

inline void require_pieces(Index width, const char* where) {
  require(width > 0 && width % 8 == 0, "the width is not a multiple of 8", where);
}

struct Grid {
  Index x = 1, y = 1, z = 1;
  int threads = 256;
  std::size_t shared_bytes = 0;
};

// One block of `threads` for every `threads` of `count` items, a thread each.
inline Grid grid_for(Index count, int threads = 256) { return {divide_up(count, threads), 1, 1, threads, 0}; }

inline bool empty(const Grid& grid, const char* where) {
  require(grid.x <= std::numeric_limits<int>::max() && grid.y <= 65535 && grid.z <= 65535, "too large a grid", where);
  return grid.x <= 0 || grid.y <= 0 || grid.z <= 0;
}

#ifdef __CUDACC__

// Throws base::Error naming the kernel if the launch of it failed. In device.cpp.
void check_launch(const char* kernel, int error);

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Stream stream, const Grid& grid, Arguments... arguments) {
  if (empty(grid, name)) return;
  if (grid.shared_bytes > 48 * 1024) {
    check_launch(name, static_cast<int>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                             static_cast<int>(grid.shared_bytes))));
  }
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  kernel<<<blocks, static_cast<unsigned>(grid.threads), grid.shared_bytes, stream>>>(
      static_cast<Parameters>(arguments)...);
  check_launch(name, static_cast<int>(cudaGetLastError()));
}

#else

// The order in which a block's fibers are started: both must give the same results.
inline bool& emulate_in_reverse() {
  static bool reverse = false;
  return reverse;
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Stream, const Grid& grid, Arguments... arguments) {
  if (empty(grid, name)) return;
  const Extent extent{static_cast<int>(grid.x), static_cast<int>(grid.y), static_cast<int>(grid.z)};
  for (int z = 0; z < extent.z; ++z) {
    for (int y = 0; y < extent.y; ++y) {
      for (int x = 0; x < extent.x; ++x) {
        EmulatedBlock::run(extent, {x, y, z}, grid.threads, grid.shared_bytes, emulate_in_reverse(),
                           [&] { kernel(static_cast<Parameters>(arguments)...); });
      }
    }
  }
}

#endif

}  // namespace hourglass::kernels::cuda
