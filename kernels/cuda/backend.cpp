// The CUDA backend of `hourglass bench`. Times are the device's own, between two events around the kernels of a case,
// after the second-level cache was overwritten.
#include <fmt/format.h>

#include "base/error.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/cuda/cases.h"
#include "kernels/cuda/library.h"

namespace hourglass::kernels {

namespace {

using Prepare = cuda::CasePointer (*)(cuda::Bench&, const BenchCase&, std::uint64_t);

const std::map<std::string, Prepare>& all_cases() {
  static const std::map<std::string, Prepare> cases = {{"gemm", cuda::prepare_gemm},
                                                       {"quantized_linear", cuda::prepare_gemm},
                                                       {"grouped_gemm", cuda::prepare_grouped_gemm},
                                                       {"attention", cuda::prepare_attention},
                                                       {"rms_norm", cuda::prepare_norm},
                                                       {"rotary", cuda::prepare_rotary},
                                                       {"swiglu", cuda::prepare_swiglu},
                                                       {"quantize", cuda::prepare_quantize},
                                                       {"residual", cuda::prepare_residual},
                                                       {"copy", cuda::prepare_copy},
                                                       {"router", cuda::prepare_router},
                                                       {"permute", cuda::prepare_permute},
                                                       {"unpermute", cuda::prepare_permute}};
  return cases;
}

bool is_gemm(const BenchCase& c) {
  return c.kernel == "gemm" || c.kernel == "grouped_gemm" || c.kernel == "quantized_linear";
}

std::string gemm_fault(const BenchCase& c, const cuda::DeviceFacts& facts) {
  if (c.kernel == "quantized_linear" && (c.dtype != "e4m3" || c.recipe != "block" || c.pass != Pass::forward))
    return "quantized_linear is measured forward, in e4m3 with block scales";
  if (c.dtype == "bf16") return c.recipe.empty() ? "" : "BF16 has no recipe";
  if (c.dtype != "e4m3") return "GEMMs are measured in bf16 and e4m3";
  if (c.recipe != "block" && c.recipe != "tensor") return "an FP8 GEMM needs a recipe: block or tensor";
  if (c.recipe == "tensor" && c.kernel != "gemm") return "per-tensor scales are measured with gemm alone";
  if (c.at("m") % 16 != 0 || c.at("n") % 16 != 0 || c.at("k") % 16 != 0)
    return "a size of an FP8 GEMM is not a multiple of 16";
  const bool hopper = facts.major == 9, ada = facts.major == 8 && facts.minor == 9;
  if (c.recipe == "block" && !hopper) return "block scales need compute capability 9.0";
  return hopper || ada ? "" : "FP8 needs compute capability 8.9";
}

std::string attention_fault(const BenchCase& c) {
  const AttentionShape a{c.at("q_length"), c.at("heads"), c.at("kv_heads"),
                         c.at("qk_dim"),   c.at("v_dim"), c.at("causal") != 0};
  if (c.at("q_length") != c.at("kv_length")) return "queries and keys of different length have no kernel here";
  if (c.pass == Pass::backward_weight) return "attention has no weights";
  return cuda::attention_supported(a)
             ? ""
             : "head widths other than (64, 64), (128, 128) and (192, 128) have no kernel here";
}

std::string sizes_fault(const BenchCase& c) {
  if (c.pass == Pass::backward_weight && c.kernel != "rms_norm") return "has no weights";
  if (c.pass != Pass::forward && (c.kernel == "copy" || c.kernel == "quantize" || c.kernel == "residual"))
    return "has no gradient of its own";
  if (c.kernel == "copy") return c.at("bytes") % 2 == 0 ? "" : "an odd number of bytes";
  if (c.kernel == "rotary")
    return c.at("width") % 2 == 0 && c.at("step") % 2 == 0 && c.at("width") <= c.at("step")
               ? ""
               : "odd widths, or wider than the step";
  if (c.kernel == "router")
    return c.at("experts") <= 512 && c.at("top_k") <= 32 && c.at("groups") <= 32 &&
                   c.at("experts") % c.at("groups") == 0 &&
                   c.at("top_k") <= c.at("experts") / c.at("groups") * c.at("groups_per_token")
               ? ""
               : "more than 512 experts, 32 choices or 32 groups, or groups that do not fit";
  if (c.kernel == "quantize") {
    if (c.at("block_rows") != 1 && c.at("block_rows") != 128) return "blocks are 1 x 128 or 128 x 128";
    return c.at("width") % 16 == 0 ? "" : "the width is not a multiple of 16";
  }
  return c.at("width") % 8 == 0 ? "" : "the width is not a multiple of 8";
}

class CudaBackend : public Backend {
 public:
  std::string name() const override { return "cuda"; }
  DeviceDescription device() override {
    DeviceDescription d{bench_.facts.name, bench_.facts.facts, "kernel", bench_.facts.sms};
    if (clock_hz_ == 0.0) clock_hz_ = cuda::measured_clock_hz(bench_.stream.get());
    d.facts["clock_MHz"] = fmt::format("{:.0f}", clock_hz_ * 1e-6);
    d.facts["libraries"] = fmt::format("cuBLASLt {}; attention of our own on mma.sync", cuda::cublas().lt_version());
    return d;
  }
  std::string unsupported(const BenchCase& c) const override {
    if (!all_cases().contains(c.kernel)) return fmt::format("{} has no CUDA kernel here", c.kernel);
    if (is_gemm(c)) return gemm_fault(c, bench_.facts);
    if (c.dtype != "bf16") return "measured in bf16";
    return c.kernel == "attention" ? attention_fault(c) : sizes_fault(c);
  }
  std::unique_ptr<PreparedCase> prepare(const BenchCase& c, std::uint64_t seed) override {
    return all_cases().at(c.kernel)(bench_, c, seed);
  }

 private:
  cuda::Bench bench_;
  double clock_hz_ = 0.0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions&) { return std::make_unique<CudaBackend>(); }

}  // namespace hourglass::kernels
