#include "model/ops/parallel.h"

namespace hourglass::model {

std::int64_t Layout::ranks(Group group) const {
  const Parallelism& p = parallel;
  switch (group) {
    case Group::tensor:
      return p.tensor;
    case Group::context:
      return p.context;
    case Group::expert:
      return p.expert;
    case Group::expert_tensor:
      return p.expert_tensor;
    case Group::data:
      return p.data * p.context;
    case Group::expert_data:
      return p.data * p.context * p.tensor / (p.expert * p.expert_tensor);
    case Group::pipeline:
      return p.pipeline;
  }
  return 1;
}

std::int64_t Layout::stride(Group group) const {
  const Parallelism& p = parallel;
  switch (group) {
    case Group::tensor:
    case Group::expert_tensor:
      return 1;
    case Group::context:
    case Group::data:
      return p.tensor;
    case Group::expert:
      return p.expert_tensor;
    case Group::expert_data:
      return p.expert_tensor * p.expert;
    case Group::pipeline:
      return gpus / p.pipeline;
  }
  return 1;
}

}  // namespace hourglass::model
