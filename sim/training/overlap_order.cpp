// Which orders are sound, and how many there are. F and B are chains of four steps, and each W waits for its B: some
// thousand topological orders. A stream runs its own steps in the order given and waits for the other stream only
// through the chains, so orders that agree on both streams' sequences are the same program; that leaves a few hundred.
#include "sim/training/overlap_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::sim {

namespace {

using model::Pass;

constexpr std::size_t step_count = 10;

// In the order of the two chains, then W.
const OverlapOrder& all_steps() {
  static const OverlapOrder steps = {{Pass::forward, model::attention},
                                     {Pass::forward, model::dispatch},
                                     {Pass::forward, model::mlp},
                                     {Pass::forward, model::combine},
                                     {Pass::backward_input, model::combine},
                                     {Pass::backward_input, model::mlp},
                                     {Pass::backward_input, model::dispatch},
                                     {Pass::backward_input, model::attention},
                                     {Pass::backward_weight, model::mlp},
                                     {Pass::backward_weight, model::attention}};
  return steps;
}
// Index in all_steps() of what a step waits for; itself: of nothing.
constexpr std::size_t needs[step_count] = {0, 0, 1, 2, 4, 4, 5, 6, 5, 7};

bool on_communication(const OverlapStep& step) { return step.part == model::dispatch || step.part == model::combine; }

std::vector<std::string> step_names() {
  std::vector<std::string> names;
  for (const OverlapStep& step : all_steps()) names.push_back(step_name(step));
  return names;
}

class Enumeration {
 public:
  std::vector<OverlapOrder> all() {
    extend();
    return std::move(found_);
  }

 private:
  void extend() {
    if (order_.size() == step_count) {
      std::string key;
      for (const bool communication : {false, true}) {
        for (const OverlapStep& step : order_) key += on_communication(step) == communication ? step_name(step) : "";
      }
      if (known_.insert(key).second) found_.push_back(order_);
      return;
    }
    for (std::size_t i = 0; i < step_count; ++i) {
      if (used_[i] || (needs[i] != i && !used_[needs[i]])) continue;
      used_[i] = true;
      order_.push_back(all_steps()[i]);
      extend();
      order_.pop_back();
      used_[i] = false;
    }
  }

  OverlapOrder order_;
  bool used_[step_count] = {};
  std::set<std::string> known_;
  std::vector<OverlapOrder> found_;
};

}  // namespace

OverlapOrder deepseek_overlap_order() {
  return {{Pass::backward_input, model::combine},
          {Pass::forward, model::attention},
          {Pass::forward, model::dispatch},
          {Pass::backward_input, model::mlp},
          {Pass::backward_input, model::dispatch},
          {Pass::backward_weight, model::mlp},
          {Pass::forward, model::mlp},
          {Pass::backward_input, model::attention},
          {Pass::backward_weight, model::attention},
          {Pass::forward, model::combine}};
}

std::string step_name(const OverlapStep& step) {
  static constexpr const char* parts[] = {"attention", "dispatch", "mlp", "combine"};
  static constexpr const char* passes[] = {"F", "B", "W"};
  return fmt::format("{}({})", parts[step.part], passes[static_cast<std::size_t>(step.pass)]);
}

std::string order_text(const OverlapOrder& order) {
  std::string out;
  for (const OverlapStep& step : order) out += (out.empty() ? "" : " ") + step_name(step);
  return out;
}

std::string order_fault(const OverlapOrder& order) {
  const auto position = [&](std::size_t step) { return std::find(order.begin(), order.end(), all_steps()[step]); };
  for (std::size_t i = 0; i < step_count; ++i) {
    const auto times = std::count(order.begin(), order.end(), all_steps()[i]);
    if (times != 1) return fmt::format("{} stands {} times, not once", step_name(all_steps()[i]), times);
    if (position(i) < position(needs[i]))
      return fmt::format("{} stands before {}, which it needs", step_name(all_steps()[i]),
                         step_name(all_steps()[needs[i]]));
  }
  return "";
}

OverlapOrder load_overlap_order(const std::string& file) {
  const base::JsonFile document = base::load_json(file);
  base::Fields fields(document.value, file);
  fields.text("name");
  fields.text_or("source", "");
  const std::vector<std::string> names = step_names();
  OverlapOrder order;
  for (const std::string& name : fields.texts("order")) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      fields.fail("order", fmt::format("there is no step '{}'", base::printable(name)), base::suggestion(name, names));
    order.push_back(all_steps()[static_cast<std::size_t>(found - names.begin())]);
  }
  fields.finish();
  const std::string fault = order_fault(order);
  if (!fault.empty()) fields.fail("order", fault, "see configs/overlap/deepseek.json for a sound order");
  return order;
}

std::vector<OverlapOrder> all_overlap_orders() { return Enumeration().all(); }

}  // namespace hourglass::sim
