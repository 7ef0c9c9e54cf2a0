// FP8: largest magnitudes of x[rows, columns], quantisation into one or both layouts, delayed scaling's history.
// A block quantises a tile of 64 x 64: every thread reads 16 neighbours, and writes them as 16 bytes; the transposed
// copy goes through shared memory, so that it is written in rows too.
#include "../common/fp8.h"
#include "device.h"

namespace aixmeg::cuda {
namespace {

constexpr int kSide = 64;          // of a tile
constexpr int kRun = 16;           // elements of a thread
constexpr int kPitch = kSide + 4;  // bytes between rows of the tile in shared memory: fewer bank conflicts
constexpr int kTileThreads = kSide * kSide / kRun;
constexpr int kColumnRows = 256;  // rows that one block of the column maxima reads

struct Job {
  uint8_t *q, *transposed;                // [rows, columns], [columns, rows], or null
  const float *row_scale, *column_scale;  // one number, or one per row or column where the step is 1
  int row_step, column_step;
  unsigned* amax;  // raised to the largest magnitude's bits, or null
  int64_t rows, columns;
  bool e5m2;
};

__device__ __forceinline__ uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

// block_reduce for magnitudes; the bits of a float are what shuffles move.
__device__ __forceinline__ uint32_t block_largest(uint32_t value, float* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    value = larger(value, bits_from_float(shuffle_xor(float_from_bits(value), lanes)));
  if (lane == 0) scratch[warp] = float_from_bits(value);
  __syncthreads();
  value = lane < warps ? bits_from_float(scratch[lane]) : 0u;
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    value = larger(value, bits_from_float(shuffle_xor(float_from_bits(value), lanes)));
  __syncthreads();
  return value;
}

// The instruction where the GPU has it: the shared formula would cost more than the memory traffic. It drops the sign
// of a NaN, which is put back so that both give the same bytes.
__device__ __forceinline__ uint32_t fp8_pair(float first, float second, const Fp8Format& format, bool e5m2) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint16_t pair;
  if (e5m2)
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  else
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  return pair | ((bits_from_float(first) >> 24) & 0x80u) | ((bits_from_float(second) >> 16) & 0x8000u);
#else
  (void)e5m2;
  return fp8_from_float(first, format) | static_cast<uint32_t>(fp8_from_float(second, format)) << 8;
#endif
}

struct Run {
  uint32_t words[kRun / 4];
};

// values * scale[i * step] as 16 bytes.
__device__ __forceinline__ Run fp8_run(const float (&values)[kRun], const float* scale, int step, bool e5m2,
                                       int count) {
  const Fp8Format format = fp8_format(e5m2);
  Run run;
#pragma unroll
  for (int w = 0; w < kRun / 4; ++w) {
    float scaled[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int i = 4 * w + j;
      scaled[j] = values[i] * scale[i < count ? i * step : 0];
    }
    run.words[w] = fp8_pair(scaled[0], scaled[1], format, e5m2) | fp8_pair(scaled[2], scaled[3], format, e5m2) << 16;
  }
  return run;
}

template <bool kVector, class T>
__device__ __forceinline__ void load_run(const T* from, int count, float (&values)[kRun]) {
  if constexpr (kVector) {
    constexpr int kWidth = 16 / sizeof(T);
#pragma unroll
    for (int first = 0; first < kRun; first += kWidth) {
      const auto pack = load_pack<kWidth>(from + first);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) values[first + j] = load(pack.values[j]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kRun; ++i) values[i] = i < count ? load(from[i]) : 0.0f;
  }
}

template <bool kVector>
__device__ __forceinline__ void store_run(uint8_t* to, int count, const Run& run) {
  if constexpr (kVector) {
    __stwb(reinterpret_cast<uint4*>(to), uint4{run.words[0], run.words[1], run.words[2], run.words[3]});
  } else {
#pragma unroll
    for (int i = 0; i < kRun; ++i)
      if (i < count) to[i] = static_cast<uint8_t>(run.words[i / 4] >> (i % 4 * 8));
  }
}

__device__ __forceinline__ int left_of(int64_t size, int64_t first) {
  const int64_t left = size - first;
  return static_cast<int>(left < 0 ? 0 : left < kRun ? left : kRun);
}

template <class T, bool kVector, bool kGated>
__global__ void __launch_bounds__(kTileThreads) quantize_kernel(const T* __restrict__ x, Job job) {
  float* scratch = shared_floats();
  uint8_t* tile = reinterpret_cast<uint8_t*>(scratch + kWarp);  // [row of the tile][kPitch]
  const int line = threadIdx.x / (kSide / kRun), start = threadIdx.x % (kSide / kRun) * kRun;
  const int64_t left = static_cast<int64_t>(blockIdx.y) * kSide;
  uint32_t most = 0;
  for (int64_t top = static_cast<int64_t>(blockIdx.x) * kSide; top < job.rows;
       top += static_cast<int64_t>(gridDim.x) * kSide) {
    const int64_t row = top + line, column = left + start;
    const int count = row < job.rows ? left_of(job.columns, column) : 0;
    float values[kRun];
    if (count > 0) {
      load_run<kVector>(x + row * job.columns * (kGated ? 2 : 1) + column, count, values);
      if constexpr (kGated) {
        float up[kRun];
        load_run<kVector>(x + row * job.columns * 2 + job.columns + column, count, up);
#pragma unroll
        for (int i = 0; i < kRun; ++i) values[i] = swiglu_value(values[i], up[i]);
      }
#pragma unroll
      for (int i = 0; i < kRun; ++i) most = i < count ? larger(most, magnitude_bits(values[i])) : most;
      if (job.q != nullptr)
        store_run<kVector>(job.q + row * job.columns + column, count,
                           fp8_run(values, job.row_scale + row * job.row_step, 0, job.e5m2, count));
    }
    if (job.transposed == nullptr) continue;
    if (count > 0) {
      const Run run = fp8_run(values, job.column_scale + column * job.column_step, job.column_step, job.e5m2, count);
#pragma unroll
      for (int w = 0; w < kRun / 4; ++w) reinterpret_cast<uint32_t*>(tile + line * kPitch + start)[w] = run.words[w];
    }
    __syncthreads();
    // Now this thread's line is a column of x, and its run 16 of the tile's rows.
    const int deep = left + line < job.columns ? left_of(job.rows, top + start) : 0;
    if (deep > 0) {
      Run run;
#pragma unroll
      for (int w = 0; w < kRun / 4; ++w) {
        run.words[w] = 0;
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (4 * w + j < deep)
            run.words[w] |= static_cast<uint32_t>(tile[(start + 4 * w + j) * kPitch + line]) << (8 * j);
      }
      store_run<kVector>(job.transposed + (left + line) * job.rows + top + start, deep, run);
    }
    __syncthreads();
  }
  if (job.amax != nullptr) {
    most = block_largest(most, scratch);
    if (threadIdx.x == 0 && most > 0) atomicMax(job.amax, most);
  }
}

// Of each row where amax[rows] is given, else of everything.
template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    amax_rows_kernel(const T* __restrict__ x, float* __restrict__ rows_out, unsigned* __restrict__ all, int64_t rows,
                     int64_t columns) {
  float* scratch = shared_floats();
  uint32_t of_block = 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    uint32_t most = 0;
    for (int64_t i = threadIdx.x * kWidth; i < columns; i += blockDim.x * kWidth) {
      const auto pack = load_pack<kWidth>(x + row * columns + i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) most = larger(most, magnitude_bits(load(pack.values[j])));
    }
    of_block = larger(of_block, most);
    if (rows_out == nullptr) continue;
    most = block_largest(most, scratch);
    if (threadIdx.x == 0) rows_out[row] = float_from_bits(most);
  }
  if (all == nullptr) return;
  of_block = block_largest(of_block, scratch);
  if (threadIdx.x == 0 && of_block > 0) atomicMax(all, of_block);
}

// amax[columns], zero before: a thread owns a pack of columns over kColumnRows rows.
template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    amax_columns_kernel(const T* __restrict__ x, unsigned* __restrict__ amax, int64_t rows, int64_t columns) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (first >= columns) return;
  for (int64_t top = static_cast<int64_t>(blockIdx.y) * kColumnRows; top < rows;
       top += static_cast<int64_t>(gridDim.y) * kColumnRows) {
    const int64_t bottom = top + kColumnRows < rows ? top + kColumnRows : rows;
    uint32_t most[kWidth] = {};
    for (int64_t row = top; row < bottom; ++row) {
      const auto pack = load_pack<kWidth>(x + row * columns + first);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) most[j] = larger(most[j], magnitude_bits(load(pack.values[j])));
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      if (most[j] > 0) atomicMax(amax + first + j, most[j]);
  }
}

__global__ void __launch_bounds__(kElementThreads)
    scale_kernel(const float* __restrict__ amax, float* __restrict__ scale, float* __restrict__ inverse, int64_t count,
                 bool e5m2, int margin) {
  const Fp8Format format = fp8_format(e5m2);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x)
    fp8_scale_from_amax(amax[i], format, margin, scale[i], inverse[i]);
}

// One block per tensor.
__global__ void __launch_bounds__(kElementThreads)
    history_kernel(float* __restrict__ history, float* __restrict__ amax, float* __restrict__ scale,
                   float* __restrict__ inverse, const bool* __restrict__ e5m2, int64_t window, int64_t position,
                   int margin) {
  float* scratch = shared_floats();
  float* past = history + blockIdx.x * window;
  const float now = amax[blockIdx.x];
  uint32_t most = 0;
  for (int64_t i = threadIdx.x; i < window; i += blockDim.x)
    most = larger(most, magnitude_bits(i == position ? now : past[i]));
  most = block_largest(most, scratch);  // after its barriers every thread has read amax
  if (threadIdx.x != 0) return;
  past[position] = now;
  amax[blockIdx.x] = 0.0f;
  fp8_scale_from_amax(float_from_bits(most), fp8_format(e5m2[blockIdx.x]), margin, scale[blockIdx.x],
                      inverse[blockIdx.x]);
}

template <class T, bool kVector, bool kGated>
cudaError_t launch_quantize(const void* x, const Job& job, void* stream) {
  const int64_t across = (job.columns + kSide - 1) / kSide, down = (job.rows + kSide - 1) / kSide;
  if (across > kMaxGridY) return cudaErrorInvalidValue;
  return launch(quantize_kernel<T, kVector, kGated>, dim3(at_most(down, kMaxGridX), static_cast<unsigned>(across)),
                unsigned{kTileThreads}, kWarp * sizeof(float) + kSide * kPitch, stream, static_cast<const T*>(x), job);
}

template <class T>
cudaError_t quantize(const void* x, const Job& job, bool gated, void* stream) {
  const bool whole = job.columns % kRun == 0 && (job.transposed == nullptr || job.rows % kRun == 0);
  const bool vector = whole && aligned(x, job.q, job.transposed);
  if (gated)
    return vector ? launch_quantize<T, true, true>(x, job, stream) : launch_quantize<T, false, true>(x, job, stream);
  return vector ? launch_quantize<T, true, false>(x, job, stream) : launch_quantize<T, false, false>(x, job, stream);
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_fp8_quantize(int type, const void* x, const float* row_scale, int64_t row_step,
                                        const float* column_scale, int64_t column_step, void* q, void* transposed,
                                        float* amax, int64_t rows, int64_t columns, int e5m2, int gated, void* stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  const Job job{static_cast<uint8_t*>(q),
                static_cast<uint8_t*>(transposed),
                row_scale,
                column_scale,
                static_cast<int>(row_step),
                static_cast<int>(column_step),
                reinterpret_cast<unsigned*>(amax),
                rows,
                columns,
                e5m2 != 0};
  if (type == kAixmegFloat) return quantize<float>(x, job, gated != 0, stream);
  if (type != kAixmegBfloat16) return cudaErrorInvalidValue;
  return quantize<aixmeg::bfloat16>(x, job, gated != 0, stream);
}

extern "C" int aixmeg_cuda_fp8_amax_rows(int type, const void* x, float* row_amax, float* amax, int64_t rows,
                                         int64_t columns, void* stream) {
  if (rows == 0) return cudaSuccess;
  return by_kind(type, columns, aligned(x), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(amax_rows_kernel<T, kWidth>, dim3(at_most(rows, row_amax == nullptr ? kAixmegAmaxBlocks : kMaxGridX)),
                  threads_for(columns / kWidth, kRowThreads), kWarp * sizeof(float), stream, static_cast<const T*>(x),
                  row_amax, reinterpret_cast<unsigned*>(amax), rows, columns);
  });
}

extern "C" int aixmeg_cuda_fp8_amax_columns(int type, const void* x, float* amax, int64_t rows, int64_t columns,
                                            void* stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  return by_kind(type, columns, aligned(x), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    const unsigned threads = threads_for(columns / kWidth, kElementThreads);
    const int64_t per_block = int64_t{threads} * kWidth;
    const dim3 grid(at_most((columns + per_block - 1) / per_block, kMaxGridX),
                    at_most((rows + kColumnRows - 1) / kColumnRows, kMaxGridY));
    return launch(amax_columns_kernel<T, kWidth>, grid, threads, 0, stream, static_cast<const T*>(x),
                  reinterpret_cast<unsigned*>(amax), rows, columns);
  });
}

extern "C" int aixmeg_cuda_fp8_scale(const float* amax, float* scale, float* scale_inv, int64_t count, int e5m2,
                                     int64_t margin, void* stream) {
  if (count == 0) return cudaSuccess;
  return launch(scale_kernel, dim3(at_most((count + kElementThreads - 1) / kElementThreads, kMaxGridX)),
                unsigned{kElementThreads}, 0, stream, amax, scale, scale_inv, count, e5m2 != 0,
                static_cast<int>(margin));
}

extern "C" int aixmeg_cuda_fp8_update_history(float* history, float* amax, float* scale, float* scale_inv,
                                              const bool* e5m2, int64_t count, int64_t window, int64_t position,
                                              int64_t margin, void* stream) {
  if (count == 0) return cudaSuccess;
  return launch(history_kernel, dim3(at_most(count, kMaxGridX)), threads_for(window, kElementThreads),
                kWarp * sizeof(float), stream, history, amax, scale, scale_inv, e5m2, window, position,
                static_cast<int>(margin));
}
