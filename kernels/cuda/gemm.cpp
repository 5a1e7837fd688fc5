// cuBLASLt is column-major: what we call d[rows, columns] it calls D of columns x rows, so its A is our right operand
// and its B our left one. Stored row-major as [columns, inner], the right operand is to it a matrix of inner x columns
// that it must transpose; stored as [inner, columns], it is one to take as it is.
#include "kernels/cuda/gemm.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/library.h"

namespace hourglass::kernels::cuda {

namespace {

cudaDataType_t type_of(Element element) {
  switch (element) {
    case Element::bf16:
      return CUDA_R_16BF;
    case Element::fp32:
      return CUDA_R_32F;
    case Element::e4m3:
      return CUDA_R_8F_E4M3;
    case Element::e5m2:
      return CUDA_R_8F_E5M2;
  }
  return CUDA_R_32F;
}

bool is_fp8(Element element) { return element == Element::e4m3 || element == Element::e5m2; }

int mode_of(Scaling scaling) {
  if (scaling == Scaling::rows) return CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
  if (scaling == Scaling::blocks) return CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  return CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
}

cublasLtHandle_t shared_handle() {
  struct Owner {
    cublasLtHandle_t handle = nullptr;
    Owner() { check(cublas().lt_create(&handle), "cublasLtCreate"); }
    ~Owner() { cublas().lt_destroy(handle); }
  };
  static const Owner owner;
  return owner.handle;
}

void require_fp8_layout(const GemmProblem& p) {
  if (!is_fp8(p.left.element) && !is_fp8(p.right.element)) return;
  const bool layout = is_fp8(p.left.element) && is_fp8(p.right.element) && !p.left.transposed && p.right.transposed;
  const bool sizes = p.rows % 16 == 0 && p.columns % 16 == 0 && p.inner % 16 == 0;
  if (!layout || !sizes)
    throw base::Error(
        "an FP8 GEMM needs both operands with the inner dimension last and sizes that are multiples of 16", "gemm");
}

}  // namespace

struct GemmHandles {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t right = nullptr, left = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  const void *right_data = nullptr, *left_data = nullptr;
  void* out_data = nullptr;
  float beta = 0.0f;

  GemmHandles() = default;
  GemmHandles(const GemmHandles&) = delete;
  GemmHandles& operator=(const GemmHandles&) = delete;
  ~GemmHandles() {
    if (out != nullptr) cublas().layout_destroy(out);
    if (left != nullptr) cublas().layout_destroy(left);
    if (right != nullptr) cublas().layout_destroy(right);
    if (operation != nullptr) cublas().desc_destroy(operation);
  }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublas().desc_set(operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  // An operand whose rows, as stored, are `last` long.
  static void lay_out(cublasLtMatrixLayout_t& layout, Element element, Index last, Index count) {
    check(cublas().layout_create(&layout, type_of(element), static_cast<std::uint64_t>(last),
                                 static_cast<std::uint64_t>(count), last),
          "cublasLtMatrixLayoutCreate");
  }
  void describe(const GemmProblem& p);
  void choose_algorithm(const GemmProblem& p);
};

void GemmHandles::describe(const GemmProblem& p) {
  check(cublas().desc_create(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  set(CUBLASLT_MATMUL_DESC_TRANSA, p.right.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, p.left.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (p.right.scaling != Scaling::none) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, static_cast<std::int32_t>(mode_of(p.right.scaling)));
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(p.right.scales));
  }
  if (p.left.scaling != Scaling::none) {
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, static_cast<std::int32_t>(mode_of(p.left.scaling)));
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(p.left.scales));
  }
  if (is_fp8(p.left.element))
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<std::int8_t>(p.fast_accumulation ? 1 : 0));
  if (p.sms > 0) set(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, static_cast<std::int32_t>(p.sms));
  lay_out(right, p.right.element, p.right.transposed ? p.inner : p.columns, p.right.transposed ? p.columns : p.inner);
  lay_out(left, p.left.element, p.left.transposed ? p.rows : p.inner, p.left.transposed ? p.inner : p.rows);
  lay_out(out, p.out_element, p.columns, p.rows);
  right_data = p.right.data, left_data = p.left.data, out_data = p.out;
  beta = p.accumulate ? 1.0f : 0.0f;
}

void GemmHandles::choose_algorithm(const GemmProblem& p) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublas().preference_create(&preference), "cublasLtMatmulPreferenceCreate");
  const std::size_t most = gemm_workspace_bytes;
  const cublasStatus_t set_most =
      cublas().preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status =
      cublas().heuristic(shared_handle(), operation, right, left, out, out, preference, 1, &result, &found);
  cublas().preference_destroy(preference);
  check(set_most, "cublasLtMatmulPreferenceSetAttribute");
  if (status != CUBLAS_STATUS_SUCCESS || found == 0) {
    throw base::Error(fmt::format("cuBLASLt {} has no algorithm for {} x {} x {} of these types and scales ({})",
                                  cublas().lt_version(), p.rows, p.columns, p.inner, cublas().status_string(status)),
                      "gemm", "FP8 needs sm_89, block scales sm_90");
  }
  algorithm = result.algo;
}

Gemm::Gemm(const GemmProblem& problem) : handles_(std::make_unique<GemmHandles>()) {
  require_fp8_layout(problem);
  handles_->describe(problem);
  handles_->choose_algorithm(problem);
}
Gemm::~Gemm() = default;
Gemm::Gemm(Gemm&&) noexcept = default;
Gemm& Gemm::operator=(Gemm&&) noexcept = default;

void Gemm::enqueue(Stream stream, const DeviceArray<unsigned char>& workspace) const {
  const GemmHandles& h = *handles_;
  const float one = 1.0f;
  check(cublas().matmul(shared_handle(), h.operation, &one, h.right_data, h.right, h.left_data, h.left, &h.beta,
                        h.out_data, h.out, h.out_data, h.out, &h.algorithm, workspace.get(), workspace.bytes(), stream),
        "cublasLtMatmul");
}

}  // namespace hourglass::kernels::cuda
