#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "hardware/network/level_queue.h"

namespace hourglass::hardware {

// Links and the flows on them now. Flows join at any time and leave when their bytes are through; rates are max-min
// fair and re-computed only where the set of flows changed (flow_system.cpp).
//   Use: add...; t = next(); advance(t, finished); add...; t = next(); ...
class FlowSystem {
 public:
  // `capacity`: bytes/s, all positive. `precision`: by how much of themselves rates may miss the exact ones.
  explicit FlowSystem(const std::vector<double>& capacity, double precision = 1e-9);

  // `count` flows of `bytes` each that join now. Returns their id: 0, 1, 2, ...
  std::int32_t add(std::span<const std::int32_t> path, double bytes, double count = 1.0);
  // When the next flow ends if none joins before; infinity if there is none.
  double next();
  // Moves to `time`, not after next(). Appends what ends then (within 1e-11 of it) to `finished`.
  void advance(double time, std::vector<std::int32_t>& finished);
  double rate(std::int32_t flow);              // bytes/s of each of the count
  double remaining(std::int32_t flow);         // bytes
  std::int32_t bottleneck(std::int32_t flow);  // the link that sets its rate; -1 once ended
  double now() const { return now_; }
  std::int64_t solves() const { return solves_; }
  double refilled() const { return refilled_; }  // rates that changed, over all solves

 private:
  static constexpr std::size_t block = 64;  // links
  static constexpr double never = std::numeric_limits<double>::infinity();
  using Ids = std::vector<std::int32_t>;
  struct Due {  // in a link's own bytes-per-member clock
    double finish;
    std::int32_t flow;
    bool operator>(const Due& other) const {
      return finish != other.finish ? finish > other.finish : flow > other.flow;
    }
  };
  struct Traffic {            // what the change of another link's level touches
    double passing = 0.0;     // sum of the rates of flows that are limited elsewhere
    double top = 0.0;         // no passing flow is faster
    double mark_above = 0.0;  // the link is marked when `passing` is more: minus infinity with members, infinity while
                              // marked
    double level = 0.0;       // rate of its members; 0 without any
  };
  struct Link {
    double capacity = 0.0;
    double weight = 0.0;   // number of members: flows that it limits, each as often as it crosses the link
    double clock = 0.0;    // bytes a member has sent since the link got its first member
    double updated = 0.0;  // when `clock` was right
    bool changed = false;  // its next end has to be computed anew
  };
  struct Member {
    std::int32_t flow;
    std::int32_t others[3];  // the rest of its path, -1 from where it ends; -2: look at the path
  };
  struct Flow {
    double count = 1.0;
    double finish = 0.0;  // on its bottleneck's clock; before the first rating: bytes
    std::int32_t first = 0, size = 0;
    bool done = false;
  };

  std::span<const std::int32_t> path(const Flow& flow) const {
    return {path_.data() + flow.first, static_cast<std::size_t>(flow.size)};
  }
  double crossings(const Flow& flow, std::int32_t link) const;
  Member member(std::int32_t flow, std::int32_t link) const;
  bool marked(std::int32_t link) const { return traffic_[static_cast<std::size_t>(link)].mark_above > 1e300; }
  void unmark(std::int32_t link);
  void settle();
  void join(std::int32_t flow);
  void leave(std::int32_t flow);
  void mark(std::int32_t link);
  void process(std::int32_t link);
  std::int32_t fastest_passing(std::int32_t link);
  void expel(std::int32_t link, std::int32_t flow);
  void drop(std::int32_t link, double weight);
  void capture(std::int32_t link, std::int32_t flow);
  void set_level(std::int32_t link, double level);
  void refill();
  void gather(Ids& flows);
  void forget(std::size_t link);
  std::vector<double> line_up(const Ids& flows);
  void limit(std::int32_t link, double share, std::vector<double>& rest, std::vector<double>& waiting);
  void synchronize(std::int32_t link);
  void change(std::int32_t link);
  void schedule(std::int32_t link);
  void collect(std::int32_t link, Ids& finished);
  void clear();

  std::vector<Traffic> traffic_;
  std::vector<Link> links_;
  std::vector<std::vector<Member>> members_;  // flows that a link limits
  std::vector<Ids> passing_;                  // and others that cross it
  std::vector<std::vector<Due>> due_;         // heaps, by link, with outdated entries
  std::vector<double> ends_;                  // next end, by link
  std::vector<double> first_end_;             // the same of each block of links
  std::vector<bool> stale_;                   // blocks
  std::vector<Flow> flows_;
  Ids bottleneck_;  // by flow; -1: none
  Ids path_, fresh_, instant_, changed_;
  LevelQueue marked_;
  double precision_ = 1e-9, now_ = 0.0, refilled_ = 0.0;
  std::int64_t solves_ = 0, active_ = 0;
  bool plain_ = true;  // every flow counts once, and crosses a link once
};

}  // namespace hourglass::hardware
