// Runs CUDA kernels on the CPU, so that the real .cu files are tested on a machine without a GPU:
//   g++ -std=c++17 -DAIXMEG_EMULATOR -I tests/cuda_emu/emulator -x c++ kernel.cu
// By default every thread of a block is a fiber that runs until a barrier or a shuffle; a random schedule lets some
// warps sprint ahead of others, which brings out a missing barrier. A barrier or shuffle that some threads never reach,
// a launch that a GPU would refuse: an error code, not a hang. With AIXMEG_EMULATOR_THREADS they are real threads, for
// ThreadSanitizer. Dynamic shared memory is filled with NaN before each block and has exactly the size asked for, which
// AddressSanitizer watches.
// Not modelled: memory order between threads of one warp, timing, tensor cores, asynchronous copies.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
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

inline dim3 blockDim, gridDim;  // what a kernel sees, with threadIdx and blockIdx

namespace emulator {

constexpr unsigned kWarp = 32;
constexpr size_t kGrantedShared = 48 * 1024, kMostShared = 227 * 1024;  // an H100's limits

inline std::function<void()> body;
inline std::unique_ptr<unsigned char[]> shared;
inline std::map<const void*, size_t> shared_limits;

inline size_t shared_bytes;

inline unsigned char* shared_memory() { return shared.get(); }

inline void new_shared_memory() {
  shared.reset(new unsigned char[shared_bytes]);
  std::memset(shared.get(), 0xff, shared_bytes);
}

inline uint64_t block_count() { return uint64_t{gridDim.x} * gridDim.y * gridDim.z; }

inline dim3 block_index(uint64_t block) {
  return dim3(static_cast<unsigned>(block % gridDim.x), static_cast<unsigned>(block / gridDim.x % gridDim.y),
              static_cast<unsigned>(block / gridDim.x / gridDim.y));
}

}  // namespace emulator

#if defined(AIXMEG_EMULATOR_THREADS)
#include "threads.h"
#else
#include "fibers.h"
#endif

namespace emulator {

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
  shared_bytes = config.dynamicSmemBytes;
  thread_count = blockDim.x * blockDim.y * blockDim.z;
  body = std::move(kernel);
  return run_blocks() ? cudaSuccess : cudaErrorLaunchFailure;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait_for_block(); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  return emulator::shuffle(value, emulator::lane() ^ static_cast<unsigned>(lanes));
}

inline unsigned atomicMax(unsigned* address, unsigned value) { return emulator::atomic_max(address, value); }

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
