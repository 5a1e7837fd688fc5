#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "schedules/schedule.h"
#include "sim/training/units.h"

namespace hourglass::sim {

// What one action does on its rank, as a small two-stream program: runs of computation and communication, each waiting
// for earlier runs of the same block.
struct Block {
  struct Segment {
    bool communication = false;
    base::Time work = 0;
    std::vector<std::uint32_t> after;  // earlier segments of this block; empty: starts with the block
    Unit unit;
    model::Part part = model::attention;
    model::Pass pass = model::Pass::forward;
    std::uint32_t layer = 0;  // the unit's place in its stage
    ClassTimes by_class = {};
    double nic_bytes = 0.0;
    model::Group group = model::Group::tensor;  // of communication
    double slowdown = 1.0;  // `work` over what it is with the whole GPU, if only communication beside it costs that
    std::uint32_t first_operator = 0, operators = 0;  // as PricedRun has them
    bool beside_communication = false;                // its operators cost what they do beside communication kernels
  };
  std::vector<Segment> segments;
  base::Time compute = 0;  // total work on the compute stream
  base::Time host = 0;     // to launch its kernels: it cannot be shorter
};

// `units` are the forward's in forward order; `backward_units` the full backward's of an overlapped pair, else unused.
Block build_block(schedules::Kind kind, const std::vector<Unit>& units, const std::vector<Unit>& backward_units,
                  const UnitPrices& prices);

// How long the block takes on an idle rank: its two FIFO streams swept in order.
base::Time duration(const Block& block);

// duration(build_block(...)) without the block.
base::Time block_duration(schedules::Kind kind, const std::vector<Unit>& units, const std::vector<Unit>& backward_units,
                          const UnitPrices& prices);

// Builds each block once: actions of the same kind on the same stages share theirs.
class BlockLibrary {
 public:
  BlockLibrary(const std::vector<std::vector<Unit>>& stages, const UnitPrices& prices)
      : stages_(stages), prices_(prices) {}
  const Block& of(const schedules::Action& action);

 private:
  const std::vector<std::vector<Unit>>& stages_;
  const UnitPrices& prices_;
  std::map<std::tuple<schedules::Kind, int, int>, Block> blocks_;
};

}  // namespace hourglass::sim
