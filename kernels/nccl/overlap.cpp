// The all-to-alls run back to back on a stream of higher priority; the GEMMs start after the first of them and must all
// have ended before the last one ends, or the series is made longer and repeated. So every measured GEMM ran beside
// communication from beginning to end. Times of GEMMs are between events around each; of all-to-alls, the series over
// its number.
//
// NCCL's kernels are held to `sms` blocks by ncclConfig_t (minCTAs = maxCTAs). The GEMM is told with
// CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET how many SMs it may count on, which a tuned training run would do too.
#include "kernels/nccl/overlap.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/gemm.h"

namespace hourglass::kernels::nccl {

namespace {

using cuda::DeviceArray;
using cuda::Event;
using cuda::OwnStream;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Overlap {
 public:
  Overlap(const World& world, const OverlapShape& shape)
      : world_(world),
        shape_(shape),
        device_sms_(cuda::device_facts("the overlap benchmark").sms),
        compute_(false),
        messages_(true),
        x_(shape.m * shape.k),
        w_(shape.n * shape.k),
        y_(shape.m * shape.n),
        from_(shape.bytes / 2),
        to_(shape.bytes / 2) {
    cuda::fill_normal(compute_.get(), x_.get(), x_.size(), 1.0f, 1);
    cuda::fill_normal(compute_.get(), w_.get(), w_.size(), 1.0f, 2);
    cuda::fill_normal(compute_.get(), from_.get(), from_.size(), 1.0f, 3);
    cuda::synchronize(compute_.get());
  }

  OverlapPoint measure(int sms) {
    const Communicator communicator(world_, sms);
    const cuda::Gemm all = gemm(0), fewer = gemm(device_sms_ - sms);
    OverlapPoint p;
    p.sms = sms;
    Series alone = series(communicator, all, shape_.runs, 0);
    p.gemm_alone_s = slowest(communicator, alone.gemm_s);
    alone = series(communicator, all, 0, shape_.runs);
    p.message_alone_s = slowest(communicator, alone.message_s);
    beside(communicator, fewer, p);
    return p;
  }

 private:
  struct Series {
    double gemm_s = 0.0, message_s = 0.0;
    bool covered = true;  // the messages lasted longer than the GEMMs
  };

  cuda::Gemm gemm(int sms) const {
    cuda::GemmProblem p{shape_.m, shape_.n, shape_.k, {x_.get()}, {w_.get()}};
    p.right.transposed = true;
    p.out = y_.get();
    p.sms = sms;
    return cuda::Gemm(p);
  }
  double slowest(const Communicator& communicator, double seconds) const {
    return 1e-9 * communicator.largest(compute_.get(), static_cast<int>(std::min(2.0e9, seconds * 1e9)));
  }

  // `gemms` GEMMs beside `messages` all-to-alls, after three of each to warm up.
  Series series(const Communicator& communicator, const cuda::Gemm& gemm, int gemms, int messages) {
    for (int i = 0; i < 3; ++i) {
      if (gemms > 0) gemm.enqueue(compute_.get(), workspace_);
      if (messages > 0) communicator.all_to_all(messages_.get(), to_.get(), from_.get(), pair_count());
    }
    communicator.broadcast(messages_.get(), 0);  // all ranks are here, both streams are empty
    cuda::synchronize(compute_.get());
    std::vector<std::unique_ptr<Event>> marks;
    for (int i = 0; i <= gemms; ++i) marks.push_back(std::make_unique<Event>());
    Event begin, running, end;
    begin.record(messages_.get());
    for (int i = 0; i < messages; ++i) {
      communicator.all_to_all(messages_.get(), to_.get(), from_.get(), pair_count());
      if (i == 0) running.record(messages_.get());
    }
    end.record(messages_.get());
    if (messages > 0) running.hold(compute_.get());
    marks[0]->record(compute_.get());
    for (int i = 0; i < gemms; ++i) {
      gemm.enqueue(compute_.get(), workspace_);
      marks[static_cast<std::size_t>(i) + 1]->record(compute_.get());
    }
    end.wait();
    marks.back()->wait();
    return evaluate(marks, begin, end, messages);
  }
  Series evaluate(const std::vector<std::unique_ptr<Event>>& marks, const Event& begin, const Event& end,
                  int messages) const {
    Series s;
    std::vector<double> seconds;
    for (std::size_t i = 1; i < marks.size(); ++i) seconds.push_back(marks[i]->seconds_since(*marks[i - 1]));
    if (!seconds.empty()) s.gemm_s = median_of(seconds);
    if (messages > 0) s.message_s = end.seconds_since(begin) / messages;
    if (messages > 0 && !seconds.empty()) s.covered = end.seconds_since(*marks.back()) > 0.0;
    return s;
  }

  void beside(const Communicator& communicator, const cuda::Gemm& gemm, OverlapPoint& p) {
    const double wanted = 1.3 * p.gemm_alone_s * shape_.runs / p.message_alone_s;
    int messages = std::clamp(static_cast<int>(wanted) + 3, 4, 20000);
    for (int attempt = 0; attempt < 5; ++attempt, messages *= 2) {
      messages = communicator.broadcast(messages_.get(), messages);
      const Series s = series(communicator, gemm, shape_.runs, messages);
      if (communicator.largest(messages_.get(), s.covered ? 0 : 1) != 0) continue;
      p.gemm_beside_s = slowest(communicator, s.gemm_s);
      // Most of the series ran beside a GEMM; what followed the last one did not, and is at most a third of it.
      p.message_beside_s = slowest(communicator, s.message_s);
      return;
    }
    throw base::Error("the all-to-alls end before the GEMMs, however many there are", "overlap",
                      "use more bytes or a smaller GEMM");
  }
  Index pair_count() const { return shape_.bytes / 2 / world_.size; }

  World world_;
  OverlapShape shape_;
  int device_sms_;
  OwnStream compute_, messages_;
  DeviceArray<Bf16> x_, w_, y_, from_, to_;
  DeviceArray<unsigned char> workspace_{cuda::gemm_workspace_bytes};
};

}  // namespace

std::vector<OverlapPoint> measure_overlap(const World& world, const OverlapShape& shape) {
  if (shape.bytes % (2 * world.size) != 0 || shape.bytes <= 0 || shape.runs < 3)
    throw base::Error("the bytes do not divide among the ranks, or fewer than 3 runs", "overlap");
  Overlap overlap(world, shape);
  std::vector<OverlapPoint> points;
  for (const int sms : shape.sms) points.push_back(overlap.measure(sms));
  return points;
}

std::vector<hardware::Sample> overlap_samples(const World& world, const OverlapShape& shape,
                                              const std::vector<OverlapPoint>& points, int device_sms) {
  std::vector<hardware::Sample> samples;
  for (const OverlapPoint& p : points) {
    hardware::Sample gemm;
    gemm.op = "gemm", gemm.dtype = "bf16", gemm.timing = "kernel", gemm.runs = shape.runs;
    gemm.shape = {
        {"m", static_cast<double>(shape.m)}, {"n", static_cast<double>(shape.n)}, {"k", static_cast<double>(shape.k)}};
    hardware::Sample message = gemm;
    message.op = "all_to_all", message.sms = p.sms;
    message.shape = {{"bytes", static_cast<double>(shape.bytes)},
                     {"ranks", static_cast<double>(world.size)},
                     {"ranks_per_node", static_cast<double>(world.ranks_per_node)}};
    gemm.seconds = p.gemm_alone_s, message.seconds = p.message_alone_s;
    samples.push_back(gemm), samples.push_back(message);
    gemm.beside = "all_to_all", message.beside = "gemm", gemm.sms = device_sms - p.sms;
    gemm.seconds = p.gemm_beside_s, message.seconds = p.message_beside_s;
    samples.push_back(gemm), samples.push_back(message);
  }
  return samples;
}

}  // namespace hourglass::kernels::nccl
