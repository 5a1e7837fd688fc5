// Ranks from the environment, the meeting file, and the two-hop exchange carried out for all ranks at once on the host.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "base/error.h"
#include "kernels/nccl/exchange.h"

using namespace hourglass;
using namespace hourglass::kernels;
using namespace hourglass::kernels::nccl;

namespace {

World world_from(const std::map<std::string, std::string>& variables) {
  return world_of([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

using Row = std::pair<int, Index>;  // source rank, token
using Rows = std::vector<std::vector<Row>>;

std::vector<World> worlds_of(int nodes, int each) {
  std::vector<World> worlds;
  for (int rank = 0; rank < nodes * each; ++rank) worlds.push_back({rank, nodes * each, rank % each, each, ""});
  return worlds;
}

// Delivers a hop of every rank: what each packed for each peer, in the receiver's order of peers.
template <class T>
std::vector<std::vector<T>> deliver(const std::vector<Hop>& hops, const std::vector<std::vector<T>>& packed,
                                    bool backwards) {
  std::map<std::pair<int, int>, std::vector<T>> wire;
  for (std::size_t rank = 0; rank < hops.size(); ++rank) {
    const std::vector<Index>& counts = backwards ? hops[rank].received : hops[rank].sent;
    auto at = packed[rank].begin();
    for (std::size_t i = 0; i < counts.size(); ++i) {
      wire[{static_cast<int>(rank), hops[rank].peers[i]}].assign(at, at + counts[i]);
      at += counts[i];
    }
    CHECK(at == packed[rank].end());
  }
  std::vector<std::vector<T>> arrived(hops.size());
  for (std::size_t rank = 0; rank < hops.size(); ++rank) {
    const std::vector<Index>& counts = backwards ? hops[rank].sent : hops[rank].received;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::vector<T>& message = wire[{hops[rank].peers[i], static_cast<int>(rank)}];
      REQUIRE(static_cast<Index>(message.size()) == counts[i]);
      arrived[rank].insert(arrived[rank].end(), message.begin(), message.end());
    }
  }
  return arrived;
}

template <class T>
std::vector<T> pick(const std::vector<T>& from, const std::vector<std::int32_t>& rows) {
  std::vector<T> picked;
  for (const std::int32_t row : rows) picked.push_back(from[static_cast<std::size_t>(row)]);
  return picked;
}

std::vector<double> add(const std::vector<double>& from, const Sums& sums) {
  std::vector<double> out(sums.offsets.size() - 1, 0.0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::int32_t at = sums.offsets[i]; at < sums.offsets[i + 1]; ++at)
      out[i] += from[static_cast<std::size_t>(sums.sources[static_cast<std::size_t>(at)])];
  }
  return out;
}

std::set<int> ranks_of(const Choices& choices, int ranks, int source, Index token) {
  std::set<int> found;
  for (Index i = 0; i < choices.top_k; ++i)
    found.insert(static_cast<int>(
        choices.of_rank[static_cast<std::size_t>(source)][static_cast<std::size_t>(token * choices.top_k + i)] /
        (choices.experts / ranks)));
  return found;
}

}  // namespace

TEST_CASE("ranks as mpirun, srun and torchrun give them; alone without") {
  const World mpi = world_from({{"OMPI_COMM_WORLD_RANK", "11"},
                                {"OMPI_COMM_WORLD_SIZE", "16"},
                                {"OMPI_COMM_WORLD_LOCAL_RANK", "3"},
                                {"OMPI_COMM_WORLD_LOCAL_SIZE", "8"},
                                {"PMIX_NAMESPACE", "job-7"}});
  CHECK(mpi.rank == 11);
  CHECK(mpi.node() == 1);
  CHECK(mpi.nodes() == 2);
  CHECK(mpi.job == "job-7");
  const World slurm = world_from({{"SLURM_PROCID", "1"},
                                  {"SLURM_STEP_NUM_TASKS", "4"},
                                  {"SLURM_LOCALID", "1"},
                                  {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                                  {"SLURM_JOB_ID", "99"},
                                  {"SLURM_STEP_ID", "5"}});
  CHECK(slurm.nodes() == 2);
  CHECK(slurm.job == "99.5");
  CHECK(world_from({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}}).size == 2);
  CHECK(world_from({}).size == 1);
  CHECK(world_from({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}).size == 1);  // a batch script, not a step
  CHECK_THROWS_AS(world_from({{"RANK", "one"}, {"WORLD_SIZE", "2"}}), base::Error);
  CHECK_THROWS_AS(world_from({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), base::Error);
  CHECK_THROWS_AS(world_from({{"RANK", "1"}, {"WORLD_SIZE", "3"}, {"LOCAL_WORLD_SIZE", "2"}}), base::Error);
}

TEST_CASE("the meeting file: all get what rank 0 wrote, an old one is refused, a missing one ends") {
  const std::string path =
      (std::filesystem::temp_directory_path() /
       ("hourglass-test-meeting-" + std::to_string(std::hash<std::thread::id>{}(std::this_thread::get_id()))))
          .string();
  std::filesystem::remove(path);
  const std::string message("an id\0with zeros", 16);
  std::string got;
  std::thread other([&] { got = Rendezvous({1, 2, 1, 2, "job"}, path).share("", 20.0); });
  const Rendezvous first({0, 2, 0, 2, "job"}, path);
  first.share(message);
  other.join();
  CHECK(got == message);
  CHECK_THROWS_AS(first.share(message), base::Error);
  first.forget();
  CHECK(!std::filesystem::exists(path));
  CHECK_THROWS_AS(Rendezvous({1, 2, 1, 2, "job"}, path).share("", 0.05), base::Error);
  CHECK_THROWS_AS(Rendezvous({0, 2, 0, 2, ""}), base::Error);
  CHECK(Rendezvous({}).share("alone") == "alone");
}

TEST_CASE("dispatch in two hops: every token once to every rank that has an expert of it, once across to a node") {
  for (const auto& [nodes, each] : {std::pair{1, 1}, {1, 4}, {3, 1}, {4, 2}}) {
    const int ranks = nodes * each;
    const Index tokens = 37;
    const Choices choices = random_choices(ranks, tokens, 48, 4, 12, 3, 5);
    const std::vector<World> worlds = worlds_of(nodes, each);
    std::vector<Exchange> plans;
    std::vector<Hop> across, within;
    Rows start;
    for (const World& w : worlds) {
      plans.push_back(plan_exchange(w, choices));
      across.push_back(plans.back().across), within.push_back(plans.back().within);
      std::vector<Row> own;
      for (Index t = 0; t < tokens; ++t) own.emplace_back(w.rank, t);
      start.push_back(own);
    }
    Rows packed;
    for (int r = 0; r < ranks; ++r)
      packed.push_back(pick(start[static_cast<std::size_t>(r)], across[static_cast<std::size_t>(r)].rows));
    const Rows forwarded = deliver(across, packed, false);
    packed.clear();
    for (int r = 0; r < ranks; ++r)
      packed.push_back(pick(forwarded[static_cast<std::size_t>(r)], within[static_cast<std::size_t>(r)].rows));
    Rows arrived = deliver(within, packed, false);

    for (int r = 0; r < ranks; ++r) {
      std::vector<Row> expected, got = arrived[static_cast<std::size_t>(r)];
      Index remote = 0;
      for (int source = 0; source < ranks; ++source) {
        for (Index t = 0; t < tokens; ++t) {
          const std::set<int> visited = ranks_of(choices, ranks, source, t);
          if (visited.contains(r)) expected.emplace_back(source, t);
          std::set<int> visited_nodes;
          for (const int rank : visited) visited_nodes.insert(rank / each);
          visited_nodes.erase(source / each);
          if (source == r) remote += static_cast<Index>(visited_nodes.size());
        }
      }
      std::sort(got.begin(), got.end());
      CHECK(got == expected);
      CHECK(plans[static_cast<std::size_t>(r)].remote_rows == remote);
    }

    // And back: each rank returns its tokens' numbers times (rank + 1); a token's owner gets the sum over its ranks.
    std::vector<std::vector<double>> values(static_cast<std::size_t>(ranks));
    for (int r = 0; r < ranks; ++r) {
      for (const Row& row : arrived[static_cast<std::size_t>(r)])
        values[static_cast<std::size_t>(r)].push_back((r + 1.0) *
                                                      (100.0 * row.first + static_cast<double>(row.second)));
    }
    values = deliver(within, values, true);
    for (std::size_t r = 0; r < values.size(); ++r) values[r] = add(values[r], plans[r].at_forwarder);
    values = deliver(across, values, true);
    for (std::size_t r = 0; r < values.size(); ++r) {
      const std::vector<double> back = add(values[r], plans[r].at_sender);
      REQUIRE(static_cast<Index>(back.size()) == tokens);
      for (Index t = 0; t < tokens; ++t) {
        double weight = 0.0;
        for (const int rank : ranks_of(choices, ranks, static_cast<int>(r), t)) weight += rank + 1.0;
        CHECK(back[static_cast<std::size_t>(t)] ==
              doctest::Approx(weight * (100.0 * static_cast<double>(r) + static_cast<double>(t))));
      }
    }
  }
  CHECK_THROWS_AS(plan_exchange({0, 3, 0, 3, ""}, random_choices(3, 4, 16, 2, 1, 1, 1)), base::Error);
}
