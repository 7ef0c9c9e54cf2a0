// SwiGLU:  y = silu(gate) * up, over rows of x[rows, 2 * width] = gate | up.
// One pack per thread; the grid strides over columns in x and over rows in y, so no thread divides. Few
// threads loop at all: unrolling would only cost registers.
#include "device.h"

namespace aixmeg::cuda {
namespace {

template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    forward_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t rows, int64_t width) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x * kWidth;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
#pragma unroll 1
    for (int64_t i = first; i < width; i += step) {
      const auto gate = load_pack<kWidth>(x + row * 2 * width + i);
      const auto up = load_pack<kWidth>(x + row * 2 * width + width + i);
      Pack<T, kWidth> out;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) store(out.values[j], swiglu_value(load(gate.values[j]), load(up.values[j])));
      store_pack(y + row * width + i, out);
    }
  }
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    backward_kernel(const T* __restrict__ dy, const T* __restrict__ x, T* __restrict__ dx, int64_t rows,
                    int64_t width) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x * kWidth;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
#pragma unroll 1
    for (int64_t i = first; i < width; i += step) {
      const auto grad = load_pack<kWidth>(dy + row * width + i);
      const auto gate = load_pack<kWidth>(x + row * 2 * width + i);
      const auto up = load_pack<kWidth>(x + row * 2 * width + width + i);
      Pack<T, kWidth> dgate, dup;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        float to_gate, to_up;
        swiglu_gradient(load(grad.values[j]), load(gate.values[j]), load(up.values[j]), to_gate, to_up);
        store(dgate.values[j], to_gate);
        store(dup.values[j], to_up);
      }
      store_pack(dx + row * 2 * width + i, dgate);
      store_pack(dx + row * 2 * width + width + i, dup);
    }
  }
}

// Threads for one row's packs, then enough blocks to cover the row.
dim3 grid_for(int64_t rows, int64_t packs, unsigned threads) {
  return dim3(at_most((packs + threads - 1) / threads, kMaxGridX), at_most(rows, kMaxGridY));
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_swiglu_forward(int type, const void* x, void* y, int64_t rows, int64_t width, void* stream) {
  if (rows == 0 || width == 0) return cudaSuccess;
  return by_kind(type, width, aligned(x, y), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    const unsigned threads = threads_for(width / kWidth, kElementThreads);
    return launch(forward_kernel<T, kWidth>, grid_for(rows, width / kWidth, threads), threads, 0, stream,
                  static_cast<const T*>(x), static_cast<T*>(y), rows, width);
  });
}

extern "C" int aixmeg_cuda_swiglu_backward(int type, const void* dy, const void* x, void* dx, int64_t rows,
                                           int64_t width, void* stream) {
  if (rows == 0 || width == 0) return cudaSuccess;
  return by_kind(type, width, aligned(dy, x, dx), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    const unsigned threads = threads_for(width / kWidth, kElementThreads);
    return launch(backward_kernel<T, kWidth>, grid_for(rows, width / kWidth, threads), threads, 0, stream,
                  static_cast<const T*>(dy), static_cast<const T*>(x), static_cast<T*>(dx), rows, width);
  });
}
