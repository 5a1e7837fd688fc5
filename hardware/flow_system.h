#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

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
  using Ids = std::vector<std::int32_t>;
  struct Due {  // in a link's own bytes-per-member clock
    double finish;
    std::int32_t flow;
    bool operator>(const Due& other) const {
      return finish != other.finish ? finish > other.finish : flow > other.flow;
    }
  };
  struct Step {
    double level;
    std::int32_t link;
    bool operator>(const Step& other) const { return level != other.level ? level > other.level : link > other.link; }
  };
  struct alignas(64) Link {  // what a change of a rate touches: one cache line
    double capacity = 0.0;
    double passing = 0.0;  // sum of the rates of flows that are limited elsewhere
    double weight = 0.0;   // number of members: flows that it limits, each as often as it crosses the link
    double level = 0.0;    // rate of its members; 0 without any
    double top = 0.0;      // no passing flow is faster
    double clock = 0.0;    // bytes a member has sent since the link got its first member
    double updated = 0.0;  // when `clock` was right
    bool marked = false;   // waits to be processed
    bool changed = false;  // its next end has to be computed anew
  };
  struct Flow {
    double count = 1.0;
    double finish = 0.0;  // on its bottleneck's clock; before the first rating: bytes
    std::int32_t first = 0, size = 0;
    std::int32_t bottleneck = -1;
    bool done = false;
  };

  std::span<const std::int32_t> path(const Flow& flow) const {
    return {path_.data() + flow.first, static_cast<std::size_t>(flow.size)};
  }
  double crossings(const Flow& flow, std::int32_t link) const;
  void settle();
  void join(std::int32_t flow);
  void leave(std::int32_t flow);
  void mark(std::int32_t link);
  void process(std::int32_t link);
  std::int32_t fastest_passing(std::int32_t link);
  void capture(std::int32_t link, std::int32_t flow);
  void set_level(std::int32_t link, double level);
  void refill();
  void gather(Ids& flows);
  void enlist(const Ids& flows);
  void synchronize(Link& link) const;
  void change(std::int32_t link);
  void schedule(std::int32_t link);
  void clear();

  std::vector<Link> links_;
  std::vector<Ids> members_, passing_;  // flows, by link
  std::vector<std::vector<Due>> due_;   // heaps, by link, with outdated entries
  std::vector<double> ends_;            // next end, by link
  std::vector<double> first_end_;       // the same of each block of links
  std::vector<bool> stale_;             // blocks
  std::vector<Flow> flows_;
  Ids path_, fresh_, instant_, changed_;
  std::vector<Step> marked_;  // heap
  double precision_ = 1e-9, now_ = 0.0, refilled_ = 0.0;
  std::int64_t solves_ = 0, active_ = 0;
};

}  // namespace hourglass::hardware
