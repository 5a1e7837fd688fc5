// The operators of a step one by one, priced as UnitPrices prices them, for the roofline and for telling where a cost
// comes from. Waits for slower peers, which UnitPrices adds to the all-to-all, belong to no operator and are not here.
#include "sim/training/operator_table.h"

#include <algorithm>

#include "hardware/price.h"

namespace hourglass::sim {

namespace {

// As record.cpp names the span of a run: "attention(F)", "dispatch_local(B)", "head(W)".
std::string span_name(const OperatorCost& op) {
  std::string name;
  switch (op.unit.type) {
    case Unit::embedding:
      name = "embedding";
      break;
    case Unit::mtp_projection:
      name = "mtp_projection";
      break;
    case Unit::head:
      name = "head";
      break;
    case Unit::layer: {
      const bool all_to_all = op.part == model::dispatch || op.part == model::combine;
      name = name_of(op.part);
      if (op.communication != all_to_all) name += all_to_all ? "_local" : "_collective";
    }
  }
  return name + "(" + letter_of(op.pass) + ")";
}

}  // namespace

std::string name_of(const model::ModelSpec& model, Unit unit) {
  switch (unit.type) {
    case Unit::embedding:
      return "embedding";
    case Unit::layer:
      return model::kind_name(model, unit.kind) + " layer";
    case Unit::mtp_projection:
      return "MTP projection";
    case Unit::head:
      return "head";
  }
  return "";
}

const char* name_of(model::Part part) {
  constexpr const char* names[] = {"attention", "dispatch", "mlp", "combine"};
  return names[static_cast<std::size_t>(part)];
}

const char* letter_of(model::Pass pass) {
  constexpr const char* letters[] = {"F", "B", "W"};
  return letters[static_cast<std::size_t>(pass)];
}

std::vector<OperatorCost> operator_table(const Inputs& inputs, const ExpertNetwork* network) {
  const hardware::Platform platform = inputs.platform();
  const hardware::Conditions alone = conditions_of(network, 0),
                             beside = conditions_of(network, inputs.plan.communication_sms);
  std::vector<OperatorCost> table;
  for (const Unit unit : units_of(inputs)) {
    for (const model::Pass pass : {model::Pass::forward, model::Pass::backward_input, model::Pass::backward_weight}) {
      const model::LayerPass parts = unit_operators(inputs, unit, pass);
      for (std::size_t part = 0; part < parts.size(); ++part) {
        for (const model::Operator& op : parts[part]) {
          const model::Facts facts = model::facts(op.kind);
          const hardware::Cost cost = hardware::cost_of(platform, op.kind, alone);
          table.push_back({op.name, facts.name, unit, static_cast<model::Part>(part), pass, facts.communication(),
                           facts.flops, facts.bytes(), facts.message_bytes, cost.nic_bytes, cost.nvlink_bytes,
                           cost.seconds, hardware::cost_of(platform, op.kind, beside).seconds, cost.profile_class});
        }
      }
    }
  }
  return table;
}

OperatorRuns::OperatorRuns(std::vector<OperatorCost> table) : table_(std::move(table)) {
  const auto same = [&](std::size_t a, std::size_t b) {
    return table_[a].unit == table_[b].unit && table_[a].part == table_[b].part && table_[a].pass == table_[b].pass &&
           table_[a].communication == table_[b].communication;
  };
  for (std::size_t begin = 0, end = 0; begin < table_.size(); begin = end) {
    for (end = begin + 1; end < table_.size() && same(begin, end);) ++end;
    add_run(begin, end);
  }
}

void OperatorRuns::add_run(std::size_t begin, std::size_t end) {
  const OperatorCost& head = table_[begin];
  const std::string name = span_name(head);
  first_.emplace(std::pair(name, head.communication), &head);
  for (const bool overlapped : {false, true}) {
    std::vector<Slice> slices;
    base::Time length = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const double seconds = overlapped ? table_[i].overlapped_seconds : table_[i].seconds;
      slices.push_back({&table_[i], base::time_from_seconds(seconds)});
      length += slices.back().work;
    }
    runs_.emplace(Key(name, head.communication, length), std::move(slices));
  }
}

const std::vector<OperatorRuns::Slice>& OperatorRuns::of(const std::string& span_name, bool communication,
                                                         base::Time length) const {
  static const std::vector<Slice> none;
  constexpr base::Time tolerance = 1000;  // picoseconds: what rounding may do under a slowdown
  const auto found = runs_.lower_bound(Key(span_name, communication, length - tolerance));
  const bool near = found != runs_.end() && found->first <= Key(span_name, communication, length + tolerance);
  return near ? found->second : none;
}

const OperatorCost* OperatorRuns::first(const std::string& span_name, bool communication) const {
  const auto found = first_.find(std::pair(span_name, communication));
  return found == first_.end() ? nullptr : found->second;
}

}  // namespace hourglass::sim
