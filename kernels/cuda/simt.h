#pragma once

// The few things that a CUDA thread can do and a C++ function cannot, under names of our own: where am I, wait for my
// block, exchange with my warp, multiply on the tensor cores, copy in the background. nvcc maps them to instructions.
// Any other compiler gets kernels/cuda/emulate.h, which runs a block's threads as fibers, so that the very source of
// every kernel is tested on machines without a GPU. What the emulation cannot show: races between blocks, the memory
// model between warps (its fibers take turns only at the points below), and speed.
//
// The rules that keep both ways equal: every thread of a block reaches every synchronize(), every lane of a warp every
// exchange; a block's threads are a multiple of 32.

#include <cstdint>

#include "kernels/math/arithmetic.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define HOURGLASS_KERNEL __global__
#define HOURGLASS_DEVICE __device__ __forceinline__
#define HOURGLASS_SHARED __shared__
#define HOURGLASS_BOUNDS(threads) __launch_bounds__(threads)
#define HOURGLASS_UNROLL _Pragma("unroll")

namespace hourglass::kernels::cuda {

using Words = uint4;  // 16 bytes in one load or store

HOURGLASS_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
HOURGLASS_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
HOURGLASS_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
HOURGLASS_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
HOURGLASS_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }
HOURGLASS_DEVICE int grid_x() { return static_cast<int>(gridDim.x); }
HOURGLASS_DEVICE void synchronize() { __syncthreads(); }
HOURGLASS_DEVICE void synchronize_warp() { __syncwarp(); }

template <class T>
HOURGLASS_DEVICE T exchange_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// The block's dynamic shared memory, 16-byte aligned.
HOURGLASS_DEVICE unsigned char* dynamic_shared() {
  extern __shared__ Words hourglass_dynamic_shared[];
  return reinterpret_cast<unsigned char*>(hourglass_dynamic_shared);
}

HOURGLASS_DEVICE unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// 16 bytes from global to shared memory in the background; zeros if not `valid`. A thread's copies since its last
// commit form a group; copy_wait<n> returns when at most n groups of this thread are under way.
HOURGLASS_DEVICE void copy_async(void* shared, const void* global, bool valid) {
  const unsigned bytes = valid ? 16u : 0u;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}
HOURGLASS_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int groups>
HOURGLASS_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// Four 8 x 8 matrices of 16-bit values: lane l names row l mod 8 of matrix l / 8 and receives, of matrix i in out[i],
// row l / 4, columns 2 (l mod 4) and the next; transposed: rows 2 (l mod 4) and the next, column l / 4.
HOURGLASS_DEVICE void load_matrices(std::uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}
HOURGLASS_DEVICE void load_matrices_transposed(std::uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

// c[16, 8] += a[16, 16] b[16, 8] in BF16 with FP32 sums (PTX mma.m16n8k16). With g = lane / 4, t = lane mod 4:
//   a0 (g, 2t)  a1 (g + 8, 2t)  a2 (g, 2t + 8)  a3 (g + 8, 2t + 8)   each with the next column
//   b0 (2t, g)  b1 (2t + 8, g)                                       each with the next row
//   c0, c1 (g, 2t and next)  c2, c3 (g + 8, 2t and next)
HOURGLASS_DEVICE void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

HOURGLASS_DEVICE int add_atomically(int* shared, int value) { return atomicAdd(shared, value); }

}  // namespace hourglass::kernels::cuda

#else
#include "kernels/cuda/emulate.h"
#endif

namespace hourglass::kernels::cuda {

HOURGLASS_DEVICE int lane_index() { return thread_index() & 31; }
HOURGLASS_DEVICE int warp_index() { return thread_index() >> 5; }

HOURGLASS_DEVICE float warp_sum(float value) {
  for (int mask = 16; mask > 0; mask >>= 1) value += exchange_xor(value, mask);
  return value;
}
HOURGLASS_DEVICE float warp_largest(float value) {
  for (int mask = 16; mask > 0; mask >>= 1) value = fmaxf(value, exchange_xor(value, mask));
  return value;
}

// The same over a block, in every thread; `scratch` is shared memory for one float per warp.
HOURGLASS_DEVICE float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  synchronize();
  if (lane_index() == 0) scratch[warp_index()] = value;
  synchronize();
  float sum = 0.0f;
  for (int warp = 0; warp < block_threads() / 32; ++warp) sum += scratch[warp];
  return sum;
}
HOURGLASS_DEVICE float block_largest(float value, float* scratch) {
  value = warp_largest(value);
  synchronize();
  if (lane_index() == 0) scratch[warp_index()] = value;
  synchronize();
  float largest = 0.0f;
  for (int warp = 0; warp < block_threads() / 32; ++warp) largest = fmaxf(largest, scratch[warp]);
  return largest;
}

}  // namespace hourglass::kernels::cuda
