// GEMM-bound cases. What FP8 GEMMs read is quantised by our kernels from BF16 numbers, once, before any timing;
// quantized_linear quantises its input in the time.
#include <fmt/format.h>

#include "kernels/cuda/cases.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/products.h"

namespace hourglass::kernels::cuda {

namespace {

constexpr Index samples = 512;

// An operand of a problem, [outer, inner] with the inner dimension last, or first.
struct Stored {
  DeviceArray<Bf16> values;
  DeviceArray<std::uint8_t> codes;
  DeviceArray<float> scales;
  Operand operand;
};

// The three GEMMs of a layer y[m, n] = x[m, k] w[n, k]^T.
struct Sizes {
  Index rows, columns, inner;
  bool left_inner_first, right_inner_first, accumulate;
};
Sizes sizes_of(Pass pass, Index m, Index n, Index k) {
  if (pass == Pass::forward) return {m, n, k, false, false, false};
  if (pass == Pass::backward_input) return {m, k, n, false, true, false};
  return {n, k, m, true, true, true};
}

class GemmBase : public CudaCase {
 public:
  using CudaCase::CudaCase;

 protected:
  Stored bf16(Index outer, Index inner, bool inner_first) {
    Stored s;
    s.values = random(outer * inner);
    s.operand = {s.values.get(), Element::bf16, false, Scaling::none, nullptr};
    s.operand.transposed = inner_first;
    return s;
  }
  // Codes have the inner dimension last whatever the numbers had: whoever quantises for another pass transposes.
  Stored fp8(Index outer, Index inner, bool inner_first, Scaling scaling) {
    Stored s = bf16(outer, inner, inner_first);
    s.codes = DeviceArray<std::uint8_t>(outer * inner);
    quantize_stored(s, outer, inner, inner_first, scaling);
    synchronize(stream());
    s.operand = {s.codes.get(), Element::e4m3, false, scaling, s.scales.get()};
    return s;
  }

 private:
  void quantize_stored(Stored& s, Index outer, Index inner, bool inner_first, Scaling scaling) {
    if (scaling == Scaling::tensor) {
      constexpr float scale = 6.0f / 448.0f;  // of normal numbers, few of which are larger than 6
      s.scales = DeviceArray<float>(std::vector<float>{scale});
      quantize_tensor(stream(), s.codes.get(), s.values.get(), scale, outer * inner, e4m3);
    } else if (scaling == Scaling::rows) {
      s.scales = DeviceArray<float>(row_scale_count(outer, inner));
      const ScaledFp8 out{s.codes.get(), s.scales.get()};
      if (inner_first) quantize_columns(stream(), out, s.values.get(), inner, outer, {});
      if (!inner_first) quantize_rows(stream(), out, s.values.get(), outer, inner, {});
    } else {
      s.scales = DeviceArray<float>(block_scale_count(outer, inner));
      const DeviceArray<std::uint8_t> other(outer * inner);
      const DeviceArray<float> other_scales(block_scale_count(inner, outer));
      const ScaledFp8 out{s.codes.get(), s.scales.get()}, unused{other.get(), other_scales.get()};
      if (inner_first) quantize_blocks(stream(), unused, out, s.values.get(), inner, outer, {});
      if (!inner_first) quantize_blocks(stream(), out, {}, s.values.get(), outer, inner, {});
      synchronize(stream());  // before `other` goes
    }
  }
};

class GemmCase : public GemmBase {
 public:
  GemmCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : GemmBase(bench), quantizes_(c.kernel == "quantized_linear") {
    seed(first_seed);
    const Sizes s = sizes_of(c.pass, c.at("m"), c.at("n"), c.at("k"));
    const bool is_fp8 = c.dtype == "e4m3", tensor = c.recipe == "tensor";
    // Weights are scaled by blocks, activations and their gradients by rows; a weight gradient has no weight in it.
    const Scaling left = tensor ? Scaling::tensor : Scaling::rows;
    const Scaling right = tensor ? Scaling::tensor : c.pass == Pass::backward_weight ? Scaling::rows : Scaling::blocks;
    left_ =
        is_fp8 ? fp8(s.rows, s.inner, s.left_inner_first && !tensor, left) : bf16(s.rows, s.inner, s.left_inner_first);
    right_ = is_fp8 ? fp8(s.columns, s.inner, s.right_inner_first && !tensor, right)
                    : bf16(s.columns, s.inner, s.right_inner_first);
    // A right operand with the inner dimension last is what GemmProblem calls transposed.
    right_.operand.transposed = is_fp8 || !s.right_inner_first;
    problem_ = {s.rows, s.columns, s.inner, left_.operand, right_.operand};
    problem_.fast_accumulation = tensor && c.pass == Pass::forward;
    problem_.accumulate = s.accumulate;
    if (s.accumulate) {
      sums_ = DeviceArray<float>(std::vector<float>(static_cast<std::size_t>(s.rows * s.columns), 0.0f));
      problem_.out = sums_.get(), problem_.out_element = Element::fp32;
    } else {
      out_ = DeviceArray<Bf16>(s.rows * s.columns);
      problem_.out = out_.get();
      output("the product", out_);
    }
    check_seed_ = next_seed();
    gemm_ = std::make_unique<Gemm>(problem_);
  }

 private:
  void enqueue(Stream stream) override {
    if (quantizes_)
      quantize_rows(stream, {left_.codes.get(), left_.scales.get()}, left_.values.get(), problem_.rows, problem_.inner,
                    {});
    gemm_->enqueue(stream, workspace_);
  }
  std::string compare() override { return check_products(stream(), problem_, samples, check_seed_, sum_tolerance); }

  bool quantizes_;
  Stored left_, right_;
  DeviceArray<Bf16> out_;
  DeviceArray<float> sums_;
  DeviceArray<unsigned char> workspace_{gemm_workspace_bytes};
  GemmProblem problem_;
  std::unique_ptr<Gemm> gemm_;
  std::uint64_t check_seed_ = 0;
};

class GroupedCase : public GemmBase {
 public:
  GroupedCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed) : GemmBase(bench) {
    seed(first_seed);
    const Sizes s = sizes_of(c.pass, c.at("m"), c.at("n"), c.at("k"));
    const bool is_fp8 = c.dtype == "e4m3";
    const Scaling right = c.pass == Pass::backward_weight ? Scaling::rows : Scaling::blocks;
    const Index groups = c.at("groups"), each = s.rows * s.columns;
    if (s.accumulate) {
      sums_ = DeviceArray<float>(std::vector<float>(static_cast<std::size_t>(groups * each), 0.0f));
    } else {
      out_ = DeviceArray<Bf16>(groups * each);
      output("the products", out_);
    }
    for (Index g = 0; g < groups; ++g) {
      left_.push_back(is_fp8 ? fp8(s.rows, s.inner, s.left_inner_first, Scaling::rows)
                             : bf16(s.rows, s.inner, s.left_inner_first));
      right_.push_back(is_fp8 ? fp8(s.columns, s.inner, s.right_inner_first, right)
                              : bf16(s.columns, s.inner, s.right_inner_first));
      right_.back().operand.transposed = is_fp8 || !s.right_inner_first;
      GemmProblem p{s.rows, s.columns, s.inner, left_.back().operand, right_.back().operand};
      p.accumulate = s.accumulate;
      p.out_element = s.accumulate ? Element::fp32 : Element::bf16;
      p.out = s.accumulate ? static_cast<void*>(sums_.get() + g * each) : static_cast<void*>(out_.get() + g * each);
      problems_.push_back(p);
    }
    check_seed_ = next_seed();
    gemms_ = std::make_unique<GroupedGemm>(problems_);
  }

 private:
  void enqueue(Stream stream) override { gemms_->enqueue(stream); }
  std::string compare() override {
    for (std::size_t g = 0; g < problems_.size(); ++g) {
      const std::string fault = check_products(stream(), problems_[g], 64, check_seed_ + g, sum_tolerance);
      if (!fault.empty()) return fmt::format("group {}: {}", g, fault);
    }
    return "";
  }

  std::vector<Stored> left_, right_;
  DeviceArray<Bf16> out_;
  DeviceArray<float> sums_;
  std::vector<GemmProblem> problems_;
  std::unique_ptr<GroupedGemm> gemms_;
  std::uint64_t check_seed_ = 0;
};

}  // namespace

CasePointer prepare_gemm(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<GemmCase>(bench, c, seed);
}
CasePointer prepare_grouped_gemm(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<GroupedCase>(bench, c, seed);
}

}  // namespace hourglass::kernels::cuda
