#pragma once

#include <string>

#include "kernels/cuda/gemm.h"

// The check of a GEMM that is too large for the CPU: some entries again, each as one sum in double precision of the
// operands as they are stored, by a kernel that shares nothing with cuBLAS.
namespace hourglass::kernels::cuda {

// As the arithmetic sees an operand: its values row-major [outer, inner], or [inner, outer] where transposed is set;
// the scales as operators.h lays them out.
struct ProductView {
  const void* data = nullptr;
  Element element = Element::bf16;
  bool inner_first = false;
  Scaling scaling = Scaling::none;
  const float* scales = nullptr;
  Index outer = 0, inner = 0;
};
// out[i] = the entry (rows[i], columns[i]).
void products(Stream stream, double* out, const ProductView& left, const ProductView& right, const std::int32_t* rows,
              const std::int32_t* columns, Index count);

// Compares `samples` random entries of the problem's result, computed and complete, with products(). "": they agree.
std::string check_products(Stream stream, const GemmProblem& problem, Index samples, std::uint64_t seed,
                           double tolerance);

}  // namespace hourglass::kernels::cuda
