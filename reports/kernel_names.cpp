#include "reports/kernel_names.h"

#include <array>
#include <utility>

namespace hourglass::reports {

namespace {

// Class of an operator (model::class_of) and the kernel that libraries run for it.
constexpr std::array<std::pair<const char*, const char*>, 19> kernels = {{
    {"gemm", "gemm_kernel"},
    {"grouped_gemm", "m_grouped_gemm_kernel"},
    {"attention", "flash_fwd_kernel"},
    {"norm", "rms_norm_kernel"},
    {"rotary", "rotary_kernel"},
    {"activation", "swiglu_kernel"},
    {"router", "topk_kernel"},
    {"permute", "permute_kernel"},
    {"cast", "quantize_kernel"},
    {"embedding", "embedding_kernel"},
    {"loss", "cross_entropy_kernel"},
    {"residual", "elementwise_kernel"},
    {"elementwise", "elementwise_kernel"},
    {"optimizer", "multi_tensor_apply_kernel"},
    {"dispatch", "deep_ep::internode::dispatch"},
    {"combine", "deep_ep::internode::combine"},
    {"all_reduce", "ncclDevKernel_AllReduce"},
    {"all_gather", "ncclDevKernel_AllGather"},
    {"reduce_scatter", "ncclDevKernel_ReduceScatter"},
}};

std::string kernel_of(const std::string& cls) {
  for (const auto& [name, kernel] : kernels) {
    if (cls == name) return kernel;
  }
  return cls + "_kernel";
}

}  // namespace

std::string kernel_name(const sim::OperatorCost& op) {
  std::string kernel = kernel_of(op.cls);
  const bool weights = op.pass == model::Pass::backward_weight;
  if (weights && (op.cls == "gemm" || op.cls == "grouped_gemm")) kernel = "wgrad_" + kernel_of("gemm");
  if (op.cls == "attention" && op.pass != model::Pass::forward) kernel = "flash_bwd_kernel";
  return kernel + "<" + op.name + ">";
}

std::string kernel_name(const std::string& span_class) {
  if (span_class == "peer_wait") return "deep_ep::internode::notify<wait>";
  if (span_class == "send") return "ncclDevKernel_SendRecv";
  if (span_class == "gradients") return "ncclDevKernel_ReduceScatter";
  if (span_class == "parameters") return "ncclDevKernel_AllGather";
  if (span_class == "optimizer") return kernel_of("optimizer");
  return span_class;
}

std::string phase_name(const std::string& span_name) {
  const std::size_t open = span_name.rfind('(');
  if (open == std::string::npos || span_name.size() != open + 3) return "";
  std::string part = span_name.substr(0, open);
  for (const char* suffix : {"_local", "_collective"}) {
    if (part.ends_with(suffix)) part.erase(part.size() - std::string(suffix).size());
  }
  return (part == "attention" ? "attn" : part) + span_name.substr(open);
}

}  // namespace hourglass::reports
