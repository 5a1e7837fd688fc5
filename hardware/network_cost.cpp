// Messages by alpha-beta: a start-up, then bytes over the achieved bandwidth of the slowest tier they cross.
//
// Rings. All-gather and reduce-scatter of a buffer of B bytes over n ranks take n-1 steps of B/n bytes; all-reduce is
// one after the other (Thakur et al. 2005). A ring over several nodes crosses each node's NICs once for each GPU pair
// of rings, so the inter-node tier moves at (GPUs of the group on a node) x NIC bandwidth, shared by as many rings:
// each GPU effectively has its own NIC.
//
// Protocols. NCCL sends small buffers with flags in the data (LL, LL128: little to start, a fraction of the bandwidth)
// and large ones in bulk behind a handshake (Simple); it takes the faster, and so does this. The own part of the buffer
// is copied in and out: a fraction of a step more. Not modelled: reduction inside the switch (NVLS), which NCCL uses
// for some all-reduces.
//
// MoE dispatch and combine with node-limited routing (DeepSeek-V3 report, section 3.2.2): a token is sent once to each
// remote node that holds one of its experts, to the GPU of the same index there, and forwarded over NVLink to the GPUs
// that need it; both tiers run concurrently, so the slower one sets the time. EP8, 16 and 32 of DeepEP's published H800
// figures follow from one RDMA and one NVLink efficiency; the flow-level network replaces this later.
#include "hardware/network_cost.h"

#include <algorithm>

namespace hourglass::hardware {

namespace {

double ring_steps(Collective collective, double ranks) {
  return collective == Collective::all_reduce ? 2.0 * (ranks - 1.0) : ranks - 1.0;
}

}  // namespace

double collective_seconds(const Cluster& cluster, const Profile& profile, Collective collective, double bytes,
                          GroupShape group) {
  if (group.ranks <= 1 || bytes <= 0.0) return 0.0;
  const bool one_node = group.per_node >= group.ranks;
  const LinkClass& link = one_node ? profile.nvlink : profile.rdma;
  const double bandwidth = (one_node ? cluster.nvlink_bandwidth : cluster.nic_bandwidth) * link.efficiency;
  const auto ranks = static_cast<double>(group.ranks);
  const double steps = ring_steps(collective, ranks);
  const double moved = (steps + link.copy_steps) * bytes / ranks;
  const double bulk = link.startup_s + steps * link.step_s + moved / bandwidth;
  if (link.low_latency_efficiency <= 0.0) return bulk;
  const double low_latency = link.low_latency_startup_s + steps * link.step_s +
                             moved / bandwidth * link.efficiency / link.low_latency_efficiency;
  return std::min(bulk, low_latency);
}

double send_seconds(const Cluster& cluster, const Profile& profile, double bytes, bool same_node) {
  if (bytes <= 0.0) return 0.0;
  const LinkClass& link = same_node ? profile.nvlink : profile.rdma;
  return link.startup_s + bytes / ((same_node ? cluster.nvlink_bandwidth : cluster.nic_bandwidth) * link.efficiency);
}

double moe_seconds(const Cluster& cluster, const Profile& profile, const MoeTraffic& traffic, MoeDirection direction,
                   Conditions conditions) {
  if (traffic.bytes <= 0.0) return 0.0;
  const double rdma = traffic.remote_nodes * traffic.bytes / (cluster.nic_bandwidth * profile.moe_rdma.efficiency);
  const double nvlink = traffic.other_gpus * traffic.bytes / (cluster.nvlink_bandwidth * profile.moe_nvlink.efficiency);
  const LinkClass& link = traffic.remote_nodes > 0.0 ? profile.moe_rdma : profile.moe_nvlink;
  double slowdown = 1.0;
  if (conditions.overlapped()) {
    const bool dispatch = direction == MoeDirection::dispatch;
    slowdown = dispatch ? profile.in_situ.dispatch_slowdown : profile.in_situ.combine_slowdown;
  }
  return link.startup_s + std::max(rdma, nvlink) * slowdown;
}

}  // namespace hourglass::hardware
