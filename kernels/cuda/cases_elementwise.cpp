// Memory-bound cases. Rows are independent, so 64 of them are checked; the gain's gradient, which is a sum over all
// rows, in 64 columns.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda/cases.h"
#include "kernels/cuda/check.h"
#include "kernels/math/elementwise.h"
#include "kernels/math/quantize.h"

namespace hourglass::kernels::cuda {

namespace {

constexpr Index sample = 64;

class NormCase : public CudaCase {
 public:
  NormCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), pass_(c.pass), rows_(c.at("rows")), width_(c.at("width")) {
    seed(first_seed);
    x_ = random(rows_ * width_);
    dy_ = random(rows_ * width_);
    gain_ = random_float(width_);
    out_ = DeviceArray<Bf16>(rows_ * width_);
    inverse_ = DeviceArray<float>(rows_);
    workspace_ = DeviceArray<float>(rms_norm_strips(rows_) * width_);
    rms_norm_forward(stream(), out_.get(), inverse_.get(), x_.get(), gain_.get(), rows_, width_, epsilon);
    synchronize(stream());
    dgain_ = DeviceArray<float>(std::vector<float>(static_cast<std::size_t>(width_), 0.0f));
    if (pass_ != Pass::backward_weight) output("the result", out_);
    if (pass_ == Pass::forward) output("the inverse norms", inverse_);
  }

 private:
  static constexpr float epsilon = static_cast<float>(RmsNorm<float>::epsilon);

  void enqueue(Stream stream) override {
    if (pass_ == Pass::forward)
      rms_norm_forward(stream, out_.get(), inverse_.get(), x_.get(), gain_.get(), rows_, width_, epsilon);
    if (pass_ == Pass::backward_input)
      rms_norm_input_gradient(stream, out_.get(), dy_.get(), x_.get(), gain_.get(), inverse_.get(), rows_, width_);
    if (pass_ == Pass::backward_weight)
      rms_norm_weight_gradient(stream, dgain_.get(), workspace_.get(), dy_.get(), x_.get(), inverse_.get(), rows_,
                               width_);
  }
  std::string compare() override {
    Tensor<float> y, inverse;
    if (pass_ == Pass::backward_weight) {
      const Index columns = std::min(sample, width_);
      Tensor<float> dgain(1, columns);
      RmsNorm<float>::weight_gradient(part(dy_, width_, 0, rows_, 0, columns), part(x_, width_, 0, rows_, 0, columns),
                                      part(inverse_, 1, 0, rows_, 0, 1), dgain);
      return differences("the gain's gradient", part(dgain_, width_, 0, 1, 0, columns), dgain, 1e-3);
    }
    const Index rows = std::min(sample, rows_);
    const Tensor<float> x = part(x_, width_, 0, rows, 0, width_), gain = part(gain_, width_, 0, 1, 0, width_);
    RmsNorm<float>::forward(x, gain, y, inverse);
    if (pass_ == Pass::backward_input)
      RmsNorm<float>::input_gradient(part(dy_, width_, 0, rows, 0, width_), x, gain, inverse, y);
    return differences("the result", part(out_, width_, 0, rows, 0, width_), y, bf16_tolerance);
  }

  Pass pass_;
  Index rows_, width_;
  DeviceArray<Bf16> x_, dy_, out_;
  DeviceArray<float> gain_, inverse_, workspace_, dgain_;
};

class RotaryCase : public CudaCase {
 public:
  RotaryCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), direction_(c.pass == Pass::forward ? 1.0f : -1.0f) {
    seed(first_seed);
    const Index rows = c.at("rows"), heads = c.at("heads"), step = c.at("step"), width = c.at("width");
    place_ = {rows, heads * step, heads, step, step - width, width, std::min<Index>(rows, 4096)};
    x_ = random(rows * place_.columns);
    table_ = Rotary<float>::table(place_.length, width);
    cosines_ =
        DeviceArray<float>(std::vector<float>(table_.cosines.data(), table_.cosines.data() + table_.cosines.size()));
    sines_ = DeviceArray<float>(std::vector<float>(table_.sines.data(), table_.sines.data() + table_.sines.size()));
    before_ = part(x_, place_.columns, 0, std::min(sample, rows), 0, place_.columns);
  }

 private:
  void enqueue(Stream stream) override { rotary(stream, x_.get(), cosines_.get(), sines_.get(), place_, direction_); }
  std::string compare() override {
    Tensor<float> expected = before_;
    if (direction_ > 0.0f) table_.forward(expected, place_.heads, place_.step, place_.first);
    if (direction_ < 0.0f) table_.input_gradient(expected, place_.heads, place_.step, place_.first);
    return differences("the result", part(x_, place_.columns, 0, expected.rows(), 0, place_.columns), expected,
                       bf16_tolerance);
  }

  float direction_;
  RotaryPlace place_;
  DeviceArray<Bf16> x_;
  Rotary<float> table_;
  DeviceArray<float> cosines_, sines_;
  Tensor<float> before_;
};

class SwigluCase : public CudaCase {
 public:
  SwigluCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), forward_(c.pass == Pass::forward), rows_(c.at("rows")), width_(c.at("width")) {
    seed(first_seed);
    gate_up_ = random(rows_ * 2 * width_);
    if (!forward_) dy_ = random(rows_ * width_);
    out_ = DeviceArray<Bf16>(rows_ * width_ * (forward_ ? 1 : 2));
    output("the result", out_);
  }

 private:
  void enqueue(Stream stream) override {
    if (forward_) swiglu_forward(stream, out_.get(), gate_up_.get(), rows_, width_);
    if (!forward_) swiglu_input_gradient(stream, out_.get(), dy_.get(), gate_up_.get(), rows_, width_);
  }
  std::string compare() override {
    const Index rows = std::min(sample, rows_), out_width = width_ * (forward_ ? 1 : 2);
    const Tensor<float> gate_up = part(gate_up_, 2 * width_, 0, rows, 0, 2 * width_);
    Tensor<float> expected;
    if (forward_) Swiglu<float>::forward(gate_up, expected);
    if (!forward_) Swiglu<float>::input_gradient(part(dy_, width_, 0, rows, 0, width_), gate_up, expected);
    return differences("the result", part(out_, out_width, 0, rows, 0, out_width), expected, bf16_tolerance);
  }

  bool forward_;
  Index rows_, width_;
  DeviceArray<Bf16> gate_up_, dy_, out_;
};

class QuantizeCase : public CudaCase {
 public:
  QuantizeCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), blocks_(c.at("block_rows") == 128), rows_(c.at("rows")), width_(c.at("width")) {
    seed(first_seed);
    x_ = random(rows_ * width_);
    codes_ = DeviceArray<std::uint8_t>(rows_ * width_);
    scales_ = DeviceArray<float>(blocks_ ? block_scale_count(rows_, width_) : row_scale_count(rows_, width_));
  }

 private:
  void enqueue(Stream stream) override {
    if (blocks_) quantize_blocks(stream, {codes_.get(), scales_.get()}, {}, x_.get(), rows_, width_, {});
    if (!blocks_) quantize_rows(stream, {codes_.get(), scales_.get()}, x_.get(), rows_, width_, {});
  }
  // Bit for bit: the first blocks of rows.
  std::string compare() override {
    const Index rows = std::min<Index>(128, rows_), block = blocks_ ? 128 : 1;
    const Quantized expected = quantize(part(x_, width_, 0, rows, 0, width_), {block, 128, e4m3, false});
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * width_));
    copy_out(codes.data(), codes_.get(), codes.size());
    const std::vector<float> scales = scales_.values();
    const Index across = (width_ + 127) / 128, pitch = blocks_ ? (across + 3) / 4 * 4 : (rows_ + 3) / 4 * 4;
    for (Index r = 0; r < rows; r += block) {
      for (Index b = 0; b < across; ++b) {
        const float got = scales[static_cast<std::size_t>(blocks_ ? r / block * pitch + b : b * pitch + r)];
        if (got != expected.scale_at(r, b * 128))
          return fmt::format("the scale of row {}, block {} is {}, on the CPU {}", r, b, got,
                             expected.scale_at(r, b * 128));
      }
    }
    return codes == expected.codes ? "" : "codes differ from the CPU's";
  }

  bool blocks_;
  Index rows_, width_;
  DeviceArray<Bf16> x_;
  DeviceArray<std::uint8_t> codes_;
  DeviceArray<float> scales_;
};

class ResidualCase : public CudaCase {
 public:
  ResidualCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), rows_(c.at("rows")), width_(c.at("width")) {
    seed(first_seed);
    x_ = random(rows_ * width_, 0.001f);  // small: every run adds it
    y_ = random(rows_ * width_);
    before_ = part(y_, width_, 0, std::min(sample, rows_), 0, width_);
  }

 private:
  void enqueue(Stream stream) override { residual_add(stream, y_.get(), x_.get(), rows_ * width_); }
  std::string compare() override {
    Tensor<float> expected = before_;
    expected.add(part(x_, width_, 0, expected.rows(), 0, width_));
    return differences("the sum", part(y_, width_, 0, expected.rows(), 0, width_), expected, bf16_tolerance);
  }

  Index rows_, width_;
  DeviceArray<Bf16> x_, y_;
  Tensor<float> before_;
};

class CopyCase : public CudaCase {
 public:
  CopyCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed) : CudaCase(bench) {
    seed(first_seed);
    from_ = random(std::max<Index>(c.at("bytes") / 2, 1));
    to_ = DeviceArray<Bf16>(from_.size());
    output("the copy", to_);
  }

 private:
  void enqueue(Stream stream) override {
    kernels::cuda::check(cudaMemcpyAsync(to_.get(), from_.get(), from_.bytes(), cudaMemcpyDeviceToDevice, stream),
                         "cudaMemcpyAsync on the device");
  }
  std::string compare() override {
    const Index count = std::min<Index>(from_.size(), 1 << 20), last = from_.size() - count;
    return differences("the copy", part(to_, count, 0, 1, last, count), part(from_, count, 0, 1, last, count), 0.0);
  }

  DeviceArray<Bf16> from_, to_;
};

}  // namespace

CasePointer prepare_norm(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<NormCase>(bench, c, seed);
}
CasePointer prepare_rotary(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<RotaryCase>(bench, c, seed);
}
CasePointer prepare_swiglu(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<SwigluCase>(bench, c, seed);
}
CasePointer prepare_quantize(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<QuantizeCase>(bench, c, seed);
}
CasePointer prepare_residual(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<ResidualCase>(bench, c, seed);
}
CasePointer prepare_copy(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<CopyCase>(bench, c, seed);
}

}  // namespace hourglass::kernels::cuda
