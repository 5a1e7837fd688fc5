// The MoE all-to-all on wires (DeepSeek-V3 report, sections 3.2.2 and 3.5.1; DeepEP's kernels).
//
// Normal kernels. A token goes to at most four nodes. To each remote one it is sent once over InfiniBand, to the GPU of
// the same index there, and that GPU forwards it over NVLink to each GPU of its node that holds one of its experts;
// tokens for the own node go over NVLink at once. Combine is the same backwards, summing on the way. Chunks keep both
// wires busy together, so
//     dispatch: to_node[s][N] tokens on the rail from s into node N, to_rank[s][d] from the landing GPU to d over NVLink
// are flows that all start together. FP8 dispatch: 7168 + 4 x 7168/128 = 7392 bytes; BF16 combine: 14336.
//
// Low-latency kernels. One message for each (token, expert), straight to the expert's GPU: over RDMA even inside a
// node, or with NVLink there. Messages carry 16 bytes of header. What stays on the own rank is a local copy, and on no
// wire.
//
// Routing. Expert e of a token scores log(u)/load(e), u uniform: the k largest are k draws without replacement in
// proportion to the loads (Efraimidis and Spirakis 2006). Nodes are ranked by the sum of their top_k/nodes_per_token
// best scores, as in section 2.1.2 of the report, and only experts of the best are eligible.
//
// What the kernels reach of the wires comes from the profile, fitted to DeepEP's published figures for single groups
// without contention (hardware/network_cost.cpp has the closed form of the same case); none of it depends on the
// group's size. The notify pass before dispatch and combine over several nodes, in which GPUs tell each other how much
// comes, is a barrier of ceil(log2(nodes)) rounds; it is told apart, as in DeepEP's timings. Two SMs make a channel, one
// that sends and one that receives. Not modelled: NVLink copies slowed by RDMA polling.
//
// DeepEP's logical bandwidth counts what stays local: (token, node) pairs with the own node for internode kernels,
// received tokens with the own rank's inside one node, selections for low latency; the wires carry less.
#include "hardware/network/moe_traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "model/ops/routing.h"

namespace hourglass::hardware {

namespace {

std::size_t cell(std::int64_t row, std::int64_t columns, std::int64_t column) {
  return static_cast<std::size_t>(row * columns + column);
}

MoeTokens empty_tokens(std::int64_t ranks, std::int64_t ranks_per_node) {
  MoeTokens tokens;
  tokens.ranks = ranks;
  tokens.ranks_per_node = std::min(ranks, ranks_per_node);
  tokens.nodes = ranks / tokens.ranks_per_node;
  tokens.to_node.assign(cell(ranks, tokens.nodes, 0), 0.0);
  tokens.to_rank.assign(cell(ranks, ranks, 0), 0.0);
  tokens.selections.assign(cell(ranks, ranks, 0), 0.0);
  return tokens;
}

void count_token(MoeTokens& tokens, std::int64_t source, std::int64_t experts_a_rank,
                 std::vector<std::int64_t>& experts) {
  std::sort(experts.begin(), experts.end());
  std::int64_t last_rank = -1, last_node = -1;
  for (const std::int64_t expert : experts) {
    const std::int64_t rank = expert / experts_a_rank, node = rank / tokens.ranks_per_node;
    tokens.selections[cell(source, tokens.ranks, rank)] += 1.0;
    if (rank != last_rank) tokens.to_rank[cell(source, tokens.ranks, rank)] += 1.0;
    if (node != last_node) tokens.to_node[cell(source, tokens.nodes, node)] += 1.0;
    last_rank = rank;
    last_node = node;
  }
}

void check_shape(std::int64_t ranks, std::int64_t ranks_per_node, std::int64_t experts) {
  const auto refuse = [](const std::string& what, const std::string& fix) {
    throw CannotCarry(what, "expert parallelism", fix);
  };
  if (ranks < 1 || ranks_per_node < 1 || ranks > 4096)
    refuse(fmt::format("{} ranks cannot form a group", ranks), "take 1 to 4096 ranks");
  if (ranks > ranks_per_node && ranks % ranks_per_node != 0)
    refuse(fmt::format("{} ranks do not fill nodes of {}", ranks, ranks_per_node),
           "take a multiple of the GPUs of a node");
  if (experts < ranks || experts % ranks != 0)
    refuse(fmt::format("{} experts do not divide evenly among {} ranks", experts, ranks),
           "take ranks that divide the experts");
}

// The best scores of a token, experts of the best nodes only.
struct Drawer {
  const MoeRouting& routing;
  std::int64_t experts, experts_a_node, nodes;
  std::vector<double> inverse;  // 1 / load
  std::vector<std::pair<double, std::int64_t>> scores, best_nodes;
  std::vector<double> top;

  void draw(base::Random& random, std::vector<std::int64_t>& chosen) {
    scores.resize(static_cast<std::size_t>(experts));
    for (std::int64_t e = 0; e < experts; ++e) {
      const auto i = static_cast<std::size_t>(e);
      scores[i] = {std::log(1.0 - random.uniform()) * inverse[i], e};
    }
    if (routing.nodes_per_token > 0 && routing.nodes_per_token < nodes) keep_best_nodes();
    const auto k = static_cast<std::ptrdiff_t>(routing.top_k);
    std::partial_sort(scores.begin(), scores.begin() + k, scores.end(), std::greater<>());
    chosen.clear();
    for (std::ptrdiff_t i = 0; i < k; ++i) chosen.push_back(scores[static_cast<std::size_t>(i)].second);
  }

  void keep_best_nodes() {
    const std::int64_t counted =
        std::min(experts_a_node, std::max<std::int64_t>(1, routing.top_k / routing.nodes_per_token));
    best_nodes.clear();
    for (std::int64_t node = 0; node < nodes; ++node) {
      top.clear();
      for (std::int64_t e = node * experts_a_node; e < (node + 1) * experts_a_node; ++e)
        top.push_back(scores[static_cast<std::size_t>(e)].first);
      std::partial_sort(top.begin(), top.begin() + counted, top.end(), std::greater<>());
      double sum = 0.0;
      for (std::int64_t i = 0; i < counted; ++i) sum += top[static_cast<std::size_t>(i)];
      best_nodes.emplace_back(sum, node);
    }
    std::sort(best_nodes.begin(), best_nodes.end(), std::greater<>());
    best_nodes.resize(static_cast<std::size_t>(routing.nodes_per_token));
    std::erase_if(scores, [&](const auto& score) {
      return std::none_of(best_nodes.begin(), best_nodes.end(),
                          [&](const auto& n) { return n.second == score.second / experts_a_node; });
    });
  }
};

// The flows of one step. Combine runs dispatch's backwards.
struct Flows {
  Network& network;
  Phase phase;
  bool reversed;
  std::int64_t first_gpu = 0;  // of the group

  void add(std::int64_t from, std::int64_t to, double bytes) {
    if (reversed) std::swap(from, to);
    add_flow(network, phase, static_cast<std::int32_t>(first_gpu + from), static_cast<std::int32_t>(first_gpu + to),
             Via::rail, bytes);
  }
  void add_network(std::int64_t from, std::int64_t to, double bytes) {
    if (from == to || bytes <= 0.0) return;
    if (reversed) std::swap(from, to);
    std::vector<std::int32_t> path;
    network.router.route_network(static_cast<std::int32_t>(first_gpu + from), static_cast<std::int32_t>(first_gpu + to),
                                 phase.flows.size(), bytes, path);
    phase.latency_s = std::max(phase.latency_s, path_latency(network.topology, path));
    phase.flows.add(path, bytes);
  }
};

void normal_flows(Flows& flows, const MoeTokens& tokens, double bytes) {
  for (std::int64_t s = 0; s < tokens.ranks; ++s) {
    const std::int64_t own = s / tokens.ranks_per_node, rail = s % tokens.ranks_per_node;
    for (std::int64_t node = 0; node < tokens.nodes; ++node) {
      const std::int64_t landing = node * tokens.ranks_per_node + rail;
      if (node != own) flows.add(s, landing, bytes * tokens.to_node[cell(s, tokens.nodes, node)]);
      for (std::int64_t d = node * tokens.ranks_per_node; d < (node + 1) * tokens.ranks_per_node; ++d)
        flows.add(landing, d, bytes * tokens.to_rank[cell(s, tokens.ranks, d)]);
    }
  }
}

void low_latency_flows(Flows& flows, const MoeTokens& tokens, double bytes, bool nvlink) {
  for (std::int64_t s = 0; s < tokens.ranks; ++s) {
    for (std::int64_t d = 0; d < tokens.ranks; ++d) {
      const double sent = bytes * tokens.selections[cell(s, tokens.ranks, d)];
      if (nvlink && s / tokens.ranks_per_node == d / tokens.ranks_per_node)
        flows.add(s, d, sent);
      else
        flows.add_network(s, d, sent);
    }
  }
}

double logical_bytes(const MoeTokens& tokens, MoeKernel kernel) {  // tokens, over all ranks
  const std::vector<double>& counted = kernel != MoeKernel::normal ? tokens.selections
                                       : tokens.nodes > 1          ? tokens.to_node
                                                                   : tokens.to_rank;
  double sum = 0.0;
  for (const double value : counted) sum += value;
  return sum;
}

double imbalance(const MoeTokens& tokens) {
  double most = 0.0, sum = 0.0;
  for (std::int64_t d = 0; d < tokens.ranks; ++d) {
    double received = 0.0;
    for (std::int64_t s = 0; s < tokens.ranks; ++s) received += tokens.selections[cell(s, tokens.ranks, d)];
    most = std::max(most, received);
    sum += received;
  }
  return sum > 0.0 ? most * static_cast<double>(tokens.ranks) / sum : 1.0;
}

}  // namespace

std::vector<double> uniform_loads(std::int64_t experts) {
  return std::vector<double>(static_cast<std::size_t>(experts), 1.0);
}

std::vector<double> log_normal_loads(std::int64_t experts, double sigma, std::uint64_t seed) {
  base::Random random(seed);
  std::vector<double> loads;
  for (std::int64_t e = 0; e < experts; ++e) loads.push_back(random.log_normal(0.0, sigma));
  return loads;
}

MoeTokens draw_tokens(const MoeRouting& routing, std::uint64_t seed) {
  const auto experts = static_cast<std::int64_t>(routing.loads.size());
  check_shape(routing.ranks, routing.ranks_per_node, experts);
  MoeTokens tokens = empty_tokens(routing.ranks, routing.ranks_per_node);
  const std::int64_t experts_a_node = experts / tokens.nodes;
  const std::int64_t reached =
      routing.nodes_per_token > 0 ? std::min(routing.nodes_per_token, tokens.nodes) : tokens.nodes;
  if (routing.top_k < 1 || routing.top_k > reached * experts_a_node) {
    throw CannotCarry(fmt::format("top-{} cannot be drawn from {} experts on the {} nodes a token may use",
                                  routing.top_k, reached * experts_a_node, reached),
                      "routing", "lower top-k or allow more nodes");
  }
  Drawer drawer{routing, experts, experts_a_node, tokens.nodes, {}, {}, {}, {}};
  for (const double load : routing.loads) {
    if (!(load >= 0.0) || std::isinf(load))
      throw base::Error(fmt::format("an expert's load is {}", load), "routing", "loads are at least 0");
    drawer.inverse.push_back(1.0 / std::max(load, 1e-12));
  }
  base::Random random(seed);
  std::vector<std::int64_t> chosen;
  for (std::int64_t s = 0; s < routing.ranks; ++s) {
    for (std::int64_t t = 0; t < routing.tokens; ++t) {
      drawer.draw(random, chosen);
      count_token(tokens, s, experts / routing.ranks, chosen);
    }
  }
  return tokens;
}

MoeTokens expected_tokens(const MoeRouting& routing) {
  const auto experts = static_cast<std::int64_t>(routing.loads.size());
  check_shape(routing.ranks, routing.ranks_per_node, experts);
  MoeTokens tokens = empty_tokens(routing.ranks, routing.ranks_per_node);
  const std::int64_t reached =
      routing.nodes_per_token > 0 ? std::min(routing.nodes_per_token, tokens.nodes) : tokens.nodes;
  const model::Routing uniform{experts, routing.top_k, tokens.nodes, reached};
  const auto each = [&](std::int64_t parts) {
    return static_cast<double>(routing.tokens) * model::expected_parts(uniform, parts) / static_cast<double>(parts);
  };
  std::fill(tokens.to_node.begin(), tokens.to_node.end(), each(tokens.nodes));
  std::fill(tokens.to_rank.begin(), tokens.to_rank.end(), each(tokens.ranks));
  std::fill(tokens.selections.begin(), tokens.selections.end(),
            static_cast<double>(routing.tokens * routing.top_k) / static_cast<double>(tokens.ranks));
  return tokens;
}

MoeTokens count_tokens(const std::vector<std::vector<std::vector<std::int64_t>>>& experts_of, std::int64_t experts,
                       std::int64_t ranks_per_node) {
  const auto ranks = static_cast<std::int64_t>(experts_of.size());
  check_shape(ranks, ranks_per_node, experts);
  MoeTokens tokens = empty_tokens(ranks, ranks_per_node);
  for (std::int64_t s = 0; s < ranks; ++s) {
    for (std::vector<std::int64_t> chosen : experts_of[static_cast<std::size_t>(s)]) {
      for (const std::int64_t expert : chosen) {
        if (expert < 0 || expert >= experts)
          throw base::Error(fmt::format("a token of rank {} names expert {}; there are {}", s, expert, experts),
                            "routing", fmt::format("experts are numbered 0 to {}", experts - 1));
      }
      count_token(tokens, s, experts / ranks, chosen);
    }
  }
  return tokens;
}

MoeParameters moe_parameters(const Profile& profile) {
  MoeParameters p;
  p.normal = {profile.moe_nvlink.efficiency, profile.moe_rdma.efficiency};
  p.inside_startup_s = profile.moe_nvlink.startup_s;
  p.between_startup_s = profile.moe_rdma.startup_s;
  p.dispatch_sm_bandwidth = profile.moe_nvlink.dispatch_sm_bandwidth;
  p.combine_sm_bandwidth = profile.moe_nvlink.combine_sm_bandwidth;
  p.low_latency = {profile.moe_low_latency.nvlink_efficiency, profile.moe_low_latency.rdma_efficiency};
  p.low_latency_startup_s = profile.moe_low_latency.startup_s;
  p.low_latency_rdma_startup_s = profile.moe_low_latency.rdma_startup_s;
  p.rdma_only_efficiency = profile.moe_low_latency.rdma_only_efficiency;
  return p;
}

double token_bytes(const MoeShape& shape, MoeKernel kernel, MoeStep step) {
  const auto hidden = static_cast<double>(shape.hidden);
  if (step == MoeStep::combine) return 2.0 * hidden;
  const double values = shape.fp8_dispatch ? hidden + 4.0 * std::ceil(hidden / 128.0) : 2.0 * hidden;
  return kernel == MoeKernel::normal ? values : values + 16.0;
}

MoeTime moe_time(const Topology& topology, RoutePolicy policy, const MoeTokens& tokens, const MoeShape& shape,
                 MoeKernel kernel, MoeStep step, const MoeParameters& parameters, std::int64_t groups) {
  if (tokens.ranks * groups > topology.gpus)
    throw CannotCarry(fmt::format("{} group(s) of {} ranks do not fit {} GPUs", groups, tokens.ranks, topology.gpus),
                      "expert parallelism", "take fewer ranks or more GPUs");
  if (tokens.nodes > 1 && tokens.ranks_per_node != topology.gpus_per_node)
    throw CannotCarry(fmt::format("the routing has nodes of {} ranks, the topology of {}", tokens.ranks_per_node,
                                  topology.gpus_per_node),
                      "expert parallelism", "use the topology's node size");
  const bool normal = kernel == MoeKernel::normal;
  const bool alone = tokens.nodes == 1;
  TierEfficiency efficiency = normal ? parameters.normal : parameters.low_latency;
  double startup = normal ? (alone ? parameters.inside_startup_s : parameters.between_startup_s)
                          : parameters.low_latency_startup_s + (alone ? 0.0 : parameters.low_latency_rdma_startup_s);
  if (kernel == MoeKernel::low_latency_rdma) {
    efficiency.rdma = parameters.rdma_only_efficiency;
    startup = 0.0;
  }
  const double forwarded =
      step == MoeStep::dispatch ? parameters.dispatch_sm_bandwidth : parameters.combine_sm_bandwidth;
  if (normal && !alone && forwarded > 0.0 && shape.sms > 0) {
    const double nvlink = topology.links[static_cast<std::size_t>(nvlink_out(0))].bandwidth;
    efficiency.nvlink = std::min(efficiency.nvlink, static_cast<double>(shape.sms) * forwarded / nvlink);
  }
  if (!(efficiency.nvlink > 0.0) || !(efficiency.rdma > 0.0)) {
    throw base::Error(fmt::format("the profile has no {} kernels", normal ? "dispatch and combine" : "low-latency"),
                      "moe", "use a profile that has them");
  }
  Network network(topology, policy, efficiency);
  Flows flows{network, {}, step == MoeStep::combine};
  const double bytes = token_bytes(shape, kernel, step);
  for (std::int64_t group = 0; group < groups; ++group) {
    flows.first_gpu = group * tokens.ranks;
    if (normal)
      normal_flows(flows, tokens, bytes);
    else
      low_latency_flows(flows, tokens, bytes, kernel == MoeKernel::low_latency);
  }
  MoeTime time;
  flows.phase.latency_s = startup;  // the wires' own latency is in the start-up that was measured
  time.transfer = run(network, {flows.phase});
  const auto ranks = static_cast<double>(tokens.ranks * groups);
  time.logical_bandwidth =
      logical_bytes(tokens, kernel) * bytes / static_cast<double>(tokens.ranks) / time.transfer.seconds;
  time.rank_nvlink_bytes = time.transfer.tier_bytes[0] / 2.0 / ranks;  // each copy crosses a link out and a link in
  time.rank_nic_bytes = time.transfer.tier_bytes[2] / 2.0 / ranks;
  time.imbalance = imbalance(tokens);
  if (normal && !alone)
    time.notify_s = parameters.notify_startup_s +
                    parameters.notify_round_s * std::ceil(std::log2(static_cast<double>(tokens.nodes)));
  return time;
}

}  // namespace hourglass::hardware
