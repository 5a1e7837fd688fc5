#pragma once

#include <compare>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/math/tensor.h"
#include "schedules/schedule.h"

// Messages between pipeline ranks that are threads, and the watchdog over them.
namespace hourglass::kernels {

// What a stage needs of another for one micro-batch.
struct Tag {
  bool gradient = false;  // of its output; else its input
  int stage = 0;          // that needs it
  int micro_batch = 0;
  friend auto operator<=>(const Tag&, const Tag&) = default;
};

struct Wait {
  int rank = 0;
  schedules::Action action;  // that cannot start
  Tag tag;
  int from = 0;  // rank that sends it
};

// Thrown out of receive() in every rank that waits once the run is stopped.
struct Stopped {};

// A queue for each rank. Sending never blocks. A rank whose message is not there is stuck until somebody sends it, so
// the step after which every rank is stuck or finished is a deadlock, known at that moment and without a timeout: the
// run is stopped and deadlock() tells who waits for whom.
template <class T>
class Exchange {
 public:
  explicit Exchange(int ranks) : queues_(static_cast<std::size_t>(ranks)) {}

  void send(int to, const Tag& tag, Tensor<T> message);
  Tensor<T> receive(const Wait& wait);                // throws Stopped
  void finish();                                      // a rank has nothing left to do
  void stop();                                        // a rank has failed
  std::string deadlock() const { return deadlock_; }  // "" if there was none; after all ranks have ended

 private:
  struct Queue {
    std::map<Tag, Tensor<T>> messages;
    std::optional<Wait> stuck;
    std::condition_variable arrived;
  };
  void check_progress();  // with the lock held
  std::string story() const;

  std::mutex mutex_;
  std::vector<Queue> queues_;
  int stuck_ = 0, finished_ = 0;
  bool stopped_ = false;
  std::string deadlock_;
};

}  // namespace hourglass::kernels
