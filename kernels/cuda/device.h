#pragma once

#include <map>
#include <string>

#include "kernels/cuda/memory.h"

struct CUevent_st;

// The device itself: what it is, when it is ready, how long something took by its own clock.
namespace hourglass::kernels::cuda {

struct DeviceFacts {
  std::string name;  // "H800 SXM5": without the maker's
  int sms = 0, major = 0, minor = 0;
  std::size_t memory_bytes = 0, cache_bytes = 0;
  std::map<std::string, std::string> facts;  // driver, cuda, clock_MHz, ...: for provenance
};
// Throws base::Error, on behalf of `who`, if there is no device that the kernels run on.
DeviceFacts device_facts(const char* who);

void select_device(int index);
int device_count();  // 0 without a driver
void synchronize(Stream stream);

class OwnStream {
 public:
  explicit OwnStream(bool urgent = false);  // urgent: its blocks are placed before those of others
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Stream stream);
  void wait() const;                               // the host waits
  void hold(Stream stream) const;                  // `stream` waits
  double seconds_since(const Event& start) const;  // both have happened; resolution about half a microsecond

 private:
  CUevent_st* event_ = nullptr;
};

// The rate of an SM's clock against the wall clock of the device, for 5 ms of one thread: the boost clock at this
// moment. Under a load that throttles it is lower.
double measured_clock_hz(Stream stream);
// As many NaN as `count` values hold, or random normal numbers (counter-based, the same on every device).
Index count_nan(Stream stream, const Bf16* x, Index count);
Index count_nan(Stream stream, const float* x, Index count);
void fill_normal(Stream stream, Bf16* x, Index count, float deviation, std::uint64_t seed);
void fill_normal(Stream stream, float* x, Index count, float deviation, std::uint64_t seed);

}  // namespace hourglass::kernels::cuda
