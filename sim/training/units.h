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

// An end of the model, or a layer of one of its kinds.
struct Unit {
  enum Type : std::uint8_t { embedding, mtp_projection, head, layer };
  Type type = layer;
  std::uint16_t kind = 0;  // of a layer, a place in ModelSpec::kinds; 0 of an end

  // To index tables by: the ends, then layers by kind.
  constexpr std::size_t number() const { return static_cast<std::size_t>(type) + kind; }
  auto operator<=>(const Unit&) const = default;
};
constexpr Unit layer_unit(int kind) { return {Unit::layer, static_cast<std::uint16_t>(kind)}; }
inline std::size_t unit_count(const model::ModelSpec& model) { return layer_unit(model.kind_count()).number(); }
// All that the model has, in the order in which they run.
std::vector<Unit> units_of(const Inputs& inputs);

model::LayerContext layer_context(const Inputs& inputs);
// The operators of a unit's pass by part; ends have everything in `mlp`.
model::LayerPass unit_operators(const Inputs& inputs, Unit unit, model::Pass pass);

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
  std::uint32_t first_operator = 0;           // place of its operators among the part's, and how many; a wait has none
  std::uint32_t operators = 0;
};
using PricedPart = std::vector<PricedRun>;
using PricedPass = std::array<PricedPart, 4>;  // indexed by model::Part

// Prices of every unit that the model has, pass and condition, computed once.
class UnitPrices {
 public:
  // `network`: what shared links and skewed routing do to the all-to-all and the experts, if given.
  explicit UnitPrices(const Inputs& inputs, const ExpertNetwork* network = nullptr);
  // `overlapped`: beside communication kernels that hold plan.communication_sms.
  const PricedPass& of(Unit unit, model::Pass pass, bool overlapped) const {
    return prices_[index(unit, pass, overlapped)];
  }
  // Whether tokens go to their experts in it. They do so without a message where expert parallelism is one; the SMs for
  // communication are set aside all the same.
  bool has_all_to_all(Unit unit) const { return has_all_to_all_[unit.number()] != 0; }

  double host_launch_s() const { return host_launch_s_; }
  bool overlap_weight_gradients() const { return overlap_weight_gradients_; }
  const OverlapOrder& overlap_order() const { return overlap_order_; }
  void set_overlap_order(const OverlapOrder& order) { overlap_order_ = order; }

 private:
  static std::size_t index(Unit unit, model::Pass pass, bool overlapped) {
    return (unit.number() * 3 + static_cast<std::size_t>(pass)) * 2 + (overlapped ? 1 : 0);
  }
  void add_skew(Unit unit, double share);

  bool overlap_weight_gradients_;
  double host_launch_s_;
  OverlapOrder overlap_order_;
  std::vector<PricedPass> prices_;            // [unit][pass][overlapped]
  std::vector<std::uint8_t> has_all_to_all_;  // [unit]
};

}  // namespace hourglass::sim
