#include "kernels/cuda/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "base/error.h"

namespace hourglass::kernels::cuda {

Library::Library(const char* name) : name_(name), handle_(dlopen(name, RTLD_NOW | RTLD_GLOBAL)) {
  if (handle_ == nullptr) throw base::Error(dlerror(), name, "install it, or name its folder in LD_LIBRARY_PATH");
}

void* Library::address_of(const char* symbol) const {
  void* address = dlsym(handle_, symbol);
  if (address == nullptr)
    throw base::Error(fmt::format("has no {}", symbol), name_, "install the version that this program was built with");
  return address;
}

namespace {

// The names that the headers' functions have in the library: cublas_v2.h redirects some to a second version.
Cublas load() {
  const Library lt(fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR).c_str());
  const Library blas(fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR).c_str());
  Cublas c{};
  lt.find(c.lt_create, "cublasLtCreate");
  lt.find(c.lt_destroy, "cublasLtDestroy");
  lt.find(c.lt_version, "cublasLtGetVersion");
  lt.find(c.matmul, "cublasLtMatmul");
  lt.find(c.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  lt.find(c.desc_create, "cublasLtMatmulDescCreate");
  lt.find(c.desc_destroy, "cublasLtMatmulDescDestroy");
  lt.find(c.desc_set, "cublasLtMatmulDescSetAttribute");
  lt.find(c.layout_create, "cublasLtMatrixLayoutCreate");
  lt.find(c.layout_destroy, "cublasLtMatrixLayoutDestroy");
  lt.find(c.preference_create, "cublasLtMatmulPreferenceCreate");
  lt.find(c.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  lt.find(c.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  blas.find(c.status_string, "cublasGetStatusString");
  blas.find(c.create, "cublasCreate_v2");
  blas.find(c.destroy, "cublasDestroy_v2");
  blas.find(c.set_stream, "cublasSetStream_v2");
  blas.find(c.set_workspace, "cublasSetWorkspace_v2");
  blas.find(c.grouped, "cublasGemmGroupedBatchedEx");
  return c;
}

}  // namespace

const Cublas& cublas() {
  static const Cublas functions = load();
  return functions;
}

}  // namespace hourglass::kernels::cuda
