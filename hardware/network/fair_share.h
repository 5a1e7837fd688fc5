#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

// Flows that share links max-min fairly; fair_share.cpp states the mathematics.
namespace hourglass::hardware {

// Flows in compressed rows: flow f crosses links path[first[f]] .. path[first[f+1]-1]. `count` identical flows travel
// as one.
struct FlowSet {
  std::vector<std::int64_t> first = {0};
  std::vector<std::int32_t> path;
  std::vector<double> bytes;    // of each of the count
  std::vector<double> count;    // whole numbers of at least 1
  std::vector<double> start_s;  // when it joins

  std::size_t size() const { return bytes.size(); }
  std::span<const std::int32_t> links(std::size_t flow) const {
    return {path.data() + first[flow], static_cast<std::size_t>(first[flow + 1] - first[flow])};
  }
  void add(std::span<const std::int32_t> links, double flow_bytes, double flow_count = 1.0, double start = 0.0);
};

// Throws Error: a link that is not there, without bandwidth, negative or infinite bytes, a count that is not whole.
void check_flows(const std::vector<double>& capacity, const FlowSet& flows);

// Rates (bytes/s, each of the count) of all flows at once; infinite for a flow that crosses nothing.
std::vector<double> max_min_rates(const std::vector<double>& capacity, const FlowSet& flows);
// The same by progressive filling as the definition says it, slow: the oracle of every fast path.
std::vector<double> max_min_rates_reference(const std::vector<double>& capacity, const FlowSet& flows);

struct FlowTimes {
  std::vector<double> finish_s;
  double seconds = 0.0;         // of the last
  std::int64_t components = 0;  // parts that share no link
  std::int64_t solves = 0;      // re-ratings
  double refilled = 0.0;        // flows re-filled, over all re-ratings
};

// Every flow from its start to its end, re-rated whenever one joins or leaves. Components run on up to `threads`
// threads (0: as many as cores); the result does not depend on how many.
FlowTimes simulate_flows(const std::vector<double>& capacity, const FlowSet& flows, double precision = 1e-9,
                         unsigned threads = 0);
// The same with every re-rating from nothing.
FlowTimes simulate_flows_reference(const std::vector<double>& capacity, const FlowSet& flows);

// Flows of equal path, bytes and start become one with their number. `merged[f]` is the flow that carries f.
FlowSet merge_identical(const FlowSet& flows, std::vector<std::int64_t>& merged);

std::vector<double> link_bytes(const FlowSet& flows, std::size_t links);

}  // namespace hourglass::hardware
