// Runs CUDA kernels on the CPU, so that the real .cu files are tested on a machine without a GPU:
//   g++ -std=c++17 -DAIXMEG_EMULATOR -I tests/cuda_emu/emulator -x c++ kernel.cu
// Every thread of a block is a fiber that runs until a barrier or a shuffle; a random schedule lets some warps sprint
// ahead of others, which brings out a missing barrier. Dynamic shared memory is filled with NaN before each block and
// has exactly the size asked for, which AddressSanitizer watches. A barrier or shuffle that some threads never reach, a
// launch that a GPU would refuse: an error code, not a hang.
// Not modelled: memory order between threads of one warp, timing, tensor cores, asynchronous copies.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorLaunchFailure = 719,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = void*;

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

struct alignas(8) uint2 {
  unsigned x, y;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;  // what a kernel sees

namespace emulator {

constexpr unsigned kWarp = 32;
constexpr size_t kGrantedShared = 48 * 1024, kMostShared = 227 * 1024;  // an H100's limits
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
inline std::function<void()> body;
inline std::unique_ptr<unsigned char[]> shared;
inline std::mt19937 random{1};
inline std::map<const void*, size_t> shared_limits;

inline unsigned char* shared_memory() { return shared.get(); }

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

inline cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const auto limit = shared_limits.find(kernel);
  const size_t most = limit == shared_limits.end() ? kGrantedShared : limit->second;
  const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 2147483647u && grid.y <= 65535 &&
                    grid.z <= 65535 && block.x > 0 && block.y > 0 && block.z > 0 &&
                    block.x * block.y * block.z <= 1024 && config.dynamicSmemBytes <= most;
  return fits ? cudaSuccess : cudaErrorInvalidConfiguration;
}

inline cudaError_t run_grid(const cudaLaunchConfig_t& config, std::function<void()> kernel) {
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  thread_count = blockDim.x * blockDim.y * blockDim.z;
  body = std::move(kernel);
  for (unsigned z = 0; z < gridDim.z; ++z)
    for (unsigned y = 0; y < gridDim.y; ++y)
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = dim3(x, y, z);
        shared.reset(new unsigned char[config.dynamicSmemBytes]);
        std::memset(shared.get(), 0xff, config.dynamicSmemBytes);
        if (!run_block()) {
          std::fprintf(stderr, "emulator: block (%u, %u, %u): a barrier or shuffle that not all threads reach\n", x, y,
                       z);
          return cudaErrorLaunchFailure;
        }
      }
  return cudaSuccess;
}

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

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::State::kAtBlockBarrier); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  return emulator::shuffle(value, emulator::current % emulator::kWarp ^ static_cast<unsigned>(lanes));
}

inline unsigned atomicMax(unsigned* address, unsigned value) {
  const unsigned old = *address;
  *address = std::max(old, value);
  return old;
}

inline void __stwb(uint4* address, uint4 value) { *address = value; }
inline void __stwb(uint2* address, uint2 value) { *address = value; }

inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  if (static_cast<size_t>(bytes) > emulator::kMostShared) return cudaErrorInvalidValue;
  emulator::shared_limits[kernel] = bytes;
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const cudaError_t error = emulator::check_launch(*config, reinterpret_cast<const void*>(kernel));
  if (error != cudaSuccess) return error;
  return emulator::run_grid(*config, [=] { kernel(arguments...); });
}
