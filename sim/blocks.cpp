// How the operators of an action meet the GPU's streams.
//
// F alone, a layer:   attention -> dispatch -> mlp -> combine, one after the other: all-to-all is exposed.
// B alone:            combine (dispatches the gradients) -> mlp -> dispatch (combines them) -> attention.
// W alone:            mlp, attention: computation only.
// BW alone:           as B, with W's work filling the wait: dispatch || mlp(W), and the next layer's combine ||
// attention(W);
//                     or, with overlap_weight_gradients false, each layer's W before its all-to-all, as frameworks do
//                     whose backward computes both gradients of an operator at once.
// F&B (DualPipe):     a layer of the forward with a layer of the backward, in the order of DeepSeek's published trace:
//       compute         attention(F)   mlp(B)        mlp(W)  mlp(F)    attention(B)  attention(W)
//       communication   combine(B)     dispatch(F)   dispatch(B)       combine(F)
//   so each all-to-all has computation of the other micro-batch beside it; the order is data (overlap_order.h). In a
//   pair GEMMs run on the SMs that communication leaves (132 - 20) for the whole block, as that trace shows.
//
// The host launches a block's kernels one after another, beginning with the block (it runs no further ahead: at every
// dispatch it waits for the GPU to know how many tokens come), so a block of many short kernels takes as long as that.
//
// Limits: outside pairs a kernel has the whole GPU, except W while it fills the wait for an all-to-all; shared experts
// do not overlap the dispatch; a block's outputs are there at its end. Streams are FIFO, so order of appearance here is
// order of execution.
#include "sim/blocks.h"

#include <algorithm>

namespace hourglass::sim {

namespace {

using model::Part;
using model::Pass;
using schedules::Kind;

constexpr std::uint32_t from_start = ~std::uint32_t{0};

struct Unit {
  UnitKind kind;
  std::uint32_t place;  // in its stage
};

std::vector<Unit> placed(const std::vector<UnitKind>& kinds) {
  std::vector<Unit> units;
  for (const UnitKind kind : kinds) units.push_back({kind, static_cast<std::uint32_t>(units.size())});
  return units;
}

class BlockBuilder {
 public:
  BlockBuilder(const UnitPrices& prices, bool overlapped) : prices_(prices), overlapped_(overlapped) {}

  // Appends a part's runs, each after the one before and the first after segment `previous`. Returns the last segment.
  std::uint32_t chain(Unit unit, Pass pass, Part part, std::uint32_t previous) {
    return append(unit, pass, part, previous, false);
  }
  // `beside`: an all-to-all of this block runs meanwhile.
  std::uint32_t weight(Unit unit, Part part, std::uint32_t previous, bool beside = false) {
    return append(unit, Pass::backward_weight, part, previous, beside && !overlapped_);
  }
  bool overlap_weight_gradients() const { return prices_.overlap_weight_gradients(); }
  Block take() {
    block_.host = base::time_from_seconds(launches_ * prices_.host_launch_s());
    return std::move(block_);
  }

 private:
  std::uint32_t append(Unit unit, Pass pass, Part part, std::uint32_t previous, bool beside) {
    const PricedPart& alone = prices_.of(unit.kind, pass, overlapped_)[part];
    const PricedPart& runs = beside ? prices_.of(unit.kind, pass, true)[part] : alone;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const PricedRun& run = runs[i];
      Block::Segment segment{run.communication, run.work,      {},        unit.kind, part, pass, unit.place,
                             run.by_class,      run.nic_bytes, run.group, 1.0};
      if (beside && alone[i].work > 0) segment.slowdown = base::seconds(run.work) / base::seconds(alone[i].work);
      if (previous != from_start) segment.after.push_back(previous);
      if (!run.communication) block_.compute += run.work;
      launches_ += run.launches;
      block_.segments.push_back(std::move(segment));
      previous = static_cast<std::uint32_t>(block_.segments.size() - 1);
    }
    return previous;
  }

  const UnitPrices& prices_;
  bool overlapped_;
  double launches_ = 0.0;
  Block block_;
};

std::uint32_t forward_unit(BlockBuilder& builder, Unit unit, std::uint32_t previous) {
  for (const Part part : {model::attention, model::dispatch, model::mlp, model::combine}) {
    previous = builder.chain(unit, Pass::forward, part, previous);
  }
  return previous;
}

std::uint32_t backward_unit(BlockBuilder& builder, Unit unit, std::uint32_t previous, bool with_weight) {
  const std::uint32_t received = builder.chain(unit, Pass::backward_input, model::combine, previous);
  const std::uint32_t mlp = builder.chain(unit, Pass::backward_input, model::mlp, received);
  if (with_weight && !builder.overlap_weight_gradients()) {
    const std::uint32_t weights = builder.weight(unit, model::mlp, mlp);
    const std::uint32_t sent = builder.chain(unit, Pass::backward_input, model::dispatch, weights);
    return builder.weight(unit, model::attention, builder.chain(unit, Pass::backward_input, model::attention, sent));
  }
  const std::uint32_t sent = builder.chain(unit, Pass::backward_input, model::dispatch, mlp);
  const bool beside = unit.kind == UnitKind::moe_layer;
  if (with_weight) builder.weight(unit, model::mlp, mlp, beside);
  const std::uint32_t attention = builder.chain(unit, Pass::backward_input, model::attention, sent);
  if (with_weight) builder.weight(unit, model::attention, attention, beside);
  return attention;
}

Block overlapped_block(const std::vector<UnitKind>& forward_kinds, const std::vector<UnitKind>& backward_kinds,
                       const UnitPrices& prices) {
  const auto communicates = [](const std::vector<UnitKind>& units) {
    return std::find(units.begin(), units.end(), UnitKind::moe_layer) != units.end();
  };
  BlockBuilder builder(prices, communicates(forward_kinds) || communicates(backward_kinds));
  const std::vector<Unit> forward = placed(forward_kinds);
  std::vector<Unit> backward = placed(backward_kinds);
  std::reverse(backward.begin(), backward.end());
  std::uint32_t f = from_start, b = from_start;
  for (std::size_t i = 0; i < std::max(forward.size(), backward.size()); ++i) {
    if (i >= forward.size()) {
      b = backward_unit(builder, backward[i], b, true);
      continue;
    }
    if (i >= backward.size()) {
      f = forward_unit(builder, forward[i], f);
      continue;
    }
    std::uint32_t mlp = b, attention = b;  // of the backward: what its weight gradients wait for
    for (const OverlapStep& step : prices.overlap_order()) {
      if (step.pass == Pass::forward) f = builder.chain(forward[i], step.pass, step.part, f);
      if (step.pass == Pass::backward_input) {
        b = builder.chain(backward[i], step.pass, step.part, b);
        if (step.part == model::mlp) mlp = b;
        if (step.part == model::attention) attention = b;
      }
      if (step.pass == Pass::backward_weight)
        builder.weight(backward[i], step.part, step.part == model::mlp ? mlp : attention);
    }
  }
  return builder.take();
}

Block single_block(Kind kind, const std::vector<UnitKind>& kinds, const UnitPrices& prices) {
  BlockBuilder builder(prices, false);
  std::vector<Unit> units = placed(kinds);
  if (kind != Kind::forward) std::reverse(units.begin(), units.end());
  std::uint32_t previous = from_start;
  for (const Unit unit : units) {
    if (kind == Kind::forward) previous = forward_unit(builder, unit, previous);
    if (kind == Kind::backward_input || kind == Kind::backward) {
      previous = backward_unit(builder, unit, previous, kind == Kind::backward);
    }
    if (kind == Kind::backward_weight) {
      builder.weight(unit, model::mlp, from_start);
      builder.weight(unit, model::attention, from_start);
    }
  }
  return builder.take();
}

}  // namespace

base::Time duration(const Block& block) {
  std::vector<base::Time> ends;
  base::Time stream_free[2] = {0, 0}, last = 0;
  for (const Block::Segment& segment : block.segments) {
    base::Time start = stream_free[segment.communication ? 1 : 0];
    for (const std::uint32_t earlier : segment.after) start = std::max(start, ends[earlier]);
    ends.push_back(stream_free[segment.communication ? 1 : 0] = start + segment.work);
    last = std::max(last, ends.back());
  }
  return std::max(last, block.host);
}

Block build_block(Kind kind, const std::vector<UnitKind>& units, const std::vector<UnitKind>& backward_units,
                  const UnitPrices& prices) {
  return kind == Kind::overlapped ? overlapped_block(units, backward_units, prices) : single_block(kind, units, prices);
}

const Block& BlockLibrary::of(const schedules::Action& action) {
  const auto key = std::make_tuple(action.kind, action.stage, action.backward_stage);
  const auto found = blocks_.find(key);
  if (found != blocks_.end()) return found->second;
  const std::vector<UnitKind>& units = stages_[static_cast<std::size_t>(action.stage)];
  const std::vector<UnitKind>& backward =
      action.backward_stage >= 0 ? stages_[static_cast<std::size_t>(action.backward_stage)] : units;
  return blocks_.emplace(key, build_block(action.kind, units, backward, prices_)).first->second;
}

}  // namespace hourglass::sim
