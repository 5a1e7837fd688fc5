// What the benchmarks need on the device besides the kernels that they measure: random inputs, poison found again, and
// the clock.
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/normal.h"
#include "kernels/cuda/types.h"

namespace hourglass::kernels::cuda {

namespace {

template <class T>
HOURGLASS_KERNEL void fill_normal_kernel(T* x, Index count, float deviation, std::uint64_t seed) {
  const Index i = static_cast<Index>(block_x()) * block_threads() + thread_index();
  if (i < count) assign(x[i], deviation * normal_number(seed, static_cast<std::uint64_t>(i)));
}

template <class T>
HOURGLASS_KERNEL void count_nan_kernel(int* found, const T* x, Index count) {
  int mine = 0;
  for (Index i = static_cast<Index>(block_x()) * block_threads() + thread_index(); i < count;
       i += static_cast<Index>(grid_x()) * block_threads()) {
    const float value = to_float(x[i]);
    mine += value != value ? 1 : 0;
  }
  for (int mask = 16; mask > 0; mask >>= 1) mine += exchange_xor(mine, mask);
  if (lane_index() == 0 && mine > 0) add_atomically(found, mine);
}

template <class T>
Index count_nan_of(Stream stream, const T* x, Index count) {
  const DeviceArray<int> found(std::vector<int>{0});
  const Index blocks = divide_up(count, 256);
  launch("count_nan", count_nan_kernel<T>, stream, {blocks < 4096 ? blocks : 4096}, found.get(), x, count);
  return found.values()[0];
}

#ifdef __CUDACC__
// Cycles of an SM and nanoseconds of the wall for a few milliseconds of work.
__global__ void clock_kernel(unsigned long long* result) {
  unsigned long long wall_start = 0, wall = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(wall_start));
  const long long start = clock64();
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(wall));
  } while (wall - wall_start < 5'000'000ull);
  result[0] = static_cast<unsigned long long>(clock64() - start);
  result[1] = wall - wall_start;
}
#endif

}  // namespace

#ifdef __CUDACC__
double measured_clock_hz(Stream stream) {
  const DeviceArray<unsigned long long> result(2);
  launch("measured_clock", clock_kernel, stream, {1, 1, 1, 1}, result.get());
  const std::vector<unsigned long long> values = result.values();
  return static_cast<double>(values[0]) / static_cast<double>(values[1]) * 1e9;
}
#endif

Index count_nan(Stream stream, const Bf16* x, Index count) { return count_nan_of(stream, x, count); }
Index count_nan(Stream stream, const float* x, Index count) { return count_nan_of(stream, x, count); }
void fill_normal(Stream stream, Bf16* x, Index count, float deviation, std::uint64_t seed) {
  launch("fill_normal", fill_normal_kernel<Bf16>, stream, grid_for(count), x, count, deviation, seed);
}
void fill_normal(Stream stream, float* x, Index count, float deviation, std::uint64_t seed) {
  launch("fill_normal", fill_normal_kernel<float>, stream, grid_for(count), x, count, deviation, seed);
}

}  // namespace hourglass::kernels::cuda
