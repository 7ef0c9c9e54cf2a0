// What every kernel uses: packs of elements moved by one 16-byte access, reductions over a block, launching.
// The files compile with nvcc and, in tests, with g++ against an emulation of the CUDA runtime (AIXMEG_EMULATOR);
// all shared memory is dynamic, so that the emulator can poison it and watch its bounds.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

#include "../common/formulas.h"
#include "kernels.h"

namespace aixmeg::cuda {

constexpr int kWarp = 32;
constexpr int kRowThreads = 512;      // most threads of a block that reduces a row
constexpr int kElementThreads = 256;  // most threads of a block whose threads do not meet
constexpr int kElementBlocks = 4;     // of these per multiprocessor: 64 registers a thread, enough for no spills
constexpr int64_t kMaxGridX = 2147483647, kMaxGridY = 65535;

// kWidth elements that move together: 16 bytes of T, or a single element where rows or pointers are not aligned.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth < 16 ? sizeof(T) * kWidth : 16) Pack {
  T values[kWidth];
};

template <int kWidth, class T>
__device__ __forceinline__ Pack<T, kWidth> load_pack(const T* address) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(address);
}

template <int kWidth, class T>
__device__ __forceinline__ void store_pack(T* address, const Pack<T, kWidth>& pack) {
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    uint4 raw;
    memcpy(&raw, &pack, sizeof raw);
    __stwb(reinterpret_cast<uint4*>(address), raw);  // a plain assignment is split into four stores by nvcc 13.0
  } else {
    *reinterpret_cast<Pack<T, kWidth>*>(address) = pack;
  }
}

__device__ __forceinline__ float* shared_floats() {
#if defined(AIXMEG_EMULATOR)
  return reinterpret_cast<float*>(emulator::shared_memory());
#else
  extern __shared__ __align__(16) float memory[];
  return memory;
#endif
}

__device__ __forceinline__ float shuffle_xor(float value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}
__device__ __forceinline__ double shuffle_xor(double value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}
__device__ __forceinline__ SoftmaxStatistics shuffle_xor(SoftmaxStatistics value, int lanes) {
  return {shuffle_xor(value.maximum, lanes), shuffle_xor(value.total, lanes)};
}

__device__ __forceinline__ float combine(float a, float b) { return a + b; }
__device__ __forceinline__ double combine(double a, double b) { return a + b; }
__device__ __forceinline__ SoftmaxStatistics combine(SoftmaxStatistics a, SoftmaxStatistics b) { return merge(a, b); }

template <class V>
__device__ __forceinline__ V warp_reduce(V value) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value = combine(value, shuffle_xor(value, lanes));
  return value;
}

// Combines one value per thread over a block of whole warps; every thread gets the result. `scratch` is shared memory
// for 32 values and may be used again afterwards.
template <class V>
__device__ __forceinline__ V block_reduce(V value, V identity, V* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = warp_reduce(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = warp_reduce(lane < warps ? scratch[lane] : identity);
  __syncthreads();
  return value;
}

// Threads for `work` items: whole warps, no more than needed, at most `most`.
inline unsigned threads_for(int64_t work, int most) {
  const int64_t rounded = (work + kWarp - 1) / kWarp * kWarp;
  return static_cast<unsigned>(rounded < kWarp ? kWarp : rounded > most ? most : rounded);
}

inline unsigned at_most(int64_t count, int64_t limit) { return static_cast<unsigned>(count < limit ? count : limit); }

template <class... Pointers>
bool aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) | ...) & 15u) == 0;
}

// The element type and the pack width that a kernel is compiled for.
template <class T, int kWidthValue>
struct Kind {
  using Type = T;
  static constexpr int kWidth = kWidthValue;
};

// Calls f(Kind) with 16-byte packs where `row` elements and the pointers (judged by the caller) allow them.
template <class F>
cudaError_t by_kind(int type, int64_t row, bool pointers_aligned, const F& f) {
  if (type == kAixmegFloat) {
    if (pointers_aligned && row % 4 == 0) return f(Kind<float, 4>{});
    return f(Kind<float, 1>{});
  }
  if (type != kAixmegBfloat16) return cudaErrorInvalidValue;
  if (pointers_aligned && row % 8 == 0) return f(Kind<bfloat16, 8>{});
  return f(Kind<bfloat16, 1>{});
}

// Launches kernel<<<grid, threads, shared_bytes, stream>>>(arguments...).
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, size_t shared_bytes, void* stream,
                   Arguments... arguments) {
  if (shared_bytes > 48 * 1024) {  // more than every GPU grants unasked
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

}  // namespace aixmeg::cuda
