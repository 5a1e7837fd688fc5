// Attention, router and the moves of rows. Attention is checked in one key-value head and its query heads; permutations
// in 64 columns, because a column of them knows nothing of its neighbours.
#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda/cases.h"
#include "kernels/math/attention.h"
#include "kernels/math/token_routing.h"

namespace hourglass::kernels::cuda {

namespace {

class AttentionCase : public CudaCase {
 public:
  AttentionCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), forward_(c.pass == Pass::forward) {
    seed(first_seed);
    a_ = {c.at("q_length"), c.at("heads"), c.at("kv_heads"), c.at("qk_dim"), c.at("v_dim"), c.at("causal") != 0};
    tokens_ = c.at("batch") * a_.length;
    q_ = random(tokens_ * a_.heads * a_.qk_dim);
    k_ = random(tokens_ * a_.kv_heads * a_.qk_dim);
    v_ = random(tokens_ * a_.kv_heads * a_.v_dim);
    o_ = DeviceArray<Bf16>(tokens_ * a_.heads * a_.v_dim);
    log_sum_ = DeviceArray<float>(tokens_ * a_.heads);
    if (forward_) {
      output("o", o_);
      output("the logarithms of sums", log_sum_);
      return;
    }
    attention_forward(stream(), a_, o_.get(), log_sum_.get(), q_.get(), k_.get(), v_.get(), tokens_);
    d_o_ = random(o_.size());
    dq_ = DeviceArray<Bf16>(q_.size()), dk_ = DeviceArray<Bf16>(k_.size()), dv_ = DeviceArray<Bf16>(v_.size());
    delta_ = DeviceArray<float>(log_sum_.size());
    output("dq", dq_), output("dk", dk_), output("dv", dv_);
  }

 private:
  void enqueue(Stream stream) override {
    if (forward_) attention_forward(stream, a_, o_.get(), log_sum_.get(), q_.get(), k_.get(), v_.get(), tokens_);
    if (!forward_)
      attention_input_gradient(stream, a_, {dq_.get(), dk_.get(), dv_.get(), delta_.get()}, d_o_.get(), q_.get(),
                               k_.get(), v_.get(), o_.get(), log_sum_.get(), tokens_);
  }
  // The heads from `first` of the last sequence.
  Tensor<float> heads(const DeviceArray<Bf16>& x, Index all, Index dim, Index first, Index count) const {
    return part(x, all * dim, tokens_ - a_.length, a_.length, first * dim, count * dim);
  }
  std::string compare() override {
    const Index kv_head = a_.kv_heads - 1, share = a_.heads / a_.kv_heads, head = kv_head * share;
    AttentionShape one = a_;
    one.heads = share, one.kv_heads = 1;
    const Tensor<float> q = heads(q_, a_.heads, a_.qk_dim, head, share),
                        k = heads(k_, a_.kv_heads, a_.qk_dim, kv_head, 1),
                        v = heads(v_, a_.kv_heads, a_.v_dim, kv_head, 1);
    Tensor<float> o, log_sum, dq, dk, dv;
    Attention<float>::forward(one, q, k, v, o, log_sum);
    if (forward_) return differences("o", heads(o_, a_.heads, a_.v_dim, head, share), o, sum_tolerance);
    Attention<float>::input_gradient(one, heads(d_o_, a_.heads, a_.v_dim, head, share), q, k, v, o, log_sum, dq, dk,
                                     dv);
    std::string fault = differences("dq", heads(dq_, a_.heads, a_.qk_dim, head, share), dq, gradient_tolerance);
    if (fault.empty())
      fault = differences("dk", heads(dk_, a_.kv_heads, a_.qk_dim, kv_head, 1), dk, gradient_tolerance);
    if (fault.empty()) fault = differences("dv", heads(dv_, a_.kv_heads, a_.v_dim, kv_head, 1), dv, gradient_tolerance);
    return fault;
  }

  bool forward_;
  AttentionShape a_;
  Index tokens_ = 0;
  DeviceArray<Bf16> q_, k_, v_, o_, d_o_, dq_, dk_, dv_;
  DeviceArray<float> log_sum_, delta_;
};

class RouterCase : public CudaCase {
 public:
  RouterCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench), forward_(c.pass == Pass::forward), tokens_(c.at("tokens")) {
    seed(first_seed);
    shape_ = {c.at("experts"), c.at("top_k"), c.at("groups"), c.at("groups_per_token"), 2.5};
    logits_ = random_float(tokens_ * shape_.experts);
    bias_ = random_float(shape_.experts, 0.05f);
    dweights_ = random_float(tokens_ * shape_.top_k);
    experts_ = DeviceArray<std::int32_t>(tokens_ * shape_.top_k);
    weights_ = DeviceArray<float>(tokens_ * shape_.top_k);
    scores_ = DeviceArray<float>(logits_.size());
    dlogits_ = DeviceArray<float>(logits_.size());
    router_forward(stream(), shape_, experts_.get(), weights_.get(), scores_.get(), logits_.get(), bias_.get(),
                   tokens_);
    synchronize(stream());
    if (forward_) output("the weights", weights_), output("the scores", scores_);
    if (!forward_) output("dlogits", dlogits_);
  }

 private:
  void enqueue(Stream stream) override {
    if (forward_)
      router_forward(stream, shape_, experts_.get(), weights_.get(), scores_.get(), logits_.get(), bias_.get(),
                     tokens_);
    if (!forward_)
      router_input_gradient(stream, shape_, dlogits_.get(), experts_.get(), scores_.get(), dweights_.get(), tokens_);
  }
  std::string compare() override {
    const Index e = shape_.experts, k = shape_.top_k;
    Choice<float> choice;
    Router<float>::forward(shape_, part(logits_, e, 0, tokens_, 0, e), part(bias_, e, 0, 1, 0, e), choice);
    const std::vector<std::int32_t> experts = experts_.values();
    if (!forward_) {
      choice.experts = experts;
      Tensor<float> dlogits;
      Router<float>::input_gradient(shape_, choice, part(dweights_, k, 0, tokens_, 0, k), dlogits);
      return differences("dlogits", part(dlogits_, e, 0, tokens_, 0, e), dlogits, 1e-4);
    }
    // A unit in the last place of a sigmoid may turn around two experts that are as good as equal.
    Index different = 0;
    for (std::size_t i = 0; i < experts.size(); ++i) different += experts[i] != choice.experts[i] ? 1 : 0;
    if (different * 1000 > static_cast<Index>(experts.size()))
      return fmt::format("{} of {} choices differ from the CPU's", different, experts.size());
    return differences("the scores", part(scores_, e, 0, tokens_, 0, e), choice.scores, 1e-5);
  }

  bool forward_;
  Index tokens_;
  RouterShape shape_;
  DeviceArray<float> logits_, bias_, dweights_, weights_, scores_, dlogits_;
  DeviceArray<std::int32_t> experts_;
};

class PermuteCase : public CudaCase {
 public:
  PermuteCase(Bench& bench, const BenchCase& c, std::uint64_t first_seed)
      : CudaCase(bench),
        unpermutes_(c.kernel == "unpermute"),
        forward_(c.pass == Pass::forward),
        tokens_(c.at("tokens")),
        top_k_(c.at("top_k")),
        width_(c.at("width")),
        p_(make_permutation(c, first_seed)) {
    seed(first_seed);
    const auto narrow = [](const std::vector<Index>& wide) {
      return DeviceArray<std::int32_t>(std::vector<std::int32_t>(wide.begin(), wide.end()));
    };
    offsets_ = narrow(p_.offsets), slot_of_row_ = narrow(p_.slot_of_row), row_of_slot_ = narrow(p_.row_of_slot);
    device_ = {offsets_.get(), slot_of_row_.get(), row_of_slot_.get()};
    tokens_in_ = random(tokens_ * width_);
    rows_in_ = random(tokens_ * top_k_ * width_);
    weights_ = random_float(tokens_ * top_k_);
    dweights_ = DeviceArray<float>(tokens_ * top_k_);
    const bool to_rows = unpermutes_ != forward_;
    out_ = DeviceArray<Bf16>(to_rows ? rows_in_.size() : tokens_in_.size());
    output("the rows", out_);
    if (unpermutes_ && !forward_) output("the weights' gradient", dweights_);
  }

 private:
  static Permutation make_permutation(const BenchCase& c, std::uint64_t seed) {
    base::Random random(seed);
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(c.at("tokens") * c.at("top_k")));
    for (std::int32_t& e : chosen)
      e = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(c.at("experts"))));
    return permutation_of(chosen, c.at("experts"), c.at("top_k"));
  }
  void enqueue(Stream stream) override {
    const Index slots = tokens_ * top_k_;
    if (!unpermutes_ && forward_) permute_forward(stream, out_.get(), tokens_in_.get(), device_, slots, top_k_, width_);
    if (!unpermutes_ && !forward_)
      permute_input_gradient(stream, out_.get(), rows_in_.get(), device_, tokens_, top_k_, width_);
    if (unpermutes_ && forward_)
      unpermute_forward(stream, out_.get(), rows_in_.get(), weights_.get(), device_, tokens_, top_k_, width_);
    if (unpermutes_ && !forward_)
      unpermute_input_gradient(stream, out_.get(), dweights_.get(), tokens_in_.get(), rows_in_.get(), weights_.get(),
                               device_, tokens_, top_k_, width_);
  }
  std::string compare() override {
    const Index columns = std::min<Index>(64, width_), slots = tokens_ * top_k_,
                count = unpermutes_ != forward_ ? slots : tokens_;
    const Tensor<float> tokens = part(tokens_in_, width_, 0, tokens_, 0, columns),
                        rows = part(rows_in_, width_, 0, slots, 0, columns);
    const Tensor<float> weights = part(weights_, top_k_, 0, tokens_, 0, top_k_);
    Tensor<float> expected, unused;
    if (!unpermutes_ && forward_) Permute<float>::forward(p_, tokens, expected);
    if (!unpermutes_ && !forward_) Permute<float>::input_gradient(p_, rows, expected);
    if (unpermutes_ && forward_) Unpermute<float>::forward(p_, rows, weights, expected);
    if (unpermutes_ && !forward_) Unpermute<float>::input_gradient(p_, tokens, rows, weights, expected, unused);
    const std::string fault =
        differences("the rows", part(out_, width_, 0, count, 0, columns), expected, bf16_tolerance);
    return fault.empty() && unpermutes_ && !forward_ ? compare_dweights() : fault;
  }
  // Needs whole rows: of the first token.
  std::string compare_dweights() {
    Tensor<float> expected(1, top_k_);
    const Tensor<float> dy = part(tokens_in_, width_, 0, 1, 0, width_);
    for (Index k = 0; k < top_k_; ++k) {
      const Tensor<float> row = part(rows_in_, width_, p_.row_of_slot[static_cast<std::size_t>(k)], 1, 0, width_);
      double sum = 0.0;
      for (Index i = 0; i < width_; ++i) sum += static_cast<double>(dy.data()[i]) * static_cast<double>(row.data()[i]);
      expected(0, k) = static_cast<float>(sum);
    }
    return differences("the weights' gradient", part(dweights_, top_k_, 0, 1, 0, top_k_), expected, 1e-4);
  }

  bool unpermutes_, forward_;
  Index tokens_, top_k_, width_;
  Permutation p_;
  DeviceArray<std::int32_t> offsets_, slot_of_row_, row_of_slot_;
  DevicePermutation device_;
  DeviceArray<Bf16> tokens_in_, rows_in_, out_;
  DeviceArray<float> weights_, dweights_;
};

}  // namespace

CasePointer prepare_attention(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<AttentionCase>(bench, c, seed);
}
CasePointer prepare_router(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<RouterCase>(bench, c, seed);
}
CasePointer prepare_permute(Bench& bench, const BenchCase& c, std::uint64_t seed) {
  return std::make_unique<PermuteCase>(bench, c, seed);
}

}  // namespace hourglass::kernels::cuda
