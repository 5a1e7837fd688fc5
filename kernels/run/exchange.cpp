// One lock for all queues. Messages are few and actions take milliseconds, and under one lock the number of stuck ranks
// is exact: send() takes a rank off the list before it has woken up.
#include "kernels/run/exchange.h"

#include <fmt/format.h>

#include "schedules/letters.h"

namespace hourglass::kernels {

namespace {}  // namespace

template <class T>
void Exchange<T>::send(int to, const Tag& tag, Tensor<T> message) {
  const std::lock_guard lock(mutex_);
  Queue& queue = queues_[position(to)];
  queue.messages.insert_or_assign(tag, std::move(message));
  if (!queue.stuck || queue.stuck->tag != tag) return;
  queue.stuck.reset();
  --stuck_;
  queue.arrived.notify_one();
}

template <class T>
Tensor<T> Exchange<T>::receive(const Wait& wait) {
  std::unique_lock lock(mutex_);
  Queue& queue = queues_[position(wait.rank)];
  auto found = queue.messages.find(wait.tag);
  if (found == queue.messages.end()) {
    queue.stuck = wait;
    ++stuck_;
    check_progress();
    queue.arrived.wait(lock, [&] { return stopped_ || !queue.stuck; });
    found = queue.messages.find(wait.tag);
  }
  if (stopped_) throw Stopped{};
  Tensor<T> message = std::move(found->second);
  queue.messages.erase(found);
  return message;
}

template <class T>
void Exchange<T>::finish() {
  const std::lock_guard lock(mutex_);
  ++finished_;
  check_progress();
}

template <class T>
void Exchange<T>::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (Queue& queue : queues_) queue.arrived.notify_all();
}

template <class T>
void Exchange<T>::check_progress() {
  if (stopped_ || stuck_ == 0 || stuck_ + finished_ < static_cast<int>(queues_.size())) return;
  deadlock_ = story();
  stopped_ = true;
  for (Queue& queue : queues_) queue.arrived.notify_all();
}

// From the first stuck rank along who waits for whom, until a rank repeats or has finished.
template <class T>
std::string Exchange<T>::story() const {
  std::size_t rank = 0;
  while (!queues_[rank].stuck) ++rank;
  std::string text;
  std::vector<bool> told(queues_.size(), false);
  constexpr int longest_story = 8;
  for (int link = 0; link < longest_story && !told[rank]; ++link) {
    const std::optional<Wait>& wait = queues_[rank].stuck;
    if (!wait) return text + fmt::format(", rank {} has finished", rank);
    told[rank] = true;
    text += fmt::format("{}rank {} waits at {} for the {} of micro-batch {} from stage {} on rank {}",
                        link == 0 ? "" : ", ", rank, schedules::letters(wait->action, true),
                        wait->tag.gradient ? "gradient" : "activations", wait->tag.micro_batch,
                        wait->tag.stage + (wait->tag.gradient ? 1 : -1), wait->from);
    rank = position(wait->from);
  }
  return text;
}

template class Exchange<float>;
template class Exchange<double>;

}  // namespace hourglass::kernels
