#pragma once

#include <memory>

#include "kernels/cuda/memory.h"
#include "kernels/nccl/exchange.h"
#include "kernels/nccl/world.h"

// NCCL between the processes of a World, one GPU each. All calls are enqueued on a stream, checked, and the same on
// every rank. Counts are in elements of BF16 unless they say otherwise.
namespace hourglass::kernels::nccl {

using cuda::Bf16;
using cuda::Stream;

struct NcclHandle;

class Communicator {
 public:
  // `sms`: the most SMs that its kernels may hold (ncclConfig_t::maxCTAs; a CTA is a block, and has an SM to itself);
  // 0: NCCL chooses. Throws base::Error, with what NCCL says, if the ranks do not come together.
  Communicator(const World& world, int sms = 0);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  const World& world() const { return world_; }

  void all_reduce(Stream stream, float* to, const float* from, Index count) const;
  void all_reduce(Stream stream, Bf16* to, const Bf16* from, Index count) const;
  void all_gather(Stream stream, Bf16* to, const Bf16* from, Index count_of_a_rank) const;
  void reduce_scatter(Stream stream, Bf16* to, const Bf16* from, Index count_of_a_rank) const;
  // Grouped sends and receives; part i goes to rank i.
  void all_to_all(Stream stream, Bf16* to, const Bf16* from, Index count_of_a_pair) const;
  // A pipeline's neighbours: rank r to r + 1, and what r - 1 sent. At the ends nothing goes beyond.
  void shift(Stream stream, Bf16* to, const Bf16* from, Index count) const;
  // Rank 2 i to rank 2 i + 1, with `distance` in place of 1: what `send_recv` measures.
  void send_to(Stream stream, const Bf16* from, Index count, int peer) const;
  void receive_from(Stream stream, Bf16* to, Index count, int peer) const;
  // One hop of an exchange: packed rows of `width` out, rows in. Backwards, what came goes back.
  void hop(Stream stream, Bf16* to, const Bf16* from, const Hop& hop, Index width, bool backwards) const;
  // The integer of rank 0, in all ranks; waits for it.
  int broadcast(Stream stream, int value) const;
  // The largest of all ranks' integers; waits for it.
  int largest(Stream stream, int value) const;

 private:
  World world_;
  std::unique_ptr<NcclHandle> handle_;
};

std::string nccl_version();

// dispatch and combine of an Exchange, with the kernels that pack and add. Rows of `width`, a multiple of 8.
class TwoHops {
 public:
  TwoHops(const Communicator& communicator, const Exchange& exchange, Index width);
  // tokens[local tokens, width] -> arrived()[rows, width]
  void dispatch(Stream stream, const Bf16* tokens);
  // rows as dispatch brought them -> tokens[local tokens, width], the sum of the rows of each token
  void combine(Stream stream, Bf16* tokens, const Bf16* rows);
  const cuda::DeviceArray<Bf16>& arrived() const { return arrived_; }

 private:
  const Communicator& communicator_;
  Exchange exchange_;
  Index width_;
  cuda::DeviceArray<std::int32_t> across_rows_, within_rows_;
  cuda::DeviceArray<std::int32_t> forwarder_offsets_, forwarder_sources_, sender_offsets_, sender_sources_;
  cuda::DeviceArray<Bf16> packed_, forwarded_, packed_again_, arrived_, returned_, summed_, back_;
};

}  // namespace hourglass::kernels::nccl
