#include "kernels/nccl/exchange.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "kernels/math/token_routing.h"

namespace hourglass::kernels::nccl {

namespace {

struct Places {
  const World& world;
  const Choices& choices;

  int rank_of(std::int32_t expert) const { return static_cast<int>(expert / (choices.experts / world.size)); }
  // Ranks, each once and in order, that have an expert of this token; `node` -1: of all nodes.
  std::vector<int> ranks_of(int source, Index token, int node) const {
    std::vector<int> ranks;
    for (Index i = 0; i < choices.top_k; ++i) {
      const int rank = rank_of(choices.of_rank[position(source)][position(token * choices.top_k + i)]);
      if (node < 0 || rank / world.ranks_per_node == node) ranks.push_back(rank);
    }
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    return ranks;
  }
  bool visits(int source, Index token, int node) const { return !ranks_of(source, token, node).empty(); }
  Index tokens(int rank) const { return static_cast<Index>(choices.of_rank[position(rank)].size()) / choices.top_k; }
  // The tokens of `source` that go to `node`, in order: what crosses from it to the rank there with its number.
  std::vector<Index> crossing(int source, int node) const {
    std::vector<Index> list;
    for (Index t = 0; t < tokens(source); ++t) {
      if (visits(source, t, node)) list.push_back(t);
    }
    return list;
  }
};

// What arrives at `forwarder` by the first hop: (source, token), by source node.
std::vector<std::pair<int, Index>> arrivals(const Places& places, int forwarder) {
  const World& w = places.world;
  std::vector<std::pair<int, Index>> rows;
  for (int node = 0; node < w.nodes(); ++node) {
    const int source = w.rank_at(node, forwarder % w.ranks_per_node);
    for (const Index token : places.crossing(source, forwarder / w.ranks_per_node)) rows.emplace_back(source, token);
  }
  return rows;
}

// The rows of `arrived` that go on to `to`.
std::vector<std::int32_t> going_on(const Places& places, const std::vector<std::pair<int, Index>>& arrived, int to) {
  std::vector<std::int32_t> rows;
  for (std::size_t row = 0; row < arrived.size(); ++row) {
    const std::vector<int> ranks =
        places.ranks_of(arrived[row].first, arrived[row].second, to / places.world.ranks_per_node);
    if (std::binary_search(ranks.begin(), ranks.end(), to)) rows.push_back(static_cast<std::int32_t>(row));
  }
  return rows;
}

// The way back of a hop: sent rows return in the order in which they went, and those of one origin are added.
Sums sums_of(const Hop& hop, Index origins) {
  Sums sums;
  sums.offsets.assign(position(origins + 1), 0);
  for (const std::int32_t row : hop.rows) ++sums.offsets[position(row) + 1];
  for (std::size_t i = 1; i < sums.offsets.size(); ++i) sums.offsets[i] += sums.offsets[i - 1];
  sums.sources.resize(hop.rows.size());
  std::vector<std::int32_t> next(sums.offsets.begin(), sums.offsets.end() - 1);
  for (std::size_t i = 0; i < hop.rows.size(); ++i)
    sums.sources[position(next[position(hop.rows[i])]++)] = static_cast<std::int32_t>(i);
  return sums;
}

}  // namespace

Index Hop::received_rows() const {
  Index sum = 0;
  for (const Index count : received) sum += count;
  return sum;
}

Exchange plan_exchange(const World& w, const Choices& choices) {
  if (choices.top_k < 1 || choices.experts % w.size != 0 || static_cast<int>(choices.of_rank.size()) != w.size)
    throw base::Error("the experts do not divide among the ranks", "dispatch",
                      "choose a multiple of the number of ranks");
  const Places places{w, choices};
  Exchange x;
  for (int node = 0; node < w.nodes(); ++node) {
    const int peer = w.rank_at(node, w.local_rank);
    const std::vector<Index> tokens = places.crossing(w.rank, node);
    x.across.peers.push_back(peer);
    x.across.sent.push_back(static_cast<Index>(tokens.size()));
    x.across.received.push_back(static_cast<Index>(places.crossing(peer, w.node()).size()));
    for (const Index token : tokens) x.across.rows.push_back(static_cast<std::int32_t>(token));
    if (node != w.node()) x.remote_rows += static_cast<Index>(tokens.size());
  }
  const std::vector<std::pair<int, Index>> arrived = arrivals(places, w.rank);
  for (int local = 0; local < w.ranks_per_node; ++local) {
    const int peer = w.rank_at(w.node(), local);
    const std::vector<std::int32_t> rows = going_on(places, arrived, peer);
    x.within.peers.push_back(peer);
    x.within.sent.push_back(static_cast<Index>(rows.size()));
    x.within.received.push_back(static_cast<Index>(going_on(places, arrivals(places, peer), w.rank).size()));
    x.within.rows.insert(x.within.rows.end(), rows.begin(), rows.end());
  }
  x.at_forwarder = sums_of(x.within, static_cast<Index>(arrived.size()));
  x.at_sender = sums_of(x.across, places.tokens(w.rank));
  return x;
}

Choices random_choices(int ranks, Index tokens, Index experts, Index top_k, Index groups, Index groups_per_token,
                       std::uint64_t seed) {
  Choices choices{top_k, experts, {}};
  const RouterShape shape{experts, top_k, groups, groups_per_token, 1.0};
  const Tensor<float> bias(1, experts);
  for (int rank = 0; rank < ranks; ++rank) {
    base::Random random(seed + static_cast<std::uint64_t>(rank));
    Choice<float> choice;
    Router<float>::forward(shape, random_normal<float>(tokens, experts, 1.0, random), bias, choice);
    choices.of_rank.push_back(std::move(choice.experts));
  }
  return choices;
}

}  // namespace hourglass::kernels::nccl
