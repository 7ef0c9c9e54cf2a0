// Threads of a block as fibers of one thread, on a random schedule: included by cuda_runtime.h.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <random>

inline dim3 threadIdx, blockIdx;

namespace emulator {

constexpr size_t kStack = 64 * 1024;

enum class State { kRunnable, kAtBlockBarrier, kAtWarpBarrier, kDone };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
  unsigned shuffles;     // so far; its parity picks the slot
  uint64_t exchange[2];  // what this lane offers to its warp
};

inline unsigned current;  // thread that runs
inline unsigned thread_count;
inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline std::mt19937 random{1};

inline void wait(State state) {
  Fiber& me = fibers[current];
  me.state = state;
  swapcontext(&me.context, &scheduler);
}

inline void fiber_main() {
  body();
  wait(State::kDone);
}

inline void start_fiber(unsigned thread) {
  Fiber& fiber = fibers[thread];
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStack);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
  fiber.state = State::kRunnable;
  fiber.shuffles = 0;
}

// Threads of [begin, end) in that state.
inline unsigned count(unsigned begin, unsigned end, State state) {
  unsigned found = 0;
  for (unsigned thread = begin; thread < end; ++thread) found += fibers[thread].state == state;
  return found;
}

inline void release(unsigned begin, unsigned end) {
  for (unsigned thread = begin; thread < end; ++thread) fibers[thread].state = State::kRunnable;
}

// Runs every runnable thread of the warp to its next wait, in random order, then opens the warp's barrier if all
// its threads stand there.
inline void run_warp(unsigned begin, unsigned end) {
  std::vector<unsigned> order;
  for (unsigned thread = begin; thread < end; ++thread)
    if (fibers[thread].state == State::kRunnable) order.push_back(thread);
  std::shuffle(order.begin(), order.end(), random);
  for (unsigned thread : order) {
    current = thread;
    threadIdx = dim3(thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y));
    swapcontext(&scheduler, &fibers[thread].context);
  }
  if (count(begin, end, State::kAtWarpBarrier) == end - begin) release(begin, end);
}

// Returns false when the threads wait for each other for ever.
inline bool run_block() {
  if (fibers.size() < thread_count) fibers.resize(thread_count);
  for (unsigned thread = 0; thread < thread_count; ++thread) start_fiber(thread);
  unsigned favourite = 0;
  for (;;) {
    std::vector<unsigned> runnable;  // first thread of each warp that can run
    for (unsigned begin = 0; begin < thread_count; begin += kWarp)
      if (count(begin, std::min(begin + kWarp, thread_count), State::kRunnable) > 0) runnable.push_back(begin);
    if (runnable.empty()) {
      if (count(0, thread_count, State::kDone) == thread_count) return true;
      if (count(0, thread_count, State::kAtBlockBarrier) != thread_count) return false;
      release(0, thread_count);
      continue;
    }
    // Mostly the same warp again: it runs far ahead of the others.
    const bool stay = random() % 8 != 0 && std::count(runnable.begin(), runnable.end(), favourite) > 0;
    if (!stay) favourite = runnable[random() % runnable.size()];
    run_warp(favourite, std::min(favourite + kWarp, thread_count));
  }
}

inline bool run_blocks() {
  for (uint64_t block = 0; block < block_count(); ++block) {
    blockIdx = block_index(block);
    new_shared_memory();
    if (run_block()) continue;
    std::fprintf(stderr, "emulator: block (%u, %u, %u): a barrier or shuffle that not all threads reach\n", blockIdx.x,
                 blockIdx.y, blockIdx.z);
    return false;
  }
  return true;
}

inline void wait_for_block() { wait(State::kAtBlockBarrier); }

inline unsigned lane() { return current % kWarp; }

template <class T>
T shuffle(T value, unsigned source_lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "one slot");
  const unsigned me = current, source = me / kWarp * kWarp + source_lane % kWarp;
  const unsigned slot = fibers[me].shuffles++ % 2;  // a lane is never two shuffles ahead of another
  std::memcpy(&fibers[me].exchange[slot], &value, sizeof value);
  wait(State::kAtWarpBarrier);
  if (source < thread_count) std::memcpy(&value, &fibers[source].exchange[slot], sizeof value);
  return value;
}

inline unsigned atomic_max(unsigned* address, unsigned value) {
  const unsigned old = *address;
  *address = std::max(old, value);
  return old;
}

}  // namespace emulator
