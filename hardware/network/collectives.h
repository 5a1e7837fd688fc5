#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/network/transfer.h"

// Collectives among the first `ranks` GPUs of a topology as phases of flows.
namespace hourglass::hardware {

enum class CollectiveKind : std::uint8_t { all_reduce, all_gather, reduce_scatter, all_to_all, send_recv };
enum class CollectiveAlgorithm : std::uint8_t { flat, hierarchical };

std::vector<std::string> collective_names();              // "all-reduce", ...
CollectiveKind collective_kind(const std::string& name);  // throws UsageError

struct CollectiveTime {
  Transfer transfer;
  double algorithm_bandwidth = 0.0;  // bytes / seconds
  double bus_bandwidth = 0.0;        // algorithm bandwidth times nccl-tests' factor
};

// `bytes`: nccl-tests' size: the whole buffer (all-gather: gathered; reduce-scatter: before; all-to-all: of one rank).
// `startup_s` is paid once. For send_recv, from GPU 0 to the last of the group.
// Throws Error if the group is larger than the topology, smaller than two, or `bytes` is not positive; hierarchical
// needs whole nodes.
CollectiveTime collective_time(Network& network, CollectiveKind kind, CollectiveAlgorithm algorithm, std::int64_t ranks,
                               double bytes, double startup_s);

}  // namespace hourglass::hardware
