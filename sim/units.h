#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/units.h"
#include "model/counts.h"
#include "sim/expert_network.h"
#include "sim/plan.h"

// The units that pipeline stages are made of, and what one pass over each of them costs.
namespace hourglass::sim {

enum class UnitKind : std::uint8_t { embedding, dense_layer, moe_layer, mtp_projection, head };
inline constexpr std::size_t unit_kinds = 5;

UnitKind layer_unit(model::LayerKind kind);
model::LayerContext layer_context(const Inputs& inputs);
// The operators of a unit's pass by part; ends have everything in `mlp`.
model::LayerPass unit_operators(const Inputs& inputs, UnitKind unit, model::Pass pass);

// A part of a unit's pass, priced: alternating runs of computation and communication.
struct PricedRun {
  bool communication = false;
  base::Time work = 0;
};
using PricedPart = std::vector<PricedRun>;
using PricedPass = std::array<PricedPart, 4>;  // indexed by model::Part

// Prices of every unit that the model has, pass and condition, computed once.
class UnitPrices {
 public:
  // `network`: as in price().
  explicit UnitPrices(const Inputs& inputs, const ExpertNetwork* network = nullptr);
  // `overlapped`: beside communication kernels that hold plan.communication_sms.
  const PricedPass& of(UnitKind unit, model::Pass pass, bool overlapped) const;

  bool overlap_weight_gradients() const { return overlap_weight_gradients_; }

 private:
  void add_skew(const Inputs& inputs);

  bool overlap_weight_gradients_;
  std::vector<PricedPass> prices_;  // [unit][pass][overlapped]
};

}  // namespace hourglass::sim
