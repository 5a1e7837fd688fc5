// The NCCL backend of `hourglass bench`: messages between the processes that mpirun, srun or torchrun started, one GPU
// each. A run begins with a barrier on the stream; its time is that of the slowest rank, so all ranks see the same
// times and take the same decisions.
//
// Contents are zeros and ones by a hash of place and rank: sums of up to 256 of them are exact in BF16, so results are
// compared exactly.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/bench/bench_backends.h"
#include "kernels/cuda/device.h"
#include "kernels/nccl/communicator.h"

namespace hourglass::kernels {

namespace {

using cuda::Bf16;
using cuda::DeviceArray;
using cuda::Stream;
using nccl::Communicator;
using nccl::World;

constexpr Index compared = 1 << 16;  // values at both ends of a result

int bit_of(Index i, int rank) {
  return static_cast<int>((static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ull +
                           static_cast<std::uint64_t>(rank) * 0xbf58476d1ce4e5b9ull) >>
                              61 &
                          1u);
}
Bf16 bf16_of(int value) {
  return {static_cast<std::uint16_t>(bits_of(static_cast<float>(value)) >> 16)};
}  // up to 256: exact

struct Shared {
  explicit Shared(const World& world) : communicator(world) {}
  Communicator communicator;
  cuda::OwnStream stream;
  DeviceArray<float> token{std::vector<float>{0.0f}};
  int rank() const { return communicator.world().rank; }
  int size() const { return communicator.world().size; }
};

class MessageCase : public PreparedCase {
 public:
  explicit MessageCase(Shared& shared) : shared_(shared) {}

  std::string check() override {
    cuda::poison(to_.get(), to_.bytes(), stream());
    enqueue(stream());
    cuda::synchronize(stream());
    return compare();
  }
  RunTime run() override {
    shared_.communicator.all_reduce(stream(), shared_.token.get(), shared_.token.get(), 1);  // all ranks are here
    start_.record(stream());
    enqueue(stream());
    end_.record(stream());
    end_.wait();
    const int nanoseconds = static_cast<int>(std::min(2.0e9, end_.seconds_since(start_) * 1e9));
    return {1e-9 * shared_.communicator.largest(stream(), nanoseconds), false};
  }

 protected:
  virtual void enqueue(Stream stream) = 0;
  virtual int expected(Index i) const = 0;  // value i of the result
  virtual bool receives() const { return true; }
  Stream stream() const { return shared_.stream.get(); }

  void fill(Index count) {
    std::vector<Bf16> values(static_cast<std::size_t>(count));
    for (Index i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = bf16_of(bit_of(i, shared_.rank()));
    from_ = DeviceArray<Bf16>(values);
  }

  Shared& shared_;
  DeviceArray<Bf16> from_, to_;

 private:
  std::string compare() const {
    if (!receives()) return "";
    const Index lost = cuda::count_nan(stream(), to_.get(), to_.size());
    if (lost > 0) return fmt::format("rank {}: {} values did not arrive", shared_.rank(), lost);
    const std::vector<Bf16> got = to_.values();
    for (Index i = 0; i < to_.size(); ++i) {
      if (i == compared && to_.size() > 2 * compared) i = to_.size() - compared;
      if (got[static_cast<std::size_t>(i)].bits != bf16_of(expected(i)).bits)
        return fmt::format("rank {}: value {} of the result is not {}", shared_.rank(), i, expected(i));
    }
    return "";
  }
  cuda::Event start_, end_;
};

// `bytes` is nccl-tests' size: of the larger of what a rank sends and receives.
class CollectiveCase : public MessageCase {
 public:
  CollectiveCase(Shared& shared, const BenchCase& c)
      : MessageCase(shared), op_(c.kernel), each_(c.at("bytes") / 2 / shared.size()) {
    const Index all = each_ * shared.size();
    fill(op_ == "all_gather" ? each_ : all);
    to_ = DeviceArray<Bf16>(op_ == "reduce_scatter" ? each_ : all);
  }

 private:
  void enqueue(Stream stream) override {
    const Communicator& c = shared_.communicator;
    if (op_ == "all_reduce") c.all_reduce(stream, to_.get(), from_.get(), to_.size());
    if (op_ == "all_gather") c.all_gather(stream, to_.get(), from_.get(), each_);
    if (op_ == "reduce_scatter") c.reduce_scatter(stream, to_.get(), from_.get(), each_);
    if (op_ == "all_to_all") c.all_to_all(stream, to_.get(), from_.get(), each_);
  }
  int expected(Index i) const override {
    if (op_ == "all_gather") return bit_of(i % each_, static_cast<int>(i / each_));
    if (op_ == "all_to_all") return bit_of(shared_.rank() * each_ + i % each_, static_cast<int>(i / each_));
    int sum = 0;
    for (int rank = 0; rank < shared_.size(); ++rank)
      sum += bit_of(op_ == "reduce_scatter" ? shared_.rank() * each_ + i : i, rank);
    return sum;
  }
  std::string op_;
  Index each_;
};

// Even numbers send to the odd ones after them, all at once: ranks of a node, or the same rank of two nodes.
class PairCase : public MessageCase {
 public:
  PairCase(Shared& shared, const BenchCase& c) : MessageCase(shared) {
    const World& w = shared.communicator.world();
    const bool same = c.at("same_node") != 0;
    const int number = same ? w.rank : w.node(), step = same ? 1 : w.ranks_per_node;
    receives_ = number % 2 == 1;
    peer_ = receives_ ? w.rank - step : w.rank + step;
    fill(std::max<Index>(c.at("bytes") / 2, 1));
    to_ = DeviceArray<Bf16>(from_.size());
  }

 private:
  void enqueue(Stream stream) override {
    if (receives_) shared_.communicator.receive_from(stream, to_.get(), to_.size(), peer_);
    if (!receives_) shared_.communicator.send_to(stream, from_.get(), from_.size(), peer_);
  }
  int expected(Index i) const override { return bit_of(i, peer_); }
  bool receives() const override { return receives_; }
  bool receives_ = false;
  int peer_ = 0;
};

class ExchangeCase : public MessageCase {
 public:
  ExchangeCase(Shared& shared, const BenchCase& c, std::uint64_t seed)
      : MessageCase(shared),
        combines_(c.kernel == "combine"),
        tokens_(c.at("tokens")),
        width_(c.at("token_bytes") / 2),
        choices_(nccl::random_choices(shared.size(), tokens_, c.at("experts"), c.at("top_k"), c.at("groups"),
                                      c.at("groups_per_token"), seed)),
        hops_(shared.communicator, nccl::plan_exchange(shared.communicator.world(), choices_), width_) {
    fill(tokens_ * width_);
    to_ = DeviceArray<Bf16>(tokens_ * width_);
    hops_.dispatch(stream(), from_.get());
    cuda::synchronize(stream());
  }
  std::string check() override { return combines_ ? MessageCase::check() : check_dispatch(); }

 private:
  void enqueue(Stream stream) override {
    if (combines_) hops_.combine(stream, to_.get(), hops_.arrived().get());
    if (!combines_) hops_.dispatch(stream, from_.get());
  }
  bool visits(int source, Index token, int rank) const {
    const std::vector<std::int32_t>& chosen = choices_.of_rank[static_cast<std::size_t>(source)];
    const auto first = chosen.begin() + token * choices_.top_k;
    return std::any_of(first, first + choices_.top_k,
                       [&](std::int32_t e) { return e / (choices_.experts / shared_.size()) == rank; });
  }
  // What was dispatched comes back added up: each token once for every rank that it visited.
  int expected(Index i) const override {
    int visited = 0;
    for (int rank = 0; rank < shared_.size(); ++rank) visited += visits(shared_.rank(), i / width_, rank) ? 1 : 0;
    return visited * bit_of(i, shared_.rank());
  }
  // Every token with an expert here, once: by forwarder, then by node of its source.
  std::string check_dispatch() {
    cuda::poison(hops_.arrived().get(), hops_.arrived().bytes(), stream());
    enqueue(stream());
    const World& w = shared_.communicator.world();
    const std::vector<Bf16> got = hops_.arrived().values();
    std::size_t at = 0;
    for (int local = 0; local < w.ranks_per_node; ++local) {
      for (int node = 0; node < w.nodes(); ++node) {
        const int source = w.rank_at(node, local);
        for (Index token = 0; token < tokens_; ++token) {
          if (!visits(source, token, w.rank)) continue;
          for (Index i = 0; i < width_; ++i, ++at) {
            if (at >= got.size() || got[at].bits != bf16_of(bit_of(token * width_ + i, source)).bits)
              return fmt::format("rank {}: token {} of rank {} did not arrive where it should", w.rank, token, source);
          }
        }
      }
    }
    return at == got.size() ? "" : fmt::format("rank {}: more arrived than was sent to it", w.rank);
  }

  bool combines_;
  Index tokens_, width_;
  nccl::Choices choices_;
  nccl::TwoHops hops_;
};

class NcclBackend : public Backend {
 public:
  explicit NcclBackend(const World& world) : world_(world), facts_(prepare_device(world)), shared_(world) {}
  std::string name() const override { return "nccl"; }
  DeviceDescription device() override {
    DeviceDescription d{facts_.name, facts_.facts, "kernel", facts_.sms};
    d.facts["nccl"] = fmt::format("{}, {} ranks on {} nodes", nccl::nccl_version(), world_.size, world_.nodes());
    return d;
  }
  BenchCase complete(const BenchCase& given) const override {
    BenchCase c = given;
    if (c.shape.contains("ranks") && c.at("ranks") == 0) c.shape["ranks"] = world_.size;
    if (c.shape.contains("ranks_per_node") && c.at("ranks_per_node") == 0)
      c.shape["ranks_per_node"] = world_.ranks_per_node;
    return c;
  }
  std::string unsupported(const BenchCase& c) const override;
  std::unique_ptr<PreparedCase> prepare(const BenchCase& c, std::uint64_t seed) override {
    if (c.kernel == "send_recv") return std::make_unique<PairCase>(shared_, c);
    if (c.kernel == "dispatch" || c.kernel == "combine") return std::make_unique<ExchangeCase>(shared_, c, seed);
    return std::make_unique<CollectiveCase>(shared_, c);
  }
  bool reports() const override { return world_.rank == 0; }
  bool agree(bool stop) override { return shared_.communicator.largest(shared_.stream.get(), stop ? 1 : 0) != 0; }

 private:
  static cuda::DeviceFacts prepare_device(const World& world) {
    const int count = cuda::device_count();
    if (count > 0) cuda::select_device(world.local_rank % count);
    cuda::DeviceFacts facts = cuda::device_facts("the NCCL backend");
    // srun may show each process one GPU of its own; otherwise each needs one.
    if (count > 1 && world.local_rank >= count)
      throw base::Error(fmt::format("{} processes on a node with {} GPUs", world.ranks_per_node, count),
                        "--backend nccl", "start one process per GPU");
    return facts;
  }
  World world_;
  cuda::DeviceFacts facts_;
  Shared shared_;
};

std::string NcclBackend::unsupported(const BenchCase& c) const {
  const bool collective =
      c.kernel == "all_reduce" || c.kernel == "all_gather" || c.kernel == "reduce_scatter" || c.kernel == "all_to_all";
  const bool exchange = c.kernel == "dispatch" || c.kernel == "combine";
  if (!collective && !exchange && c.kernel != "send_recv") return "is no message";
  if (world_.size > 256) return "results are checked for up to 256 ranks";
  if (c.kernel == "send_recv") {
    const int count = c.at("same_node") != 0 ? world_.ranks_per_node : world_.nodes();
    return count % 2 == 0           ? ""
           : c.at("same_node") != 0 ? "needs an even number of ranks on a node"
                                    : "needs an even number of nodes";
  }
  if (c.at("ranks") != world_.size || c.at("ranks_per_node") != world_.ranks_per_node)
    return fmt::format("{} ranks, {} on a node, were started", world_.size, world_.ranks_per_node);
  if (collective) return c.at("bytes") % (2 * world_.size) == 0 ? "" : "the bytes do not divide among the ranks";
  if (c.at("low_latency") != 0) return "the low-latency path is not NCCL's";
  if (c.at("token_bytes") % 16 != 0) return "a token is not a multiple of 16 bytes";
  if (c.kernel == "combine" && c.at("token_bytes") != 2 * c.at("hidden"))
    return "combine adds BF16: token_bytes must be 2 x hidden";
  if (c.at("experts") % world_.size != 0) return "the experts do not divide among the ranks";
  const bool fits = c.at("groups") > 0 && c.at("experts") % c.at("groups") == 0 &&
                    c.at("top_k") <= c.at("experts") / c.at("groups") * c.at("groups_per_token");
  return fits ? "" : "the experts do not divide among the groups, or are fewer than top_k";
}

}  // namespace

std::unique_ptr<Backend> make_nccl_backend(const BackendOptions&) {
  return std::make_unique<NcclBackend>(nccl::world_of_process());
}

}  // namespace hourglass::kernels
