#include "base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/library.h"

namespace hourglass::kernels::cuda {

// cublasGemmGroupedBatchedEx takes sizes from the host and pointers from the device; every group here is a batch of
// one.
struct GroupedGemm::OneCall {
  cublasHandle_t handle = nullptr;
  std::vector<cublasOperation_t> right_operations, left_operations;
  std::vector<int> columns, rows, inner, right_lengths, left_lengths, out_lengths, ones;
  std::vector<float> alpha, beta;
  DeviceArray<const void*> right, left;
  DeviceArray<void*> out;
  DeviceArray<unsigned char> workspace{gemm_workspace_bytes};

  explicit OneCall(const std::vector<GemmProblem>& groups) {
    std::vector<const void*> right_data, left_data;
    std::vector<void*> out_data;
    for (const GemmProblem& p : groups) {
      if (p.rows == 0) continue;  // an expert without tokens
      right_operations.push_back(p.right.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
      left_operations.push_back(p.left.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
      columns.push_back(static_cast<int>(p.columns));
      rows.push_back(static_cast<int>(p.rows));
      inner.push_back(static_cast<int>(p.inner));
      right_lengths.push_back(static_cast<int>(p.right.transposed ? p.inner : p.columns));
      left_lengths.push_back(static_cast<int>(p.left.transposed ? p.rows : p.inner));
      out_lengths.push_back(static_cast<int>(p.columns));
      ones.push_back(1);
      alpha.push_back(1.0f);
      beta.push_back(p.accumulate ? 1.0f : 0.0f);
      right_data.push_back(p.right.data), left_data.push_back(p.left.data), out_data.push_back(p.out);
    }
    right = DeviceArray<const void*>(right_data);
    left = DeviceArray<const void*>(left_data);
    out = DeviceArray<void*>(out_data);
    check(cublas().create(&handle), "cublasCreate");
  }
  ~OneCall() { cublas().destroy(handle); }
  OneCall(const OneCall&) = delete;
  OneCall& operator=(const OneCall&) = delete;

  void enqueue(Stream stream) const {
    if (ones.empty()) return;
    check(cublas().set_stream(handle, stream), "cublasSetStream");
    check(cublas().set_workspace(handle, workspace.get(), workspace.bytes()), "cublasSetWorkspace");
    check(cublas().grouped(handle, right_operations.data(), left_operations.data(), columns.data(), rows.data(),
                           inner.data(), alpha.data(), right.get(), CUDA_R_16BF, right_lengths.data(), left.get(),
                           CUDA_R_16BF, left_lengths.data(), beta.data(), out.get(), CUDA_R_16BF, out_lengths.data(),
                           static_cast<int>(ones.size()), ones.data(), CUBLAS_COMPUTE_32F),
          "cublasGemmGroupedBatchedEx");
  }
};

// The groups in turn on several streams, between two events of the caller's stream.
struct GroupedGemm::ManyCalls {
  std::vector<Gemm> gemms;
  std::vector<std::unique_ptr<OwnStream>> streams;
  std::vector<std::unique_ptr<Event>> ends;
  std::vector<DeviceArray<unsigned char>> workspaces;
  Event begin;

  ManyCalls(const std::vector<GemmProblem>& groups, int count) {
    for (const GemmProblem& p : groups) {
      if (p.rows > 0 && p.inner > 0) gemms.emplace_back(p);
    }
    for (int i = 0; i < count; ++i) {
      streams.push_back(std::make_unique<OwnStream>());
      ends.push_back(std::make_unique<Event>());
      workspaces.emplace_back(gemm_workspace_bytes);
    }
  }
  void enqueue(Stream stream) {
    begin.record(stream);
    for (const auto& each : streams) begin.hold(each->get());
    for (std::size_t g = 0; g < gemms.size(); ++g) {
      const std::size_t lane = g % streams.size();
      gemms[g].enqueue(streams[lane]->get(), workspaces[lane]);
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      ends[i]->record(streams[i]->get());
      ends[i]->hold(stream);
    }
  }
};

GroupedGemm::GroupedGemm(const std::vector<GemmProblem>& groups, int streams) {
  if (groups.empty() || streams < 1) throw base::Error("a grouped GEMM without groups or streams", "grouped_gemm");
  const GemmProblem& first = groups.front();
  const bool one_call =
      first.left.element == Element::bf16 && first.right.element == Element::bf16 && first.out_element == Element::bf16;
  if (one_call) {
    one_ = std::make_unique<OneCall>(groups);
  } else {
    many_ = std::make_unique<ManyCalls>(groups, streams);
  }
}
GroupedGemm::~GroupedGemm() = default;

void GroupedGemm::enqueue(Stream stream) {
  if (one_ != nullptr) one_->enqueue(stream);
  if (many_ != nullptr) many_->enqueue(stream);
}

}  // namespace hourglass::kernels::cuda
