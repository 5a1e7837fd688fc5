// Shapes of samples become operators one to one. What only a measurement has: a kernel bound by memory of which the bytes
// are known and nothing else; a linear layer timed together with the quantisation of its input; a group of ranks without
// a plan around it; and the time that a timer around the call adds.
#include "hardware/measure/predict.h"

#include <algorithm>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

model::Dtype dtype_of(const Sample& s) {
  if (s.dtype == "e4m3") return model::Dtype::e4m3;
  if (s.dtype == "e5m2") return model::Dtype::e5m2;
  return model::Dtype::bf16;  // of FP32 the profile has no class: its kernels multiply in BF16 or TF32
}

// The operators of one sample, by the op's name.
class OperatorsOf {
 public:
  explicit OperatorsOf(const Sample& sample) : s_(sample) {}

  std::vector<model::OperatorKind> all() const {
    if (s_.op == "gemm") return {gemm(s_.weight_gradient)};
    if (s_.op == "quantized_linear") return {gemm(false), cast()};
    if (s_.op == "grouped_gemm") return {grouped_gemm()};
    if (s_.op == "attention") return {attention()};
    if (s_.op == "router") return {router()};
    if (s_.op == "dispatch") return {moe<model::Dispatch>()};
    if (s_.op == "combine") return {moe<model::Combine>()};
    if (s_.op == "all_reduce") return {collective<model::AllReduce>()};
    if (s_.op == "all_gather") return {collective<model::AllGather>()};
    if (s_.op == "reduce_scatter") return {collective<model::ReduceScatter>()};
    if (s_.op == "all_to_all") return {collective<model::AllToAll>()};
    if (s_.op == "send_recv") return {model::SendRecv{s_.at("bytes"), model::Group::pipeline}};
    for (std::uint8_t k = 0; k <= static_cast<std::uint8_t>(model::MemoryKernel::elementwise); ++k) {
      const auto kernel = static_cast<model::MemoryKernel>(k);
      if (s_.op == model::name_of(kernel)) return {model::MemoryBound{kernel, s_.at("bytes")}};
    }
    throw base::Error(s_.op + " cannot be predicted from the profile alone", "samples");
  }

 private:
  std::int64_t count(const char* key) const { return static_cast<std::int64_t>(s_.at(key)); }

  model::Gemm gemm(bool weight_gradient) const {
    return {count("m"), count("n"), count("k"), dtype_of(s_), model::Dtype::bf16, weight_gradient};
  }
  model::MemoryBound cast() const {
    const double scales = s_.recipe == "tensor" ? 0.0 : 4.0 / 128.0;
    return {model::MemoryKernel::cast, s_.at("m") * s_.at("k") * (2.0 + 1.0 + scales)};
  }
  model::GroupedGemm grouped_gemm() const {
    const std::int64_t groups = std::max<std::int64_t>(count("groups"), 1);
    return {groups,       groups * count("m"), 0,
            count("n"),   count("k"),          false,
            dtype_of(s_), model::Dtype::bf16,  s_.weight_gradient};
  }
  model::AttentionCore attention() const {
    return {count("batch"),  count("q_length"), count("kv_length"),    count("heads"),          count("kv_heads"),
            count("qk_dim"), count("v_dim"),    s_.at("causal") > 0.0, s_.at("backward") > 0.0, model::Dtype::bf16};
  }
  model::Router router() const {
    return {count("tokens"), count("hidden"), {count("experts"), 1, 1, 1}, false, false, false};
  }
  template <class AllToAll>
  AllToAll moe() const {
    const double kernel = s_.at("low_latency");
    return {count("tokens"),
            {count("experts"), count("top_k"), count("groups"), count("groups_per_token")},
            count("ranks"),
            s_.at("token_bytes"),
            kernel > 1.0   ? model::MoeKernel::low_latency
            : kernel > 0.0 ? model::MoeKernel::low_latency_rdma
                           : model::MoeKernel::throughput};
  }
  template <class Collective>
  Collective collective() const {
    return {s_.at("bytes"), model::Group::tensor, count("ranks")};
  }

  const Sample& s_;
};

double call_seconds(const Profile& profile, const Cost& cost) {
  for (const GemmShape& shape : {GemmShape{1}, GemmShape{2}}) {
    for (const MathType math : {MathType::bf16, MathType::fp8, MathType::fp8_tensor}) {
      GemmShape each = shape;
      each.math = math;
      const GemmKernel kernel = gemm_kernel(profile, each);
      if (std::string_view(kernel.name) == cost.profile_class) return kernel.cost.call_s;
    }
  }
  return 0.0;
}

}  // namespace

Measured measured(const Sample& s) {
  Measured out;
  out.operators = OperatorsOf(s).all();
  if (s.shape.contains("ranks_per_node"))
    out.layout.ranks_per_domain = static_cast<std::int64_t>(s.at("ranks_per_node"));
  if (s.op == "send_recv") out.layout.ranks_per_domain = s.at("same_node") > 0.0 ? 2 : 1;
  const model::Dtype dtype = dtype_of(s);
  if (model::is_fp8(dtype))
    out.precision = s.recipe == "tensor" ? model::Precision::fp8_tensor : model::Precision::fp8_block;
  out.communication_sms = s.sms;
  out.sms_beside = s.beside.empty() ? 0 : s.sms;
  return out;
}

double predict_seconds(const Cluster& cluster, const Profile& profile, const Sample& s) {
  const Measured what = measured(s);
  const Platform platform{cluster, profile, what.layout, what.precision, what.communication_sms};
  const Conditions conditions{what.sms_beside > 0 ? cluster.sms - what.sms_beside : 0};
  double seconds = 0.0;
  for (const model::OperatorKind& op : what.operators) {
    const Cost cost = cost_of(platform, op, conditions);
    seconds += cost.seconds;
    if (s.timing == "call") seconds += call_seconds(profile, cost);
  }
  return seconds;
}

}  // namespace hourglass::hardware
