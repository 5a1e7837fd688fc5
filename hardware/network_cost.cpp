// Messages by alpha-beta: a start-up, then bytes over the achieved bandwidth of the slowest tier they cross.
//
// Rings. All-gather and reduce-scatter of a buffer of B bytes over n ranks take n-1 steps of B/n bytes; all-reduce is
// one after the other (Thakur et al. 2005). Over several nodes NCCL lays one ring through each NIC, so the NICs of the
// group's GPUs on a node share the buffer, up to what NVLink carries between them.
//
// All-reduce has two more algorithms, and NCCL takes the fastest, as this does. Inside a node the switch can add
// (NVLS): fewer bytes, a longer start; from the published H100 figures it wins above 64 MiB over 8 GPUs. Between nodes
// a tree takes 2 log2(nodes) steps instead of 2 (n-1), with slightly more bytes (Sanders et al. 2009): it wins on small
// buffers.
//
// Protocols. NCCL sends small buffers with flags in the data (LL, LL128: little to start, a fraction of the bandwidth)
// and large ones in bulk behind a handshake (Simple); it takes the faster, and so does this. All-to-all and
// send/receive inside a node have figures of their own; between nodes each GPU's NIC carries what leaves the node. The
// own part of the buffer is copied in and out: a fraction of a step more.
//
// MoE dispatch and combine with node-limited routing (DeepSeek-V3 report, section 3.2.2): a token is sent once to each
// remote node that holds one of its experts, to the GPU of the same index there, and forwarded over NVLink to the GPUs
// that need it; both tiers run concurrently, so the slower one sets the time. With uniform routing EP8 and EP16 are
// bound by NVLink and larger groups by RDMA, which is why DeepEP's logical bandwidth rises from EP16 to EP32. Between
// nodes each SM forwards so many bytes a second and no more: measured on the H100 with 4 to 24 SMs, about 10 GB/s for
// dispatch and 8 GB/s for combine, which also adds.
//
// Low latency. A token is sent once for each of its experts, to the expert's GPU directly; only what leaves the GPU
// counts (ranks - 1 of `ranks` selections), and of that, where NVLink is used, what stays on the node takes NVLink. Two
// start-ups and two efficiencies describe EP8 to EP64 of both directions; a third describes the kernels before NVLink.
#include "hardware/network_cost.h"

#include <algorithm>
#include <cmath>

namespace hourglass::hardware {

namespace {

double ring_steps(Collective collective, double ranks) {
  return collective == Collective::all_reduce ? 2.0 * (ranks - 1.0) : ranks - 1.0;
}

// Bytes/s at which the buffer of a group moves around: NVLink, or the NICs of its GPUs on one node together.
double ring_bandwidth(const Cluster& cluster, const Profile& profile, GroupShape group) {
  const double nvlink = cluster.nvlink_bandwidth * profile.nvlink.efficiency;
  if (group.per_node >= group.ranks) return nvlink;
  const double nics = static_cast<double>(group.per_node) * cluster.nic_bandwidth * profile.rdma.efficiency;
  return group.per_node > 1 ? std::min(nics, nvlink) : nics;
}

double ring_seconds(const LinkClass& link, double bandwidth, double steps, double moved) {
  const double bulk = link.startup_s + steps * link.step_s + moved / bandwidth;
  if (link.low_latency_efficiency <= 0.0) return bulk;
  const double low_latency = link.low_latency_startup_s + steps * link.step_s +
                             moved / bandwidth * link.efficiency / link.low_latency_efficiency;
  return std::min(bulk, low_latency);
}

// The switch adds: every GPU sends its buffer once, receives the sum of its part, and sends that to all.
double switch_seconds(const LinkClass& link, double nvlink_bandwidth, double bytes, double ranks) {
  return link.switch_startup_s + bytes * (ranks + 1.0) / ranks / (nvlink_bandwidth * link.switch_efficiency);
}

// Between nodes, up a tree and down again: few steps, each of the whole buffer.
double tree_seconds(const LinkClass& link, double bandwidth, double bytes, GroupShape group) {
  const double nodes = std::ceil(static_cast<double>(group.ranks) / static_cast<double>(group.per_node));
  return link.startup_s + 2.0 * std::ceil(std::log2(nodes)) * link.step_s + 2.0 * bytes / bandwidth;
}

// Every rank sends a part to each other one at the same time. Small parts go through one channel a peer, so their speed
// depends on the part and not on the number of peers.
double peers_seconds(const LinkClass& link, double bandwidth, double part, double peers) {
  const double bulk = link.startup_s + part * (peers + link.copy_steps) / (bandwidth * link.efficiency);
  if (link.low_latency_efficiency <= 0.0) return bulk;
  return std::min(bulk, link.low_latency_startup_s + part / (bandwidth * link.low_latency_efficiency));
}

}  // namespace

double collective_seconds(const Cluster& cluster, const Profile& profile, Collective collective, double bytes,
                          GroupShape group) {
  if (group.ranks <= 1 || bytes <= 0.0) return 0.0;
  const bool one_node = group.per_node >= group.ranks;
  const double parts = bytes / static_cast<double>(group.ranks), peers = static_cast<double>(group.ranks - 1);
  if (collective == Collective::all_to_all && one_node)
    return peers_seconds(profile.nvlink_p2p, cluster.nvlink_bandwidth, parts, peers);
  if (collective == Collective::all_to_all) {
    const double far = static_cast<double>(group.ranks - group.per_node);  // peers, each through the own NIC
    return peers_seconds(profile.rdma, cluster.nic_bandwidth, parts, far);
  }
  const LinkClass& link = one_node ? profile.nvlink : profile.rdma;
  const double bandwidth = ring_bandwidth(cluster, profile, group);
  const auto ranks = static_cast<double>(group.ranks);
  const double steps = ring_steps(collective, ranks);
  const double ring = ring_seconds(link, bandwidth, steps, (steps + link.copy_steps) * bytes / ranks);
  if (collective != Collective::all_reduce) return ring;
  if (!one_node) return std::min(ring, tree_seconds(link, bandwidth, bytes, group));
  if (link.switch_efficiency <= 0.0) return ring;
  return std::min(ring, switch_seconds(link, cluster.nvlink_bandwidth, bytes, ranks));
}

MoeTraffic moe_traffic(const model::Routing& routing, double tokens, double token_bytes, GroupShape group) {
  const std::int64_t nodes = std::max<std::int64_t>(1, group.ranks / group.per_node);
  // Of the copies, one node's share stays; on each node, what lands on the right GPU needs no NVLink.
  const auto leaving = [](std::int64_t parts) { return static_cast<double>(parts - 1) / static_cast<double>(parts); };
  return {tokens * token_bytes, model::expected_parts(routing, nodes) * leaving(nodes),
          model::expected_parts(routing, group.ranks) * leaving(std::min(group.per_node, group.ranks))};
}

double low_latency_moe_seconds(const Cluster& cluster, const Profile& profile, double selections, double token_bytes,
                               GroupShape group, bool over_nvlink) {
  const LowLatencyClass& kernel = profile.moe_low_latency;
  const auto ranks = static_cast<double>(group.ranks),
             near = static_cast<double>(std::min(group.per_node, group.ranks));
  const double bytes = selections * token_bytes, leaving = bytes * (ranks - 1.0) / ranks;
  if (!over_nvlink) return leaving / (cluster.nic_bandwidth * kernel.rdma_only_efficiency);
  const double inside = bytes * (near - 1.0) / ranks;
  const double startup = kernel.startup_s + (leaving > inside ? kernel.rdma_startup_s : 0.0);
  return startup + std::max((leaving - inside) / (cluster.nic_bandwidth * kernel.rdma_efficiency),
                            inside / (cluster.nvlink_bandwidth * kernel.nvlink_efficiency));
}

double send_seconds(const Cluster& cluster, const Profile& profile, double bytes, bool same_node) {
  if (bytes <= 0.0) return 0.0;
  return peers_seconds(same_node ? profile.nvlink_p2p : profile.rdma,
                       same_node ? cluster.nvlink_bandwidth : cluster.nic_bandwidth, bytes, 1.0);
}

double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   std::int64_t sms, Conditions conditions) {
  if (traffic.bytes <= 0.0) return 0.0;
  const double rdma = traffic.remote_nodes * traffic.bytes / (cluster.nic_bandwidth * profile.moe_rdma.efficiency);
  const bool dispatch = direction == MoeDirection::dispatch;
  double rate = cluster.nvlink_bandwidth * profile.moe_nvlink.efficiency;
  const double sm_rate = dispatch ? profile.moe_nvlink.dispatch_sm_bandwidth : profile.moe_nvlink.combine_sm_bandwidth;
  if (traffic.remote_nodes > 0.0 && sms > 0 && sm_rate > 0.0) rate = std::min(rate, static_cast<double>(sms) * sm_rate);
  const double nvlink = traffic.other_gpus * traffic.bytes / rate;
  const LinkClass& link = traffic.remote_nodes > 0.0 ? profile.moe_rdma : profile.moe_nvlink;
  double slowdown = 1.0;
  if (conditions.overlapped()) {
    slowdown = dispatch ? profile.in_situ.dispatch_slowdown : profile.in_situ.combine_slowdown;
  }
  return link.startup_s + std::max(rdma, nvlink) * slowdown;
}

}  // namespace hourglass::hardware
