#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <vector>

namespace hourglass::hardware {

// Links and the flows on them now. Flows join at any time and leave when their bytes are through; rates are max-min
// fair and re-filled only where the set of flows changed (flow_system.cpp).
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
  double refilled() const { return refilled_; }

 private:
  struct Due {  // in a link's own bytes-per-member clock
    double finish;
    std::int32_t flow;
    bool operator>(const Due& other) const {
      return finish != other.finish ? finish > other.finish : flow > other.flow;
    }
  };
  struct Event {
    double time;
    std::int32_t link;
    std::uint32_t version;
    bool operator>(const Event& other) const { return time != other.time ? time > other.time : link > other.link; }
  };
  struct Step {  // of the filling: at this rate a link limits its waiting flows, or its members are checked
    double rate;
    std::int32_t link;
    bool limits;
    bool operator>(const Step& other) const {
      if (rate != other.rate) return rate > other.rate;
      return limits != other.limits ? limits : link > other.link;
    }
  };
  struct LinkState {
    double capacity = 0.0;
    double load = 0.0;     // sum of the rates on it
    double level = 0.0;    // rate of its members: the flows that it limits
    double clock = 0.0;    // bytes a member has sent since the link got its first member
    double updated = 0.0;  // when `clock` was right
    std::int32_t members = 0;
    std::uint32_t version = 0;
    bool dirty = false, touched = false, changed = false;
    bool kept = false;  // some members stayed as they were
    // Of the re-rating under way:
    std::int32_t thawed = 0;           // members that are filled anew
    double rest = 0.0, waiting = 0.0;  // what is left, and for how many
    double key = 0.0;                  // where it stands in the heap as a limit; infinite: nowhere
    double share = -1.0;               // rate of those it limits now
    std::vector<std::int32_t> flows;
    std::vector<Due> due;
  };
  struct FlowState {
    double count = 1.0;
    double finish = 0.0;  // on its bottleneck's clock; before the first rating: bytes
    double new_rate = 0.0;
    std::int32_t bottleneck = -1, new_bottleneck = -1;
    std::int32_t first = 0, size = 0;
    bool thawed = false, done = false;
  };

  std::span<const std::int32_t> path(const FlowState& flow) const {
    return {path_.data() + flow.first, static_cast<std::size_t>(flow.size)};
  }
  double rate_of(const FlowState& flow) const {
    return flow.bottleneck < 0 ? 0.0 : links_[static_cast<std::size_t>(flow.bottleneck)].level;
  }
  void settle();
  void touch(std::int32_t link);
  void thaw(std::int32_t flow);
  void push_changed();
  void check(std::int32_t link);
  void limit(std::int32_t link);
  void fill();
  void commit();
  void move_flows();
  void synchronize(LinkState& link) const;
  void schedule(std::int32_t link);
  void finish(std::int32_t flow);

  std::vector<LinkState> links_;
  std::vector<FlowState> flows_;
  std::vector<std::int32_t> path_, fresh_, instant_, dirty_, changed_, thawed_, touched_, limits_;
  std::vector<Step> heap_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  double precision_ = 1e-9, now_ = 0.0, refilled_ = 0.0;
  std::int64_t solves_ = 0, active_ = 0;
};

}  // namespace hourglass::hardware
