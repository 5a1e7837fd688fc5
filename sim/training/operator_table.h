#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/training/plan.h"
#include "sim/training/units.h"

namespace hourglass::sim {

// One operator of a unit's pass on one GPU: what it computes and moves, what it costs, and which class of the profile
// says so.
struct OperatorCost {
  std::string name;  // "q_b_proj"
  std::string cls;   // "gemm"
  Unit unit;
  model::Part part = model::attention;
  model::Pass pass = model::Pass::forward;
  bool communication = false;
  double flops = 0.0;
  double bytes = 0.0;          // read from and written to HBM
  double message_bytes = 0.0;  // sent by one GPU
  double nic_bytes = 0.0;      // of them over its NIC, and over NVLink
  double nvlink_bytes = 0.0;
  double seconds = 0.0;             // alone on the GPU
  double overlapped_seconds = 0.0;  // beside communication that holds plan.communication_sms
  std::string profile_class;        // "gemm_fp8", a name of hardware::origins
};

// Of every unit that the model has, in the order in which they run.
std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network = nullptr);

// The operators behind a span of a StepRecord. A span is a run of operators whose times add up to its length, to the
// nanosecond, so that its name, stream and length tell which run it is.
class OperatorRuns {
 public:
  struct Slice {
    const OperatorCost* op = nullptr;
    base::Time work = 0;
  };
  explicit OperatorRuns(std::vector<OperatorCost> table);
  // Empty where no run has that length: an all-to-all that waits for slower peers, say.
  const std::vector<Slice>& of(const std::string& span_name, bool communication, base::Time length) const;
  // The first operator of a span with this name, whatever its length; null: none.
  const OperatorCost* first(const std::string& span_name, bool communication) const;

 private:
  using Key = std::tuple<std::string, bool, base::Time>;
  void add_run(std::size_t begin, std::size_t end);

  std::vector<OperatorCost> table_;
  std::map<Key, std::vector<Slice>> runs_;
  std::map<std::pair<std::string, bool>, const OperatorCost*> first_;
};

std::string name_of(const model::ModelSpec& model, Unit unit);  // "head", "MoE layer"
const char* name_of(model::Part part);
const char* letter_of(model::Pass pass);  // F, B, W

}  // namespace hourglass::sim
