// Threads of a block as threads of the process, so that ThreadSanitizer sees two of them touch one address without a
// barrier between: included by cuda_runtime.h under AIXMEG_EMULATOR_THREADS. A barrier that some threads never reach
// hangs here; the fibers notice it.
#pragma once
#include <pthread.h>

#include <thread>

inline thread_local dim3 threadIdx, blockIdx;

namespace emulator {

struct Lane {
  unsigned shuffles;     // so far; its parity picks the slot
  uint64_t exchange[2];  // what this lane offers to its warp
};

inline thread_local unsigned current;
inline unsigned thread_count;
inline std::vector<Lane> lanes;
inline pthread_barrier_t block_barrier;
inline std::vector<pthread_barrier_t> warp_barriers;

inline void wait_for_block() { pthread_barrier_wait(&block_barrier); }

// All blocks, one after the other: starting a thread costs more than running one.
inline void run_thread(unsigned thread) {
  current = thread;
  threadIdx = dim3(thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y));
  for (uint64_t block = 0; block < block_count(); ++block) {
    wait_for_block();
    if (thread == 0) new_shared_memory();
    wait_for_block();
    blockIdx = block_index(block);
    body();
  }
}

inline bool run_blocks() {
  lanes.assign(thread_count, Lane{});
  warp_barriers.resize((thread_count + kWarp - 1) / kWarp);
  pthread_barrier_init(&block_barrier, nullptr, thread_count);
  for (unsigned warp = 0; warp < warp_barriers.size(); ++warp) {
    const unsigned left = thread_count - warp * kWarp;
    pthread_barrier_init(&warp_barriers[warp], nullptr, left < kWarp ? left : kWarp);
  }
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < thread_count; ++thread) threads.emplace_back(run_thread, thread);
  for (std::thread& thread : threads) thread.join();
  pthread_barrier_destroy(&block_barrier);
  for (pthread_barrier_t& barrier : warp_barriers) pthread_barrier_destroy(&barrier);
  return true;
}

inline unsigned lane() { return current % kWarp; }

template <class T>
T shuffle(T value, unsigned source_lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "one slot");
  const unsigned me = current, source = me / kWarp * kWarp + source_lane % kWarp;
  const unsigned slot = lanes[me].shuffles++ % 2;  // a lane is never two shuffles ahead of another
  std::memcpy(&lanes[me].exchange[slot], &value, sizeof value);
  pthread_barrier_wait(&warp_barriers[me / kWarp]);
  if (source < thread_count) std::memcpy(&value, &lanes[source].exchange[slot], sizeof value);
  return value;
}

inline unsigned atomic_max(unsigned* address, unsigned value) {
  unsigned old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace emulator
