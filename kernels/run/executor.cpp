// A rank takes its actions one by one: wait for the inputs, compute, send. Nothing is shared between ranks but the
// exchange and constant weights' shapes; each stage's copy belongs to one rank. Memory that a micro-batch has saved is
// handed to the next one at the same stage when its W is done, so that a step allocates as much as its peak needs.
#include "kernels/run/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <latch>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "schedules/letters.h"

namespace hourglass::kernels {

namespace {

using schedules::Action;
using schedules::Kind;

struct Work {
  int stage = -1, micro_batch = -1;  // -1: none
};
Work forward_of(const Action& a) {
  return a.kind == Kind::forward || a.kind == Kind::overlapped ? Work{a.stage, a.micro_batch} : Work{};
}
Work backward_of(const Action& a) {
  if (a.kind == Kind::overlapped) return {a.backward_stage, a.backward_micro_batch};
  return a.kind == Kind::backward || a.kind == Kind::backward_input ? Work{a.stage, a.micro_batch} : Work{};
}
Work weight_of(const Action& a) {
  return a.kind == Kind::backward_weight  ? Work{a.stage, a.micro_batch}
         : a.kind == Kind::backward_input ? Work{}
                                          : backward_of(a);
}

}  // namespace

// A stage's weights in one direction, and what its micro-batches under way have saved. Only its rank touches it.
template <class T>
struct Executor<T>::Copy {
  using Saved = typename Stage<T>::Saved;
  struct UnderWay {
    std::unique_ptr<Saved> saved;
    bool backward_done = false;
  };
  const Stage<T>* stage = nullptr;
  typename Stage<T>::Weights weights, gradients;
  std::map<int, UnderWay> under_way;  // by micro-batch
  std::vector<std::unique_ptr<Saved>> spare;
  int finished = 0;  // micro-batches whose W is done
};

// One thread's work.
template <class T>
class Executor<T>::Rank {
 public:
  Rank(Executor& executor, int rank, Exchange<T>& exchange, std::vector<double>& losses)
      : executor_(executor), schedule_(executor.schedule_), rank_(rank), exchange_(exchange), losses_(losses) {}

  void run(std::chrono::steady_clock::time_point zero) {
    zero_ = zero;
    for (const Action& action : schedule_.actions[position(rank_)]) run(action);
  }

  std::vector<ActionTime> times;
  std::vector<Piece> pieces;
  int peak_saved = 0;

 private:
  void run(const Action& action) {
    const Work forward = forward_of(action), backward = backward_of(action), weight = weight_of(action);
    for (const Work& work : {forward, backward, weight}) {
      if (work.stage >= 0 || work.micro_batch >= 0) check_place(action, work);
    }
    const int last = schedule_.stages - 1;
    Tensor<T> x, dy, y, dx;
    ActionTime time;
    time.free_s = seconds();
    if (forward.stage > 0) x = receive(action, {false, forward.stage, forward.micro_batch}, forward.stage - 1);
    if (backward.stage >= 0 && backward.stage < last)
      dy = receive(action, {true, backward.stage, backward.micro_batch}, backward.stage + 1);
    time.start_s = seconds();
    time.cpu_s = -thread_seconds();
    if (forward.stage >= 0) run_forward(action, forward, std::move(x), y);
    if (backward.stage >= 0) run_backward(action, backward, std::move(dy), dx);
    if (weight.stage >= 0) run_weight(action, weight);
    time.end_s = seconds();
    time.cpu_s += thread_seconds();
    times.push_back(time);
    if (forward.stage >= 0 && forward.stage < last) send({false, forward.stage + 1, forward.micro_batch}, std::move(y));
    if (backward.stage > 0) send({true, backward.stage - 1, backward.micro_batch}, std::move(dx));
  }

  void run_forward(const Action& action, const Work& work, Tensor<T> x, Tensor<T>& y) {
    Copy& copy = copy_of(work);
    if (copy.under_way.count(work.micro_batch) > 0) fail(action, "its forward has run before");
    std::unique_ptr<typename Copy::Saved>& saved = copy.under_way[work.micro_batch].saved;
    if (copy.spare.empty()) copy.spare.push_back(std::make_unique<typename Copy::Saved>());
    saved = std::move(copy.spare.back());
    copy.spare.pop_back();
    peak_saved = std::max(peak_saved, ++saved_);
    timed(Pass::forward, work, [&] {
      const double loss = copy.stage->forward(copy.weights, micro_batch(work), std::move(x), *saved, y);
      if (copy.stage->is_last()) losses_[position(work.micro_batch)] = loss;
    });
  }
  void run_backward(const Action& action, const Work& work, Tensor<T> dy, Tensor<T>& dx) {
    Copy& copy = copy_of(work);
    const auto found = copy.under_way.find(work.micro_batch);
    if (found == copy.under_way.end()) fail(action, "its forward has not run");
    if (found->second.backward_done) fail(action, "its input gradient has run before");
    timed(Pass::backward_input, work, [&] {
      copy.stage->input_gradient(copy.weights, micro_batch(work), std::move(dy), *found->second.saved, dx);
    });
    found->second.backward_done = true;
  }
  void run_weight(const Action& action, const Work& work) {
    Copy& copy = copy_of(work);
    const auto found = copy.under_way.find(work.micro_batch);
    if (found == copy.under_way.end() || !found->second.backward_done) fail(action, "its input gradient has not run");
    timed(Pass::backward_weight, work,
          [&] { copy.stage->weight_gradient(micro_batch(work), *found->second.saved, copy.gradients); });
    copy.spare.push_back(std::move(found->second.saved));
    copy.under_way.erase(found);
    ++copy.finished;
    --saved_;
  }

  void check_place(const Action& action, const Work& work) const {
    if (work.stage < 0 || work.stage >= schedule_.stages || work.micro_batch < 0 ||
        work.micro_batch >= schedule_.micro_batches)
      fail(action, fmt::format("there are {} stages and {} micro-batches", schedule_.stages, schedule_.micro_batches));
    const int owner = schedule_.rank_of(work.stage, work.micro_batch);
    if (owner != rank_) fail(action, fmt::format("its stage is on rank {}", owner));
  }
  [[noreturn]] void fail(const Action& action, const std::string& why) const {
    throw base::Error(fmt::format("rank {} cannot run {}: {}", rank_, schedules::letters(action, true), why));
  }

  Tensor<T> receive(const Action& action, const Tag& tag, int from_stage) {
    return exchange_.receive({rank_, action, tag, schedule_.rank_of(from_stage, tag.micro_batch)});
  }
  void send(const Tag& tag, Tensor<T> message) {
    exchange_.send(schedule_.rank_of(tag.stage, tag.micro_batch), tag, std::move(message));
  }

  template <class Body>
  void timed(Pass pass, const Work& work, const Body& body) {
    const double start = seconds();
    body();
    pieces.push_back({pass, work.stage, work.micro_batch, start, seconds()});
  }
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - zero_).count(); }
  const MicroBatch& micro_batch(const Work& work) const { return executor_.batch_[position(work.micro_batch)]; }
  Copy& copy_of(const Work& work) const {
    const int direction = schedule_.direction_of(work.micro_batch);
    return *executor_.copies_[position(direction * schedule_.stages + work.stage)];
  }

  Executor& executor_;
  const schedules::Schedule& schedule_;
  int rank_;
  Exchange<T>& exchange_;
  std::vector<double>& losses_;
  std::chrono::steady_clock::time_point zero_;
  int saved_ = 0;
};

template <class T>
Executor<T>::Executor(const PipelineModel<T>& model, const schedules::Schedule& schedule,
                      const std::vector<MicroBatch>& batch)
    : model_(model), schedule_(schedule), batch_(batch) {
  const auto sized = [](const auto& list, int size) { return list.size() == position(size); };
  bool fits = schedule.ranks >= 1 && sized(model.stages, schedule.stages) && sized(batch, schedule.micro_batches) &&
              sized(schedule.actions, schedule.ranks) && sized(schedule.placement, schedule.directions);
  for (const auto& placement : schedule.placement) {
    fits = fits && sized(placement, schedule.stages) &&
           std::all_of(placement.begin(), placement.end(), [&](int r) { return r >= 0 && r < schedule.ranks; });
  }
  if (!fits) {
    throw base::Error(fmt::format("a schedule of {} stages and {} micro-batches cannot run a model of {} stages on {}",
                                  schedule.stages, schedule.micro_batches, model.stages.size(), batch.size()));
  }
  for (int direction = 0; direction < schedule.directions; ++direction) {
    for (std::size_t s = 0; s < model.stages.size(); ++s) {
      copies_.push_back(std::make_unique<Copy>());
      copies_.back()->stage = &model.stages[s];
      copies_.back()->weights = model.weights[s];
      copies_.back()->gradients = model.stages[s].zeros();
    }
  }
}

template <class T>
Executor<T>::~Executor() = default;

template <class T>
ExecutedStep<T> Executor<T>::run(const std::vector<int>& cores) {
  for (const auto& copy : copies_) {
    for (const auto& named : copy->gradients.list()) named.tensor->fill(T(0));
    copy->finished = 0;
    copy->under_way.clear();
  }
  ExecutedStep<T> step;
  step.losses.assign(batch_.size(), 0.0);
  Exchange<T> exchange(schedule_.ranks);
  std::vector<Rank> ranks;
  for (int r = 0; r < schedule_.ranks; ++r) ranks.emplace_back(*this, r, exchange, step.losses);
  run_ranks(ranks, exchange, cores);
  collect(ranks, step);
  return step;
}

// Lets all ranks go at the same moment. The first fault of a rank stops the others and is thrown when all have ended.
template <class T>
void Executor<T>::run_ranks(std::vector<Rank>& ranks, Exchange<T>& exchange, const std::vector<int>& cores) const {
  std::mutex failure_mutex;
  std::exception_ptr failure;
  std::latch ready(schedule_.ranks + 1);
  std::chrono::steady_clock::time_point zero;
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    threads.emplace_back([&, r] {
      Rank& rank = ranks[r];
      use_one_thread();
      if (!cores.empty()) keep_to_core(cores[r % cores.size()]);
      ready.arrive_and_wait();
      try {
        rank.run(zero);
        exchange.finish();
      } catch (const Stopped&) {
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        exchange.stop();
      }
    });
  }
  zero = std::chrono::steady_clock::now();
  ready.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  if (!exchange.deadlock().empty()) throw base::Error("the ranks deadlock: " + exchange.deadlock());
}

template <class T>
void Executor<T>::collect(std::vector<Rank>& ranks, ExecutedStep<T>& step) const {
  for (Rank& rank : ranks) {
    if (!rank.times.empty()) step.timeline.makespan_s = std::max(step.timeline.makespan_s, rank.times.back().end_s);
    step.timeline.actions.push_back(std::move(rank.times));
    step.timeline.pieces.push_back(std::move(rank.pieces));
    step.timeline.peak_saved.push_back(rank.peak_saved);
  }
  for (const double loss : step.losses) step.loss += loss;
  for (std::size_t s = 0; s < model_.stages.size(); ++s) {
    int finished = 0;
    for (std::size_t c = s; c < copies_.size(); c += model_.stages.size()) finished += copies_[c]->finished;
    if (finished != schedule_.micro_batches)
      throw base::Error(fmt::format("the weight gradients of {} micro-batches of {} are computed at stage {}", finished,
                                    schedule_.micro_batches, s));
    step.gradients.push_back(copies_[s]->gradients);
    const NamedTensors<T> sum = step.gradients.back().list();
    for (std::size_t c = s + model_.stages.size(); c < copies_.size(); c += model_.stages.size()) {
      const NamedTensors<T> other = copies_[c]->gradients.list();
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i].tensor->add(*other[i].tensor);
    }
  }
  reduce_embeddings<T>(step.gradients);
}

template class Executor<float>;
template class Executor<double>;

}  // namespace hourglass::kernels
