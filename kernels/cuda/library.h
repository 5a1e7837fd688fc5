#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <string>

// cuBLAS, loaded when it is first needed. Linked, it and its 600 MB would cost every command of ours a second of
// start-up. The types of the functions are those of the headers, so a call is checked as if it were linked.
namespace hourglass::kernels::cuda {

// A shared library that stays loaded. Throws base::Error if it, or a function of it, is not found.
class Library {
 public:
  explicit Library(const char* name);
  template <class Function>
  void find(Function*& function, const char* symbol) const {
    function = reinterpret_cast<Function*>(address_of(symbol));
  }

 private:
  void* address_of(const char* symbol) const;
  std::string name_;
  void* handle_;
};

struct Cublas {
  decltype(::cublasLtCreate)* lt_create;
  decltype(::cublasLtDestroy)* lt_destroy;
  decltype(::cublasLtGetVersion)* lt_version;
  decltype(::cublasLtMatmul)* matmul;
  decltype(::cublasLtMatmulAlgoGetHeuristic)* heuristic;
  decltype(::cublasLtMatmulDescCreate)* desc_create;
  decltype(::cublasLtMatmulDescDestroy)* desc_destroy;
  decltype(::cublasLtMatmulDescSetAttribute)* desc_set;
  decltype(::cublasLtMatrixLayoutCreate)* layout_create;
  decltype(::cublasLtMatrixLayoutDestroy)* layout_destroy;
  decltype(::cublasLtMatmulPreferenceCreate)* preference_create;
  decltype(::cublasLtMatmulPreferenceDestroy)* preference_destroy;
  decltype(::cublasLtMatmulPreferenceSetAttribute)* preference_set;
  decltype(::cublasGetStatusString)* status_string;
  decltype(::cublasCreate)* create;
  decltype(::cublasDestroy)* destroy;
  decltype(::cublasSetStream)* set_stream;
  decltype(::cublasSetWorkspace)* set_workspace;
  decltype(::cublasGemmGroupedBatchedEx)* grouped;
};
const Cublas& cublas();

}  // namespace hourglass::kernels::cuda
