// How the operators of an action meet the GPU's streams.
//
// F alone, a layer:   attention -> dispatch -> mlp -> combine, one after the other: all-to-all is exposed.
// B alone:            combine (dispatches the gradients) -> mlp -> dispatch (combines them) -> attention.
// W alone:            mlp, attention: computation only.
// BW alone:           as B, with W's work filling the wait: dispatch || mlp(W), the next layer's combine || attention(W);
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
#include "sim/training/blocks.h"

#include <algorithm>

namespace hourglass::sim {

namespace {

using model::Part;
using model::Pass;
using schedules::Kind;

struct Placed {
  Unit unit;
  std::uint32_t place;  // in its stage
};

// Writes the block down. A point of the block is its last segment so far.
class BlockBuilder {
 public:
  using Point = std::uint32_t;
  static constexpr Point from_start = ~std::uint32_t{0};

  BlockBuilder(const UnitPrices& prices, bool overlapped) : prices_(prices), overlapped_(overlapped) {}

  Point append(Placed at, Pass pass, Part part, Point previous, bool beside) {
    const PricedPart& alone = prices_.of(at.unit, pass, overlapped_)[part];
    const PricedPart& runs = beside ? prices_.of(at.unit, pass, true)[part] : alone;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const PricedRun& run = runs[i];
      Block::Segment segment{run.communication,
                             run.work,
                             {},
                             at.unit,
                             part,
                             pass,
                             at.place,
                             run.by_class,
                             run.nic_bytes,
                             run.group,
                             1.0,
                             run.first_operator,
                             run.operators,
                             beside || overlapped_};
      if (beside && alone[i].work > 0) segment.slowdown = base::seconds(run.work) / base::seconds(alone[i].work);
      if (previous != from_start) segment.after.push_back(previous);
      if (!run.communication) block_.compute += run.work;
      launches_ += run.launches;
      block_.segments.push_back(std::move(segment));
      previous = static_cast<std::uint32_t>(block_.segments.size() - 1);
    }
    return previous;
  }
  const UnitPrices& prices() const { return prices_; }
  bool overlapped() const { return overlapped_; }
  Block take() {
    block_.host = base::time_from_seconds(launches_ * prices_.host_launch_s());
    return std::move(block_);
  }

 private:
  const UnitPrices& prices_;
  bool overlapped_;
  double launches_ = 0.0;
  Block block_;
};

// Only tells when the block ends on an idle rank. A point of the block is a moment.
class BlockClock {
 public:
  using Point = base::Time;
  static constexpr Point from_start = 0;

  BlockClock(const UnitPrices& prices, bool overlapped) : prices_(prices), overlapped_(overlapped) {}

  Point append(Placed at, Pass pass, Part part, Point previous, bool beside) {
    for (const PricedRun& run : prices_.of(at.unit, pass, overlapped_ || beside)[part]) {
      base::Time& free = stream_free_[run.communication ? 1 : 0];
      previous = free = std::max(free, previous) + run.work;
      launches_ += run.launches;
    }
    return previous;
  }
  const UnitPrices& prices() const { return prices_; }
  bool overlapped() const { return overlapped_; }
  base::Time take() const {
    return std::max({stream_free_[0], stream_free_[1], base::time_from_seconds(launches_ * prices_.host_launch_s())});
  }

 private:
  const UnitPrices& prices_;
  bool overlapped_;
  double launches_ = 0.0;
  base::Time stream_free_[2] = {0, 0};
};

// Appends a part's runs, each after the one before and the first after `previous`. Returns where the last one ends.
template <class Builder>
typename Builder::Point chain(Builder& builder, Placed unit, Pass pass, Part part, typename Builder::Point previous) {
  return builder.append(unit, pass, part, previous, false);
}
// `beside`: an all-to-all of this block runs meanwhile.
template <class Builder>
typename Builder::Point weight(Builder& builder, Placed unit, Part part, typename Builder::Point previous,
                               bool beside = false) {
  return builder.append(unit, Pass::backward_weight, part, previous, beside && !builder.overlapped());
}

template <class Builder>
typename Builder::Point forward_unit(Builder& builder, Placed unit, typename Builder::Point previous) {
  for (const Part part : {model::attention, model::dispatch, model::mlp, model::combine})
    previous = chain(builder, unit, Pass::forward, part, previous);
  return previous;
}

template <class Builder>
typename Builder::Point backward_unit(Builder& builder, Placed unit, typename Builder::Point previous,
                                      bool with_weight) {
  const auto back = [&](Part part, typename Builder::Point after) {
    return chain(builder, unit, Pass::backward_input, part, after);
  };
  const auto mlp = back(model::mlp, back(model::combine, previous));
  if (with_weight && !builder.prices().overlap_weight_gradients()) {
    const auto sent = back(model::dispatch, weight(builder, unit, model::mlp, mlp));
    return weight(builder, unit, model::attention, back(model::attention, sent));
  }
  const auto sent = back(model::dispatch, mlp);
  const bool beside = builder.prices().has_all_to_all(unit.unit);
  if (with_weight) weight(builder, unit, model::mlp, mlp, beside);
  const auto attention = back(model::attention, sent);
  if (with_weight) weight(builder, unit, model::attention, attention, beside);
  return attention;
}

Placed unit_at(const std::vector<Unit>& units, std::size_t place) {
  return {units[place], static_cast<std::uint32_t>(place)};
}
Placed unit_from_end(const std::vector<Unit>& units, std::size_t i) { return unit_at(units, units.size() - 1 - i); }

template <class Builder>
auto overlapped_block(const std::vector<Unit>& forward, const std::vector<Unit>& backward, const UnitPrices& prices) {
  const auto communicates = [&](const std::vector<Unit>& units) {
    return std::any_of(units.begin(), units.end(), [&](Unit unit) { return prices.has_all_to_all(unit); });
  };
  Builder builder(prices, communicates(forward) || communicates(backward));
  typename Builder::Point f = Builder::from_start, b = Builder::from_start;
  for (std::size_t i = 0; i < std::max(forward.size(), backward.size()); ++i) {
    if (i >= forward.size()) {
      b = backward_unit(builder, unit_from_end(backward, i), b, true);
      continue;
    }
    if (i >= backward.size()) {
      f = forward_unit(builder, unit_at(forward, i), f);
      continue;
    }
    const Placed ahead = unit_at(forward, i), back = unit_from_end(backward, i);
    typename Builder::Point mlp = b, attention = b;  // of the backward: what its weight gradients wait for
    for (const OverlapStep& step : prices.overlap_order()) {
      if (step.pass == Pass::forward) f = chain(builder, ahead, step.pass, step.part, f);
      if (step.pass == Pass::backward_input) {
        b = chain(builder, back, step.pass, step.part, b);
        if (step.part == model::mlp) mlp = b;
        if (step.part == model::attention) attention = b;
      }
      if (step.pass == Pass::backward_weight)
        weight(builder, back, step.part, step.part == model::mlp ? mlp : attention);
    }
  }
  return builder.take();
}

template <class Builder>
auto single_block(Kind kind, const std::vector<Unit>& units, const UnitPrices& prices) {
  Builder builder(prices, false);
  typename Builder::Point previous = Builder::from_start;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const Placed unit = kind == Kind::forward ? unit_at(units, i) : unit_from_end(units, i);
    if (kind == Kind::forward) previous = forward_unit(builder, unit, previous);
    if (kind == Kind::backward_input || kind == Kind::backward)
      previous = backward_unit(builder, unit, previous, kind == Kind::backward);
    if (kind == Kind::backward_weight) {
      weight(builder, unit, model::mlp, Builder::from_start);
      weight(builder, unit, model::attention, Builder::from_start);
    }
  }
  return builder.take();
}

template <class Builder>
auto any_block(Kind kind, const std::vector<Unit>& units, const std::vector<Unit>& backward_units,
               const UnitPrices& prices) {
  return kind == Kind::overlapped ? overlapped_block<Builder>(units, backward_units, prices)
                                  : single_block<Builder>(kind, units, prices);
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

base::Time block_duration(Kind kind, const std::vector<Unit>& units, const std::vector<Unit>& backward_units,
                          const UnitPrices& prices) {
  return any_block<BlockClock>(kind, units, backward_units, prices);
}

Block build_block(Kind kind, const std::vector<Unit>& units, const std::vector<Unit>& backward_units,
                  const UnitPrices& prices) {
  return any_block<BlockBuilder>(kind, units, backward_units, prices);
}

const Block& BlockLibrary::of(const schedules::Action& action) {
  const auto key = std::make_tuple(action.kind, action.stage, action.backward_stage);
  const auto found = blocks_.find(key);
  if (found != blocks_.end()) return found->second;
  const std::vector<Unit>& units = stages_[static_cast<std::size_t>(action.stage)];
  const std::vector<Unit>& backward =
      action.backward_stage >= 0 ? stages_[static_cast<std::size_t>(action.backward_stage)] : units;
  return blocks_.emplace(key, build_block(action.kind, units, backward, prices_)).first->second;
}

}  // namespace hourglass::sim
