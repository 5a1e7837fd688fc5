#pragma once

#include <string>
#include <vector>

#include "hardware/network/topology.h"

// Links by the dozen: a cluster of 2048 GPUs has 12,288 of them beside those between switches, which no picture shows
// one by one.
namespace hourglass::hardware {

// Links of one kind in one plane, rail or pod.
struct LinkCell {
  std::string kind;   // "NIC to leaf"
  std::string place;  // "plane 3"; "all" where the fabric has no such parts
  std::int64_t links = 0;
  std::int64_t failed = 0;                     // of them; they count in nothing below
  double least = 0.0, mean = 0.0, most = 0.0;  // utilization
};

// By kind, from the GPU outwards, then by place. `utilization` is of every link.
std::vector<LinkCell> link_cells(const Topology& topology, const std::vector<double>& utilization);

}  // namespace hourglass::hardware
