#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/units.h"
#include "model/counts.h"
#include "sim/training/expert_network.h"
#include "sim/training/plan.h"

// The units that pipeline stages are made of, and what one pass over each of them costs.
namespace hourglass::sim {

enum class UnitKind : std::uint8_t { embedding, dense_layer, moe_layer, mtp_projection, head };
inline constexpr std::size_t unit_kinds = 5;

UnitKind layer_unit(model::LayerKind kind);
model::LayerContext layer_context(const Inputs& inputs);
// The operators of a unit's pass by part; ends have everything in `mlp`.
model::LayerPass unit_operators(const Inputs& inputs, UnitKind unit, model::Pass pass);

using model::work_classes;
using model::WorkClass;
using ClassTimes = std::array<base::Time, work_classes>;

// A part of a unit's pass, priced: alternating runs of computation and communication. The wait for slower peers is a
// run of its own before its all-to-all.
struct PricedRun {
  bool communication = false;
  base::Time work = 0;
  ClassTimes by_class = {};                   // adds up to `work`
  double nic_bytes = 0.0;                     // that leave (and reach) the GPU's NIC meanwhile
  double launches = 0.0;                      // kernels
  model::Group group = model::Group::tensor;  // of communication: who takes part
};
using PricedPart = std::vector<PricedRun>;
using PricedPass = std::array<PricedPart, 4>;  // indexed by model::Part

// Prices of every unit that the model has, pass and condition, computed once.
class UnitPrices {
 public:
  // `network`: what shared links and skewed routing do to the all-to-all and the experts, if given.
  explicit UnitPrices(const Inputs& inputs, const ExpertNetwork* network = nullptr);
  // `overlapped`: beside communication kernels that hold plan.communication_sms.
  const PricedPass& of(UnitKind unit, model::Pass pass, bool overlapped) const;

  double host_launch_s() const { return host_launch_s_; }
  bool overlap_weight_gradients() const { return overlap_weight_gradients_; }
  const OverlapOrder& overlap_order() const { return overlap_order_; }
  void set_overlap_order(const OverlapOrder& order) { overlap_order_ = order; }

 private:
  void add_skew(const Inputs& inputs);

  bool overlap_weight_gradients_;
  double host_launch_s_;
  OverlapOrder overlap_order_;
  std::vector<PricedPass> prices_;  // [unit][pass][overlapped]
};

}  // namespace hourglass::sim
