#include "kernels/nccl/communicator.h"

#include <fmt/format.h>
#include <nccl.h>

#include <source_location>

#include "base/error.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/library.h"

namespace hourglass::kernels::nccl {

namespace {

// Loaded when it is needed, as cuBLAS is (cuda/library.h).
struct Functions {
  decltype(::ncclGetVersion)* version;
  decltype(::ncclGetUniqueId)* unique_id;
  decltype(::ncclCommInitRankConfig)* init;
  decltype(::ncclCommDestroy)* destroy;
  decltype(::ncclCommAbort)* abort;
  decltype(::ncclCommGetAsyncError)* async_error;
  decltype(::ncclGetErrorString)* error_string;
  decltype(::ncclGetLastError)* last_error;
  decltype(::ncclGroupStart)* group_start;
  decltype(::ncclGroupEnd)* group_end;
  decltype(::ncclAllReduce)* all_reduce;
  decltype(::ncclAllGather)* all_gather;
  decltype(::ncclReduceScatter)* reduce_scatter;
  decltype(::ncclBroadcast)* broadcast;
  decltype(::ncclSend)* send;
  decltype(::ncclRecv)* receive;
};

Functions load() {
  const cuda::Library library(fmt::format("libnccl.so.{}", NCCL_MAJOR).c_str());
  Functions f{};
  library.find(f.version, "ncclGetVersion");
  library.find(f.unique_id, "ncclGetUniqueId");
  library.find(f.init, "ncclCommInitRankConfig");
  library.find(f.destroy, "ncclCommDestroy");
  library.find(f.abort, "ncclCommAbort");
  library.find(f.async_error, "ncclCommGetAsyncError");
  library.find(f.error_string, "ncclGetErrorString");
  library.find(f.last_error, "ncclGetLastError");
  library.find(f.group_start, "ncclGroupStart");
  library.find(f.group_end, "ncclGroupEnd");
  library.find(f.all_reduce, "ncclAllReduce");
  library.find(f.all_gather, "ncclAllGather");
  library.find(f.reduce_scatter, "ncclReduceScatter");
  library.find(f.broadcast, "ncclBroadcast");
  library.find(f.send, "ncclSend");
  library.find(f.receive, "ncclRecv");
  return f;
}

const Functions& functions() {
  static const Functions loaded = load();
  return loaded;
}

void check(ncclResult_t result, const char* call, ncclComm_t comm = nullptr,
           std::source_location at = std::source_location::current()) {
  if (result == ncclSuccess) return;
  const char* more = functions().last_error(comm);
  throw base::Error(fmt::format("{}: {}{}{}", call, functions().error_string(result),
                                more != nullptr && *more != '\0' ? ": " : "", more != nullptr ? more : ""),
                    fmt::format("{}:{}", at.file_name(), at.line()), "NCCL_DEBUG=WARN says more");
}

}  // namespace

struct NcclHandle {
  ncclComm_t comm = nullptr;
  cuda::DeviceArray<int> number{1};
  ~NcclHandle() {
    if (comm != nullptr) functions().destroy(comm);
  }
};

std::string nccl_version() {
  int version = 0;
  check(functions().version(&version), "ncclGetVersion");
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

Communicator::Communicator(const World& world, int sms) : world_(world), handle_(std::make_unique<NcclHandle>()) {
  // Several communicators of one run: each meets at a place of its own.
  static int made = 0;
  World numbered = world;
  if (!world.job.empty()) numbered.job += fmt::format("-{}", made);
  ++made;
  ncclUniqueId id{};
  if (world.rank == 0) check(functions().unique_id(&id), "ncclGetUniqueId");
  const Rendezvous rendezvous(numbered);
  const std::string shared = rendezvous.share(std::string(id.internal, sizeof id.internal));
  if (shared.size() != sizeof id.internal)
    throw base::Error("the meeting file does not hold an id of this NCCL", "rendezvous",
                      "remove old hourglass-rendezvous files");
  std::copy(shared.begin(), shared.end(), id.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  if (sms > 0) config.minCTAs = sms, config.maxCTAs = sms;
  check(functions().init(&handle_->comm, world.size, id, world.rank, &config), "ncclCommInitRankConfig");
  rendezvous.forget();  // the call above returns when all ranks are in it, so all have read the id
}
Communicator::~Communicator() = default;

namespace {

// What NCCL found out in the background belongs to the next call.
void check_background(ncclComm_t comm) {
  ncclResult_t background = ncclSuccess;
  check(functions().async_error(comm, &background), "ncclCommGetAsyncError", comm);
  check(background, "NCCL in the background", comm);
}

std::size_t count_of(Index count) { return static_cast<std::size_t>(count); }

// Between ncclGroupStart and ncclGroupEnd. An error in between closes the group, so that the next call is not in it.
template <class Body>
void group(ncclComm_t comm, const Body& body) {
  check_background(comm);
  check(functions().group_start(), "ncclGroupStart", comm);
  try {
    body();
  } catch (...) {
    functions().group_end();
    throw;
  }
  check(functions().group_end(), "ncclGroupEnd", comm);
}

}  // namespace

void Communicator::all_reduce(Stream stream, float* to, const float* from, Index count) const {
  check_background(handle_->comm);
  check(functions().all_reduce(from, to, count_of(count), ncclFloat32, ncclSum, handle_->comm, stream), "ncclAllReduce",
        handle_->comm);
}
void Communicator::all_reduce(Stream stream, Bf16* to, const Bf16* from, Index count) const {
  check_background(handle_->comm);
  check(functions().all_reduce(from, to, count_of(count), ncclBfloat16, ncclSum, handle_->comm, stream),
        "ncclAllReduce", handle_->comm);
}
void Communicator::all_gather(Stream stream, Bf16* to, const Bf16* from, Index count) const {
  check_background(handle_->comm);
  check(functions().all_gather(from, to, count_of(count), ncclBfloat16, handle_->comm, stream), "ncclAllGather",
        handle_->comm);
}
void Communicator::reduce_scatter(Stream stream, Bf16* to, const Bf16* from, Index count) const {
  check_background(handle_->comm);
  check(functions().reduce_scatter(from, to, count_of(count), ncclBfloat16, ncclSum, handle_->comm, stream),
        "ncclReduceScatter", handle_->comm);
}

void Communicator::send_to(Stream stream, const Bf16* from, Index count, int peer) const {
  check(functions().send(from, count_of(count), ncclBfloat16, peer, handle_->comm, stream), "ncclSend", handle_->comm);
}
void Communicator::receive_from(Stream stream, Bf16* to, Index count, int peer) const {
  check(functions().receive(to, count_of(count), ncclBfloat16, peer, handle_->comm, stream), "ncclRecv", handle_->comm);
}

void Communicator::all_to_all(Stream stream, Bf16* to, const Bf16* from, Index count) const {
  group(handle_->comm, [&] {
    for (int peer = 0; peer < world_.size; ++peer) {
      send_to(stream, from + peer * count, count, peer);
      receive_from(stream, to + peer * count, count, peer);
    }
  });
}

void Communicator::shift(Stream stream, Bf16* to, const Bf16* from, Index count) const {
  group(handle_->comm, [&] {
    if (world_.rank + 1 < world_.size) send_to(stream, from, count, world_.rank + 1);
    if (world_.rank > 0) receive_from(stream, to, count, world_.rank - 1);
  });
}

void Communicator::hop(Stream stream, Bf16* to, const Bf16* from, const Hop& hop, Index width, bool backwards) const {
  const std::vector<Index>&out = backwards ? hop.received : hop.sent, &in = backwards ? hop.sent : hop.received;
  group(handle_->comm, [&] {
    Index sent = 0, received = 0;
    for (std::size_t i = 0; i < hop.peers.size(); ++i) {
      if (out[i] > 0) send_to(stream, from + sent * width, out[i] * width, hop.peers[i]);
      if (in[i] > 0) receive_from(stream, to + received * width, in[i] * width, hop.peers[i]);
      sent += out[i], received += in[i];
    }
  });
}

int Communicator::broadcast(Stream stream, int value) const {
  cuda::copy_in(handle_->number.get(), &value, sizeof value);
  check(functions().broadcast(handle_->number.get(), handle_->number.get(), 1, ncclInt32, 0, handle_->comm, stream),
        "ncclBroadcast", handle_->comm);
  return handle_->number.values()[0];
}
int Communicator::largest(Stream stream, int value) const {
  cuda::copy_in(handle_->number.get(), &value, sizeof value);
  check(functions().all_reduce(handle_->number.get(), handle_->number.get(), 1, ncclInt32, ncclMax, handle_->comm,
                               stream),
        "ncclAllReduce", handle_->comm);
  return handle_->number.values()[0];
}

TwoHops::TwoHops(const Communicator& communicator, const Exchange& exchange, Index width)
    : communicator_(communicator),
      exchange_(exchange),
      width_(width),
      across_rows_(exchange.across.rows),
      within_rows_(exchange.within.rows),
      forwarder_offsets_(exchange.at_forwarder.offsets),
      forwarder_sources_(exchange.at_forwarder.sources),
      sender_offsets_(exchange.at_sender.offsets),
      sender_sources_(exchange.at_sender.sources),
      packed_(exchange.across.sent_rows() * width),
      forwarded_(exchange.across.received_rows() * width),
      packed_again_(exchange.within.sent_rows() * width),
      arrived_(exchange.within.received_rows() * width),
      returned_(exchange.within.sent_rows() * width),
      summed_(exchange.across.received_rows() * width),
      back_(exchange.across.sent_rows() * width) {}

void TwoHops::dispatch(Stream stream, const Bf16* tokens) {
  cuda::gather_rows(stream, packed_.get(), tokens, across_rows_.get(), exchange_.across.sent_rows(), width_);
  communicator_.hop(stream, forwarded_.get(), packed_.get(), exchange_.across, width_, false);
  cuda::gather_rows(stream, packed_again_.get(), forwarded_.get(), within_rows_.get(), exchange_.within.sent_rows(),
                    width_);
  communicator_.hop(stream, arrived_.get(), packed_again_.get(), exchange_.within, width_, false);
}

void TwoHops::combine(Stream stream, Bf16* tokens, const Bf16* rows) {
  communicator_.hop(stream, returned_.get(), rows, exchange_.within, width_, true);
  cuda::sum_rows(stream, summed_.get(), returned_.get(), forwarder_offsets_.get(), forwarder_sources_.get(),
                 exchange_.across.received_rows(), width_);
  communicator_.hop(stream, back_.get(), summed_.get(), exchange_.across, width_, true);
  const Index count = static_cast<Index>(exchange_.at_sender.offsets.size()) - 1;
  cuda::sum_rows(stream, tokens, back_.get(), sender_offsets_.get(), sender_sources_.get(), count, width_);
}

}  // namespace hourglass::kernels::nccl
