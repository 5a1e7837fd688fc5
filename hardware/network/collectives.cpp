// Collectives as flows (B bytes, n ranks, g GPUs a node, N nodes).
//
//   ring: all-gather and reduce-scatter take n-1 steps in which every rank sends B/n to its right neighbour, all-reduce
//   both
//       (Thakur et al. 2005). NCCL runs one ring for each NIC at once, each with its part of B: ring c enters node k at
//       GPU (c-k) mod g and leaves it by the GPU before, which is on the rail where it enters the next node. All steps
//       are alike: one phase, repeated.
//   all-to-all: every rank sends B/n to every other, all at once; between rails over NVLink first (PXN).
//   hierarchical: reduce-scatter inside the nodes (each GPU sends B/g to each other), the collective along each rail on
//   the
//       B/g that its GPU now holds, all-gather inside the nodes; all-gather and reduce-scatter do the halves they need.
//       All-to-all sends everything for rail i to the node's GPU i first, then along the rails in messages g times as
//       large.
//   send/recv: one flow.
//
// Bus bandwidth (as nccl-tests defines it) = B/t x 2(n-1)/n for all-reduce, (n-1)/n for the others with all ranks, 1
// for send/recv. Not modelled: reduction in switches (SHARP, NVLS), trees, the choice of protocol for small sizes.
#include "hardware/network/collectives.h"

#include <fmt/format.h>

#include "base/error.h"

namespace hourglass::hardware {

namespace {

struct Group {
  Network& network;
  std::int32_t ranks, per_node, nodes;
  double bytes;
  std::vector<Phase> phases;

  void add(Phase& phase, std::int32_t from, std::int32_t to, double size) {
    add_flow(network, phase, from, to, Via::rail, size);
  }

  // One ring for each GPU of a node, or one if the group lies in a node.
  void ring(double steps) {
    Phase phase;
    const std::int32_t rings = nodes > 1 ? per_node : 1;
    const double size = bytes / ranks / rings;
    for (std::int32_t c = 0; c < rings; ++c) {
      const auto member = [&](std::int32_t k) {  // k-th of the ring
        const std::int32_t node = k / per_node % nodes, entry = ((c - node) % per_node + per_node) % per_node;
        return node * per_node + (entry + k % per_node) % per_node;
      };
      for (std::int32_t k = 0; k < ranks; ++k) add(phase, member(k), member((k + 1) % ranks), size);
    }
    phase.repeat = steps;
    phases.push_back(std::move(phase));
  }

  // Every GPU of a node to every other of it.
  void inside(double size) {
    Phase phase;
    for (std::int32_t a = 0; a < ranks; ++a) {
      for (std::int32_t b = a / per_node * per_node; b < (a / per_node + 1) * per_node; ++b) add(phase, a, b, size);
    }
    phases.push_back(std::move(phase));
  }

  // Ring along each rail, of the part of the buffer that its GPU holds.
  void rails(double steps, double part) {
    Phase phase;
    for (std::int32_t a = 0; a < ranks; ++a) add(phase, a, (a + per_node) % ranks, part / nodes);
    phase.repeat = steps;
    phases.push_back(std::move(phase));
  }

  void all_to_all(bool rails_only, double size) {
    Phase phase;
    for (std::int32_t a = 0; a < ranks; ++a) {
      for (std::int32_t b = rails_only ? a % per_node : 0; b < ranks; b += rails_only ? per_node : 1)
        add(phase, a, b, size);
    }
    phases.push_back(std::move(phase));
  }
};

void flat(Group& group, CollectiveKind kind) {
  const double n = group.ranks;
  switch (kind) {
    case CollectiveKind::all_reduce:
      return group.ring(2.0 * (n - 1.0));
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
      return group.ring(n - 1.0);
    case CollectiveKind::all_to_all:
      return group.all_to_all(false, group.bytes / n);
    case CollectiveKind::send_recv: {
      Phase phase;
      group.add(phase, 0, group.ranks - 1, group.bytes);
      group.phases.push_back(std::move(phase));
    }
  }
}

void hierarchical(Group& group, CollectiveKind kind) {
  const double g = group.per_node, nodes = group.nodes, part = group.bytes / g;
  switch (kind) {
    case CollectiveKind::all_reduce:
      group.inside(part);
      group.rails(2.0 * (nodes - 1.0), part);
      return group.inside(part);
    case CollectiveKind::all_gather:
      group.rails(nodes - 1.0, part);
      return group.inside(part);
    case CollectiveKind::reduce_scatter:
      group.inside(part);
      return group.rails(nodes - 1.0, part);
    case CollectiveKind::all_to_all:
      group.inside(part);
      return group.all_to_all(true, part / nodes);
    case CollectiveKind::send_recv:
      return flat(group, kind);
  }
}

double bus_factor(CollectiveKind kind, double ranks) {
  if (kind == CollectiveKind::send_recv) return 1.0;
  return (kind == CollectiveKind::all_reduce ? 2.0 : 1.0) * (ranks - 1.0) / ranks;
}

void check(const Topology& topology, CollectiveAlgorithm algorithm, std::int64_t ranks, double bytes) {
  const auto refuse = [](const std::string& what, const std::string& fix) {
    throw base::Error(what, "collective", fix);
  };
  if (ranks > topology.gpus)
    refuse(fmt::format("a group of {} GPUs does not fit the {} there are", ranks, topology.gpus),
           "take a smaller group or a larger cluster");
  if (ranks < 2) refuse(fmt::format("a group of {} has nobody to send to", ranks), "take at least 2 GPUs");
  if (!(bytes > 0.0)) refuse(fmt::format("{} bytes cannot be sent", bytes), "give a positive number of bytes");
  const bool whole = ranks <= topology.gpus_per_node || ranks % topology.gpus_per_node == 0;
  if (!whole) refuse(fmt::format("{} GPUs do not fill nodes of {}", ranks, topology.gpus_per_node), "take whole nodes");
  if (algorithm == CollectiveAlgorithm::hierarchical && ranks <= topology.gpus_per_node)
    refuse("a group inside one node has no hierarchy", "take several nodes, or the flat algorithm");
}

}  // namespace

std::vector<std::string> collective_names() {
  return {"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "send-recv"};
}

CollectiveKind collective_kind(const std::string& name) {
  const std::vector<std::string> names = collective_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<CollectiveKind>(i);
  }
  throw base::UsageError(fmt::format("unknown collective '{}'", base::printable(name)), "hourglass collective",
                         base::suggestion(name, names));
}

CollectiveTime collective_time(Network& network, CollectiveKind kind, CollectiveAlgorithm algorithm, std::int64_t ranks,
                               double bytes, double startup_s) {
  check(network.topology, algorithm, ranks, bytes);
  const auto n = static_cast<std::int32_t>(ranks);
  const std::int32_t per_node = std::min(n, network.topology.gpus_per_node);
  Group group{network, n, per_node, n / per_node, bytes, {}};
  algorithm == CollectiveAlgorithm::flat ? flat(group, kind) : hierarchical(group, kind);
  CollectiveTime time;
  time.transfer = run(network, group.phases);
  time.transfer.bottleneck_utilization *= time.transfer.seconds / (time.transfer.seconds + startup_s);
  time.transfer.seconds += startup_s;
  time.algorithm_bandwidth = bytes / time.transfer.seconds;
  time.bus_bandwidth = time.algorithm_bandwidth * bus_factor(kind, static_cast<double>(ranks));
  return time;
}

}  // namespace hourglass::hardware
