#include "kernels/bench/bench_cpu_cases.h"

#include <cmath>
#include <limits>

#include "kernels/math/attention.h"
#include "kernels/math/elementwise.h"
#include "kernels/math/linear.h"
#include "kernels/math/loss.h"
#include "kernels/math/token_routing.h"

namespace hourglass::kernels {

namespace {

// Numbers of one stream. Uniform in [-1, 1) times sqrt(3) has deviation 1; single precision in either case.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : random_(seed) {}

  template <class T>
  Tensor<T> tensor(Index rows, Index columns, float deviation = 1.0f) {
    Tensor<T> t(rows, columns);
    const float unit = deviation * std::sqrt(3.0f) * 0x1p-23f;
    for (Index i = 0; i < t.size(); i += 2) {
      const std::uint64_t bits = random_.bits();
      const auto value = [&](std::uint64_t half) {
        return static_cast<T>((static_cast<float>(half & 0xffffffu) - 0x1p23f) * unit);
      };
      t.data()[i] = value(bits);
      if (i + 1 < t.size()) t.data()[i + 1] = value(bits >> 32);
    }
    return t;
  }
  std::vector<std::int32_t> numbers(Index count, Index below) {
    std::vector<std::int32_t> values(static_cast<std::size_t>(count));
    for (std::int32_t& v : values) v = static_cast<std::int32_t>(random_.below(static_cast<std::uint64_t>(below)));
    return values;
  }

 private:
  base::Random random_;
};

template <class T>
void poison(Tensor<T>& t) {
  t.fill(std::numeric_limits<T>::quiet_NaN());
}

std::vector<Index> equal_offsets(Index groups, Index rows) {
  std::vector<Index> offsets;
  for (Index g = 0; g <= groups; ++g) offsets.push_back(g * rows);
  return offsets;
}

// Linear and grouped: `layer` is the one or the other with its offsets bound.
template <class T>
class LinearCase : public CpuOperator<T> {
 public:
  LinearCase(const BenchCase& c, std::uint64_t seed)
      : pass_(c.pass), groups_(c.kernel == "grouped_gemm" ? c.at("groups") : 0) {
    Numbers data(seed);
    const Index copies = std::max<Index>(groups_, 1), m = c.at("m"), n = c.at("n"), k = c.at("k");
    if (pass_ != Pass::backward_input) x_ = data.tensor<T>(copies * m, k);
    if (pass_ != Pass::backward_weight) w_ = data.tensor<T>(copies * n, k, 0.05f);
    if (pass_ != Pass::forward) dy_ = data.tensor<T>(copies * m, n);
    if (pass_ == Pass::forward) out_.resize(copies * m, n);
    if (pass_ == Pass::backward_input) out_.resize(copies * m, k);
    if (pass_ == Pass::backward_weight) out_.resize(copies * n, k);
    offsets_ = equal_offsets(copies, m);
  }
  void run() override {
    if (groups_ > 0) {
      using Layer = GroupedLinear<T>;
      if (pass_ == Pass::forward) return Layer::forward(x_, w_, offsets_, out_);
      if (pass_ == Pass::backward_input) return Layer::input_gradient(dy_, w_, offsets_, out_);
      return Layer::weight_gradient(dy_, x_, offsets_, out_);
    }
    if (pass_ == Pass::forward) return Linear<T>::forward(x_, w_, out_);
    if (pass_ == Pass::backward_input) return Linear<T>::input_gradient(dy_, w_, out_);
    Linear<T>::weight_gradient(dy_, x_, out_);
  }
  void reset() override { pass_ == Pass::backward_weight ? out_.fill(T(1)) : poison(out_); }
  std::vector<Tensor<T>*> outputs() override { return {&out_}; }

 private:
  Pass pass_;
  Index groups_;
  Tensor<T> x_, w_, dy_, out_;
  std::vector<Index> offsets_;
};

template <class T>
class AttentionCase : public CpuOperator<T> {
 public:
  AttentionCase(const BenchCase& c, std::uint64_t seed)
      : forward_(c.pass == Pass::forward), shape_{c.at("q_length"), c.at("heads"), c.at("kv_heads"),
                                                  c.at("qk_dim"),   c.at("v_dim"), c.at("causal") != 0} {
    Numbers data(seed);
    const Index tokens = c.at("batch") * shape_.length;
    q_ = data.tensor<T>(tokens, shape_.heads * shape_.qk_dim);
    k_ = data.tensor<T>(tokens, shape_.kv_heads * shape_.qk_dim);
    v_ = data.tensor<T>(tokens, shape_.kv_heads * shape_.v_dim);
    if (!forward_) d_o_ = data.tensor<T>(tokens, shape_.heads * shape_.v_dim);
    Attention<T>::forward(shape_, q_, k_, v_, o_, log_sum_);
    if (!forward_) dq_.resize(tokens, q_.columns()), dk_.resize(tokens, k_.columns()), dv_.resize(tokens, v_.columns());
  }
  void run() override {
    if (forward_) return Attention<T>::forward(shape_, q_, k_, v_, o_, log_sum_);
    Attention<T>::input_gradient(shape_, d_o_, q_, k_, v_, o_, log_sum_, dq_, dk_, dv_);
  }
  void reset() override {
    for (Tensor<T>* t : outputs()) poison(*t);
  }
  std::vector<Tensor<T>*> outputs() override {
    if (forward_) return {&o_, &log_sum_};
    return {&dq_, &dk_, &dv_};
  }

 private:
  bool forward_;
  AttentionShape shape_;
  Tensor<T> q_, k_, v_, d_o_, o_, log_sum_, dq_, dk_, dv_;
};

template <class T>
class NormCase : public CpuOperator<T> {
 public:
  NormCase(const BenchCase& c, std::uint64_t seed) : pass_(c.pass) {
    Numbers data(seed);
    x_ = data.tensor<T>(c.at("rows"), c.at("width"));
    gain_ = data.tensor<T>(1, c.at("width"));
    if (pass_ != Pass::forward) dy_ = data.tensor<T>(c.at("rows"), c.at("width"));
    RmsNorm<T>::forward(x_, gain_, y_, inverse_rms_);
    if (pass_ == Pass::backward_input) out_.resize(x_.rows(), x_.columns());
    if (pass_ == Pass::backward_weight) out_.resize(1, x_.columns());
  }
  void run() override {
    if (pass_ == Pass::forward) return RmsNorm<T>::forward(x_, gain_, y_, inverse_rms_);
    if (pass_ == Pass::backward_input) return RmsNorm<T>::input_gradient(dy_, x_, gain_, inverse_rms_, out_);
    RmsNorm<T>::weight_gradient(dy_, x_, inverse_rms_, out_);
  }
  void reset() override {
    if (pass_ == Pass::backward_weight) return out_.fill(T(1));
    for (Tensor<T>* t : outputs()) poison(*t);
  }
  std::vector<Tensor<T>*> outputs() override {
    if (pass_ == Pass::forward) return {&y_, &inverse_rms_};
    return {&out_};
  }

 private:
  Pass pass_;
  Tensor<T> x_, gain_, dy_, y_, inverse_rms_, out_;
};

// In place: a reset puts the input back.
template <class T>
class RotaryCase : public CpuOperator<T> {
 public:
  RotaryCase(const BenchCase& c, std::uint64_t seed)
      : forward_(c.pass == Pass::forward),
        heads_(c.at("heads")),
        step_(c.at("step")),
        table_(Rotary<T>::table(c.at("rows"), c.at("width"))) {
    before_ = Numbers(seed).tensor<T>(c.at("rows"), heads_ * step_);
    x_ = before_;
  }
  void run() override {
    const Index first = step_ - table_.width;
    forward_ ? table_.forward(x_, heads_, step_, first) : table_.input_gradient(x_, heads_, step_, first);
  }
  void reset() override { x_ = before_; }
  std::vector<Tensor<T>*> outputs() override { return {&x_}; }

 private:
  bool forward_;
  Index heads_, step_;
  Rotary<T> table_;
  Tensor<T> before_, x_;
};

template <class T>
class SwigluCase : public CpuOperator<T> {
 public:
  SwigluCase(const BenchCase& c, std::uint64_t seed) : forward_(c.pass == Pass::forward) {
    Numbers data(seed);
    gate_up_ = data.tensor<T>(c.at("rows"), 2 * c.at("width"));
    if (!forward_) dy_ = data.tensor<T>(c.at("rows"), c.at("width"));
    out_.resize(c.at("rows"), c.at("width") * (forward_ ? 1 : 2));
  }
  void run() override {
    forward_ ? Swiglu<T>::forward(gate_up_, out_) : Swiglu<T>::input_gradient(dy_, gate_up_, out_);
  }
  void reset() override { poison(out_); }
  std::vector<Tensor<T>*> outputs() override { return {&out_}; }

 private:
  bool forward_;
  Tensor<T> gate_up_, dy_, out_;
};

template <class T>
class PermuteCase : public CpuOperator<T> {
 public:
  PermuteCase(const BenchCase& c, std::uint64_t seed)
      : forward_(c.pass == Pass::forward), back_(c.kernel == "unpermute") {
    Numbers data(seed);
    const Index tokens = c.at("tokens"), rows = tokens * c.at("top_k"), width = c.at("width");
    p_ = permutation_of(data.numbers(rows, c.at("experts")), c.at("experts"), c.at("top_k"));
    weights_ = data.tensor<T>(tokens, c.at("top_k"));
    const bool needs_rows = back_ || !forward_;
    if (needs_rows) rows_ = data.tensor<T>(rows, width);
    if (!needs_rows || (back_ && !forward_)) x_ = data.tensor<T>(tokens, width);
    const bool out_is_rows = back_ != forward_;
    out_.resize(out_is_rows ? rows : tokens, width);
  }
  void run() override {
    if (back_) {
      if (forward_) return Unpermute<T>::forward(p_, rows_, weights_, out_);
      return Unpermute<T>::input_gradient(p_, x_, rows_, weights_, out_, dweights_);
    }
    forward_ ? Permute<T>::forward(p_, x_, out_) : Permute<T>::input_gradient(p_, rows_, out_);
  }
  void reset() override { poison(out_); }
  std::vector<Tensor<T>*> outputs() override {
    if (back_ && !forward_) return {&out_, &dweights_};
    return {&out_};
  }

 private:
  bool forward_, back_;
  Permutation p_;
  Tensor<T> x_, rows_, weights_, out_, dweights_;
};

template <class T>
class RouterCase : public CpuOperator<T> {
 public:
  RouterCase(const BenchCase& c, std::uint64_t seed)
      : forward_(c.pass == Pass::forward),
        shape_{c.at("experts"), c.at("top_k"), c.at("groups"), c.at("groups_per_token")} {
    Numbers data(seed);
    logits_ = data.tensor<T>(c.at("tokens"), shape_.experts);
    bias_ = data.tensor<T>(1, shape_.experts, 0.01f);
    Router<T>::forward(shape_, logits_, bias_, choice_);
    if (!forward_) dweights_ = data.tensor<T>(c.at("tokens"), shape_.top_k);
    dlogits_.resize(c.at("tokens"), shape_.experts);
  }
  void run() override {
    forward_ ? Router<T>::forward(shape_, logits_, bias_, choice_)
             : Router<T>::input_gradient(shape_, choice_, dweights_, dlogits_);
  }
  void reset() override {
    for (Tensor<T>* t : outputs()) poison(*t);
  }
  std::vector<Tensor<T>*> outputs() override {
    if (forward_) return {&choice_.scores, &choice_.weights};
    return {&dlogits_};
  }
  double differing() const override { return 0.01; }

 private:
  bool forward_;
  RouterShape shape_;
  Tensor<T> logits_, bias_, dweights_, dlogits_;
  Choice<T> choice_;
};

template <class T>
class LossCase : public CpuOperator<T> {
 public:
  LossCase(const BenchCase& c, std::uint64_t seed) : forward_(c.pass == Pass::forward) {
    Numbers data(seed);
    before_ = data.tensor<T>(c.at("rows"), c.at("vocabulary"));
    targets_ = data.numbers(c.at("rows"), c.at("vocabulary"));
    logits_ = before_;
    CrossEntropy<T>::forward(logits_, targets_, 1.0, log_sum_);
    loss_.resize(1, 1);
  }
  void run() override {
    if (forward_)
      loss_(0, 0) = static_cast<T>(CrossEntropy<T>::forward(logits_, targets_, 1.0, log_sum_));
    else
      CrossEntropy<T>::input_gradient(logits_, targets_, 1.0, log_sum_);
  }
  void reset() override {
    logits_ = before_;
    if (forward_) poison(log_sum_);
  }
  std::vector<Tensor<T>*> outputs() override {
    if (forward_) return {&log_sum_, &loss_};
    return {&logits_};
  }

 private:
  bool forward_;
  Tensor<T> before_, logits_, log_sum_, loss_;
  std::vector<std::int32_t> targets_;
};

// The simplest memory-bound ones: y += x, a copy, rows of a table.
template <class T>
class StreamCase : public CpuOperator<T> {
 public:
  StreamCase(const BenchCase& c, std::uint64_t seed) : kernel_(c.kernel), forward_(c.pass == Pass::forward) {
    Numbers data(seed);
    if (kernel_ == "embedding") {
      tokens_ = data.numbers(c.at("rows"), c.at("vocabulary"));
      const Tensor<T> table = data.tensor<T>(c.at("vocabulary"), c.at("width"));
      (forward_ ? x_ : y_) = table;
      (forward_ ? y_ : x_) = data.tensor<T>(c.at("rows"), c.at("width"));
    } else {
      const bool copy = kernel_ == "copy";
      const Index rows = copy ? 1 : c.at("rows"), columns = copy ? c.at("bytes") / 4 : c.at("width");
      x_ = data.tensor<T>(rows, columns);
      y_.resize(rows, columns);
    }
    before_ = y_;
  }
  void run() override {
    if (kernel_ == "residual") return y_.add(x_);
    if (kernel_ == "copy") return copy();
    forward_ ? Embedding<T>::forward(tokens_, x_, y_) : Embedding<T>::weight_gradient(tokens_, x_, y_);
  }
  void reset() override {
    y_ = before_;
    if (kernel_ != "residual" && forward_) poison(y_);
  }
  std::vector<Tensor<T>*> outputs() override { return {&y_}; }

 private:
  void copy() {
    constexpr Index piece = 1 << 14;
    const Index pieces = (x_.size() + piece - 1) / piece;
#pragma omp parallel for schedule(static)
    for (Index i = 0; i < pieces; ++i) {
      const T* from = x_.data() + i * piece;
      std::copy(from, from + std::min(piece, x_.size() - i * piece), y_.data() + i * piece);
    }
  }

  std::string kernel_;
  bool forward_;
  std::vector<std::int32_t> tokens_;
  Tensor<T> x_, y_, before_;
};

}  // namespace

template <class T>
std::unique_ptr<CpuOperator<T>> make_cpu_operator(const BenchCase& c, std::uint64_t seed) {
  if (c.kernel == "gemm" || c.kernel == "grouped_gemm") return std::make_unique<LinearCase<T>>(c, seed);
  if (c.kernel == "attention") return std::make_unique<AttentionCase<T>>(c, seed);
  if (c.kernel == "rms_norm") return std::make_unique<NormCase<T>>(c, seed);
  if (c.kernel == "rotary") return std::make_unique<RotaryCase<T>>(c, seed);
  if (c.kernel == "swiglu") return std::make_unique<SwigluCase<T>>(c, seed);
  if (c.kernel == "permute" || c.kernel == "unpermute") return std::make_unique<PermuteCase<T>>(c, seed);
  if (c.kernel == "router") return std::make_unique<RouterCase<T>>(c, seed);
  if (c.kernel == "cross_entropy") return std::make_unique<LossCase<T>>(c, seed);
  if (c.kernel == "residual" || c.kernel == "copy" || c.kernel == "embedding")
    return std::make_unique<StreamCase<T>>(c, seed);
  return nullptr;
}
template std::unique_ptr<CpuOperator<float>> make_cpu_operator<float>(const BenchCase&, std::uint64_t);
template std::unique_ptr<CpuOperator<double>> make_cpu_operator<double>(const BenchCase&, std::uint64_t);

}  // namespace hourglass::kernels
