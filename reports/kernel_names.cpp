#include "reports/kernel_names.h"

#include "reports/span_names.h"

namespace hourglass::reports {

namespace {

constexpr const char* all_gather_kernel = "ncclDevKernel_AllGather";
constexpr const char* reduce_scatter_kernel = "ncclDevKernel_ReduceScatter";
constexpr const char* send_recv_kernel = "ncclDevKernel_SendRecv";
constexpr const char* update_kernel = "multi_tensor_apply_kernel";

// The kernel that libraries run for an operator of a pass.
struct KernelOf {
  model::Pass pass;

  const char* gemm(const char* kernel) const {
    return pass == model::Pass::backward_weight ? "wgrad_gemm_kernel" : kernel;
  }
  const char* operator()(const model::Gemm&) const { return gemm("gemm_kernel"); }
  const char* operator()(const model::GroupedGemm&) const { return gemm("m_grouped_gemm_kernel"); }
  const char* operator()(const model::AttentionCore&) const {
    return pass == model::Pass::forward ? "flash_fwd_kernel" : "flash_bwd_kernel";
  }
  const char* operator()(const model::Norm&) const { return "rms_norm_kernel"; }
  const char* operator()(const model::Rotary&) const { return "rotary_kernel"; }
  const char* operator()(const model::Activation&) const { return "swiglu_kernel"; }
  const char* operator()(const model::Router&) const { return "topk_kernel"; }
  const char* operator()(const model::Permute&) const { return "permute_kernel"; }
  const char* operator()(const model::Cast&) const { return "quantize_kernel"; }
  const char* operator()(const model::Embedding&) const { return "embedding_kernel"; }
  const char* operator()(const model::Loss&) const { return "cross_entropy_kernel"; }
  const char* operator()(const model::Residual&) const { return "elementwise_kernel"; }
  const char* operator()(const model::Optimizer&) const { return update_kernel; }
  const char* operator()(const model::MemoryBound&) const { return "elementwise_kernel"; }
  const char* operator()(const model::Dispatch&) const { return "deep_ep::internode::dispatch"; }
  const char* operator()(const model::Combine&) const { return "deep_ep::internode::combine"; }
  const char* operator()(const model::AllReduce&) const { return "ncclDevKernel_AllReduce"; }
  const char* operator()(const model::AllGather&) const { return all_gather_kernel; }
  const char* operator()(const model::ReduceScatter&) const { return reduce_scatter_kernel; }
  const char* operator()(const model::AllToAll&) const { return send_recv_kernel; }
  const char* operator()(const model::SendRecv&) const { return send_recv_kernel; }
};

}  // namespace

std::string kernel_name(const sim::OperatorCost& op) {
  return std::string(std::visit(KernelOf{op.pass}, op.of.kind)) + "<" + op.of.name + ">";
}

std::string kernel_name(const sim::StepRecord& record, const sim::Span& span) {
  if (const sim::Block::Segment* segment = record.segment_of(span); segment != nullptr && waits_for_peers(*segment))
    return "deep_ep::internode::notify<wait>";
  if (span.lane == sim::Lane::point_to_point) return send_recv_kernel;
  if (span.action >= 0) return name_of(record, span).name;
  switch (static_cast<sim::Update>(span.segment)) {
    case sim::Update::reduce_scatter:
      return reduce_scatter_kernel;
    case sim::Update::optimizer:
      return update_kernel;
    case sim::Update::all_gather:
      return all_gather_kernel;
  }
  return "";
}

}  // namespace hourglass::reports
