#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/memory.h"

// GEMMs of cuBLASLt in our row-major terms: d[rows, columns] = l[rows, inner] r[inner, columns] (+ d), where either
// operand may be stored transposed. The three passes of a layer y = x w^T:
//   forward         l = x [m, k]                        r = w [n, k], transposed
//   input gradient  l = dy [m, n]                       r = w [n, k]
//   weight gradient l = dy [m, n], transposed           r = x [m, k]          added to what is there, in FP32
// FP8 operands are both stored with the inner dimension last (l as it is, r transposed): the only layout that Hopper's
// FP8 tensor cores read. Their sizes are multiples of 16.
namespace hourglass::kernels::cuda {

enum class Element : std::uint8_t { bf16, fp32, e4m3, e5m2 };
// One scale for the tensor, for 1 x 128 along the inner dimension, for 128 x 128 (layouts in operators.h). Of l and r
// at least one is rows, or both are tensor.
enum class Scaling : std::uint8_t { none, tensor, rows, blocks };

struct Operand {
  const void* data = nullptr;
  Element element = Element::bf16;
  bool transposed = false;
  Scaling scaling = Scaling::none;
  const float* scales = nullptr;
};
struct GemmProblem {
  Index rows = 0, columns = 0, inner = 0;
  Operand left, right;
  void* out = nullptr;
  Element out_element = Element::bf16;
  bool accumulate = false;
  // Sums of FP8 products stay in the tensor cores' 14 bits (per-tensor scales only): faster, less exact.
  bool fast_accumulation = false;
  int sms = 0;  // that the kernel may count on; 0: all
};

struct GemmHandles;
inline constexpr Index gemm_workspace_bytes = Index{32} << 20;  // what NVIDIA recommends for Hopper

// Descriptors, and the algorithm that cuBLASLt's heuristic puts first, ready to be enqueued many times.
class Gemm {
 public:
  // Throws base::Error if cuBLASLt has no algorithm for it.
  explicit Gemm(const GemmProblem& problem);
  ~Gemm();
  Gemm(Gemm&&) noexcept;
  Gemm& operator=(Gemm&&) noexcept;
  // `workspace`: gemm_workspace_bytes that nothing on another stream uses at the same time.
  void enqueue(Stream stream, const DeviceArray<unsigned char>& workspace) const;

 private:
  std::unique_ptr<GemmHandles> handles_;
};

// Experts: group g multiplies rows [offsets[g], offsets[g + 1]) by its own weight. BF16 forward and input gradient are
// one call of cublasGemmGroupedBatchedEx (cuBLAS 12.5+); cuBLASLt has no grouped GEMM in CUDA 13.0, so FP8, and weight
// gradients, which are added up in FP32, are one cuBLASLt GEMM a group, spread over `streams` streams.
class GroupedGemm {
 public:
  // All with the same element types, transpositions and accumulation.
  explicit GroupedGemm(const std::vector<GemmProblem>& groups, int streams = 4);
  ~GroupedGemm();
  GroupedGemm(const GroupedGemm&) = delete;
  GroupedGemm& operator=(const GroupedGemm&) = delete;
  void enqueue(Stream stream);

 private:
  struct OneCall;
  struct ManyCalls;
  std::unique_ptr<OneCall> one_;
  std::unique_ptr<ManyCalls> many_;
};

}  // namespace hourglass::kernels::cuda
