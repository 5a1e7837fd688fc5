#pragma once

// A block of CUDA threads on a CPU. Each thread is a fiber (ucontext) that runs until it has to wait for others: at
// synchronize() for its block, at an exchange for its warp. So whoever forgets a barrier reads what is not there yet:
// shared memory starts as NaN, background copies arrive only at copy_wait, and fibers can be started in reverse order.
// A barrier that some thread never reaches is an error, not a hang. One block runs after the other, on one thread of
// the machine.
//
// The layouts of load_matrices and multiply_bf16 are written here from the tables of the PTX manual (ldmatrix,
// mma.m16n8k16), independently of the kernels that use them.

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#define HOURGLASS_KERNEL inline
#define HOURGLASS_DEVICE inline
#define HOURGLASS_SHARED static  // one block runs at a time
#define HOURGLASS_BOUNDS(threads)
#define HOURGLASS_UNROLL

namespace hourglass::kernels::cuda {

struct alignas(16) Words {
  std::uint32_t x, y, z, w;
};

struct Extent {
  int x = 1, y = 1, z = 1;
};

// What a lane shows to its warp.
struct Shown {
  std::uint32_t words[6];
};

class EmulatedBlock {
 public:
  // Runs body as every thread of block `block`. Throws std::logic_error if threads wait for one that has ended.
  static void run(Extent grid, Extent block, int threads, std::size_t shared_bytes, bool reverse,
                  const std::function<void()>& body) {
    EmulatedBlock emulated(grid, block, threads, shared_bytes, body);
    current() = &emulated;
    emulated.schedule(reverse);
  }
  ~EmulatedBlock() { current() = nullptr; }
  EmulatedBlock(const EmulatedBlock&) = delete;
  EmulatedBlock& operator=(const EmulatedBlock&) = delete;

  static EmulatedBlock*& current() {
    static EmulatedBlock* block = nullptr;
    return block;
  }

  Extent grid, block;
  int thread = 0;
  int threads() const { return static_cast<int>(fibers_.size()); }
  unsigned char* shared() { return reinterpret_cast<unsigned char*>(shared_.data()); }

  void wait_for_block() { wait(block_barrier_, threads()); }
  void wait_for_warp() { wait(warp().barrier, 32); }

  // What every lane of the warp shows; valid until this lane's next call. Two places in turn: who writes to one again
  // has met all others, done with reading it, at the other.
  const Shown* show(const Shown& mine) {
    Shown* place = warp().shown[fiber().turn ^= 1];
    place[thread % 32] = mine;
    wait_for_warp();
    return place;
  }

  void copy_later(void* to, const void* from, bool valid) {
    fiber().copies.push_back({to, from, valid, fiber().commits});
  }
  void commit() { ++fiber().commits; }
  void arrive(int groups) {
    std::vector<Copy> left;
    for (const Copy& copy : fiber().copies) {
      if (copy.group >= fiber().commits - groups) {
        left.push_back(copy);
      } else if (copy.valid) {
        std::memcpy(copy.to, copy.from, 16);
      } else {
        std::memset(copy.to, 0, 16);
      }
    }
    fiber().copies = left;
  }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;
  struct Barrier {
    int arrived = 0;
    std::uint64_t generation = 0;
  };
  struct Warp {
    Barrier barrier;
    Shown shown[2][32];
  };
  struct Copy {
    void* to;
    const void* from;
    bool valid;
    int group;
  };
  struct Fiber {
    ucontext_t context;
    std::vector<Copy> copies;
    int commits = 0, turn = 0;
    bool ended = false;
  };

  EmulatedBlock(Extent the_grid, Extent the_block, int threads, std::size_t shared_bytes,
                const std::function<void()>& body)
      : grid(the_grid),
        block(the_block),
        body_(body),
        warps_(static_cast<std::size_t>(threads / 32)),
        fibers_(static_cast<std::size_t>(threads)),
        shared_(shared_bytes / sizeof(Words) + 1) {
    std::memset(static_cast<void*>(shared_.data()), 0xff, shared_.size() * sizeof(Words));
  }

  Fiber& fiber() { return fibers_[static_cast<std::size_t>(thread)]; }
  Warp& warp() { return warps_[static_cast<std::size_t>(thread / 32)]; }

  // One block after the other uses the same stacks.
  static unsigned char* stack(std::size_t i) {
    static std::vector<std::unique_ptr<unsigned char[]>> stacks;
    while (stacks.size() <= i) stacks.emplace_back(new unsigned char[stack_bytes]);
    return stacks[i].get();
  }

  static void start() {
    EmulatedBlock& self = *current();
    self.body_();
    self.fiber().ended = true;
    self.idle_ = 0;
    self.go_on();
  }

  // To the next fiber that has not ended; back to schedule() if there is none, or if all have been waiting for one that
  // will not come. Fibers switch directly, because switching is most of the emulation's time.
  void go_on() {
    ucontext_t& from = fiber().context;
    int next = thread;
    for (int i = 0; i < threads(); ++i) {
      next = (next + step_ + threads()) % threads();
      if (!fibers_[static_cast<std::size_t>(next)].ended) break;
    }
    stuck_ = !fibers_[static_cast<std::size_t>(next)].ended && ++idle_ > 2 * threads();
    if (stuck_ || fibers_[static_cast<std::size_t>(next)].ended) {
      swapcontext(&from, &scheduler_);
    } else {
      thread = next;
      swapcontext(&from, &fiber().context);
    }
  }

  void prepare(ucontext_t& context, unsigned char* memory) {
    getcontext(&context);
    context.uc_stack.ss_sp = memory;
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = &scheduler_;
    makecontext(&context, &EmulatedBlock::start, 0);
  }

  void schedule(bool reverse) {
    for (std::size_t i = 0; i < fibers_.size(); ++i) prepare(fibers_[i].context, stack(i));
    step_ = reverse ? -1 : 1;
    thread = reverse ? threads() - 1 : 0;
    swapcontext(&scheduler_, &fiber().context);
    if (stuck_) throw std::logic_error("a barrier that not all threads of a block reach");
  }

  void wait(Barrier& barrier, int count) {
    const std::uint64_t generation = barrier.generation;
    idle_ = 0;
    if (++barrier.arrived == count) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    while (barrier.generation == generation) go_on();
  }

  const std::function<void()>& body_;
  Barrier block_barrier_;
  std::vector<Warp> warps_;
  std::vector<Fiber> fibers_;
  std::vector<Words> shared_;
  ucontext_t scheduler_;
  int step_ = 1, idle_ = 0;
  bool stuck_ = false;
};

inline EmulatedBlock& emulated() { return *EmulatedBlock::current(); }
inline int thread_index() { return emulated().thread; }
inline int block_threads() { return emulated().threads(); }
inline int block_x() { return emulated().block.x; }
inline int block_y() { return emulated().block.y; }
inline int block_z() { return emulated().block.z; }
inline int grid_x() { return emulated().grid.x; }
inline void synchronize() { emulated().wait_for_block(); }
inline void synchronize_warp() { emulated().wait_for_warp(); }
inline unsigned char* dynamic_shared() { return emulated().shared(); }
inline void copy_async(void* shared, const void* global, bool valid) { emulated().copy_later(shared, global, valid); }
inline void copy_commit() { emulated().commit(); }
template <int groups>
void copy_wait() {
  emulated().arrive(groups);
}
inline int add_atomically(int* shared, int value) {
  const int before = *shared;
  *shared += value;
  return before;
}

template <class T>
T exchange_xor(T value, int mask) {
  static_assert(sizeof(T) <= sizeof(Shown));
  Shown mine{};
  std::memcpy(&mine, &value, sizeof value);
  const Shown* all = emulated().show(mine);
  std::memcpy(&value, &all[(thread_index() % 32) ^ mask], sizeof value);
  return value;
}

// The 16-bit value in row r, column c of matrix i, whose rows the lanes 8 i to 8 i + 7 point to.
inline std::uint32_t matrix_value(const Shown* rows, int i, int r, int c) {
  const std::uint16_t* row = nullptr;
  std::memcpy(&row, &rows[8 * i + r], sizeof row);
  return row[c];
}
inline void load_matrices(std::uint32_t (&out)[4], const void* row) {
  Shown mine{};
  std::memcpy(&mine, &row, sizeof row);
  const Shown* rows = emulated().show(mine);
  const int r = thread_index() % 32 / 4, c = thread_index() % 4 * 2;
  for (int i = 0; i < 4; ++i) out[i] = matrix_value(rows, i, r, c) | matrix_value(rows, i, r, c + 1) << 16;
}
inline void load_matrices_transposed(std::uint32_t (&out)[4], const void* row) {
  Shown mine{};
  std::memcpy(&mine, &row, sizeof row);
  const Shown* rows = emulated().show(mine);
  const int c = thread_index() % 32 / 4, r = thread_index() % 4 * 2;
  for (int i = 0; i < 4; ++i) out[i] = matrix_value(rows, i, r, c) | matrix_value(rows, i, r + 1, c) << 16;
}

inline float half_of_word(std::uint32_t word, int which) {
  const std::uint32_t bits = which == 0 ? word << 16 : word & 0xffff0000u;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const Shown* shown = emulated().show({{a[0], a[1], a[2], a[3], b0, b1}});
  const int g = thread_index() % 32 / 4, t = thread_index() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) {
      const std::uint32_t from_a = shown[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
      const std::uint32_t from_b = shown[column * 4 + k % 8 / 2].words[4 + k / 8];
      sum += half_of_word(from_a, k % 2) * half_of_word(from_b, k % 2);
    }
    c[i] += sum;
  }
}

}  // namespace hourglass::kernels::cuda
