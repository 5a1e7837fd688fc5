#pragma once

#include <cstdint>

// Who works together: the sizes of the parallel groups, and where their ranks sit among the GPUs.
namespace hourglass::model {

struct Parallelism {
  std::int64_t tensor = 1;  // with sequence parallelism whenever > 1
  std::int64_t context = 1;
  std::int64_t expert = 1;
  std::int64_t expert_tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t data = 1;  // replicas of the dense part: GPUs / (tensor * context * pipeline)
};

// Which parallel group a message runs over. Gradients of the dense part are reduced over data and context together
// (`data`), those of the experts over the GPUs that hold the same ones (`expert_data`).
enum class Group : std::uint8_t { tensor, context, expert, expert_tensor, data, expert_data, pipeline };

// Ranks are laid out tensor first, then context and expert, then data, then pipeline (Megatron-Core's default order
// tp-cp-ep-dp-pp).
struct Layout {
  Parallelism parallel;
  std::int64_t gpus = 1;
  // Of a measurement, which states no more of its layout: how many GPUs of its group share an NVLink domain. 0: as
  // `stride` says.
  std::int64_t ranks_per_domain = 0;

  std::int64_t ranks(Group group) const;
  // Between neighbours of the group: the product of the groups laid out inside it.
  std::int64_t stride(Group group) const;
};

}  // namespace hourglass::model
