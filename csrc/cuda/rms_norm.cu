// RMSNorm:  y = x * rstd * weight,  rstd = 1 / sqrt(mean(x^2) + eps), over rows of x[rows, hidden]; and the same of
// a residual sum, x + residual, which is rounded before it is normalised, as if it had been added apart.
// One block per row; a row's second reading comes from cache.
#include "device.h"

namespace aixmeg::cuda {
namespace {

constexpr size_t kScratchBytes = kWarp * sizeof(float);

// Each thread normalises the packs that it has added itself: no barrier is needed between the two.
template <class T, int kWidth, bool kAdds>
__global__ void __launch_bounds__(kRowThreads)
    forward_kernel(const T* __restrict__ x, const T* __restrict__ residual, const T* __restrict__ weight,
                   T* __restrict__ y, T* total, float* __restrict__ rstd, int64_t rows, int hidden, float eps) {
  float* scratch = shared_floats();
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* x_row = x + row * hidden;
    T* y_row = y + row * hidden;
    float sum = 0.0f;
    for (int i = threadIdx.x * kWidth; i < hidden; i += blockDim.x * kWidth) {
      auto pack = load_pack<kWidth>(x_row + i);
      if constexpr (kAdds) {
        const auto added = load_pack<kWidth>(residual + row * hidden + i);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) store(pack.values[j], load(pack.values[j]) + load(added.values[j]));
        store_pack(total + row * hidden + i, pack);
      }
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum += load(pack.values[j]) * load(pack.values[j]);
    }
    sum = block_reduce(sum, 0.0f, scratch);
    const float r = rms_norm_rstd(sum, hidden, eps);
    if (threadIdx.x == 0) rstd[row] = r;
    for (int i = threadIdx.x * kWidth; i < hidden; i += blockDim.x * kWidth) {
      const auto pack = load_pack<kWidth>(kAdds ? total + row * hidden + i : x_row + i);
      const auto weights = load_pack<kWidth>(weight + i);
      Pack<T, kWidth> out;
#pragma unroll
      for (int j = 0; j < kWidth; ++j)
        store(out.values[j], rms_norm_value(load(pack.values[j]), r, load(weights.values[j])));
      store_pack(y_row + i, out);
    }
  }
}

// Writes dx, and the sum of each block's rows of the weight gradient to partials[blockIdx.x]. Every thread owns the
// columns it visits, so the sums need no synchronisation; column i + j of a pack lies at j * packs + i / kWidth of the
// shared sums, where neighbouring threads touch neighbouring banks. kAdds: dtotal, the gradient that reaches the
// normalised sum past the norm, is added to dx.
template <class T, int kWidth, bool kAdds>
__global__ void __launch_bounds__(kRowThreads)
    backward_kernel(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ weight,
                    const float* __restrict__ rstd, const T* __restrict__ dtotal, T* __restrict__ dx,
                    float* __restrict__ partials, int64_t rows, int hidden) {
  float* scratch = shared_floats();
  float* sums = scratch + kWarp;  // [kWidth, packs]
  const int packs = hidden / kWidth;
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sums[j * packs + i] = 0.0f;
  }
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* dy_row = dy + row * hidden;
    const T* x_row = x + row * hidden;
    const float r = rstd[row];
    float dot = 0.0f;
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
      const auto grads = load_pack<kWidth>(dy_row + i * kWidth);
      const auto inputs = load_pack<kWidth>(x_row + i * kWidth);
      const auto weights = load_pack<kWidth>(weight + i * kWidth);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float g = load(grads.values[j]), v = load(inputs.values[j]);
        dot += g * load(weights.values[j]) * v;
        sums[j * packs + i] += rms_norm_weight_gradient(g, v, r);
      }
    }
    dot = block_reduce(dot, 0.0f, scratch);
    const float projection = r * r * dot / static_cast<float>(hidden);
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
      const auto grads = load_pack<kWidth>(dy_row + i * kWidth);
      const auto inputs = load_pack<kWidth>(x_row + i * kWidth);
      const auto weights = load_pack<kWidth>(weight + i * kWidth);
      Pack<T, kWidth> past = {}, out;
      if constexpr (kAdds) past = load_pack<kWidth>(dtotal + row * hidden + i * kWidth);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float through = rms_norm_input_gradient(load(grads.values[j]), load(weights.values[j]),
                                                      load(inputs.values[j]), r, projection);
        store(out.values[j], kAdds ? through + load(past.values[j]) : through);
      }
      store_pack(dx + row * hidden + i * kWidth, out);
    }
  }
  float* out = partials + static_cast<int64_t>(blockIdx.x) * hidden;
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[i * kWidth + j] = sums[j * packs + i];
  }
}

// dweight[column] = sum over partials[count, hidden]: a block sums 32 columns, its warps take every 16th partial each,
// then the first warp adds theirs in order.
constexpr int kSumWarps = kRowThreads / kWarp;

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    sum_kernel(const float* __restrict__ partials, T* __restrict__ dweight, int count, int hidden) {
  float* sums = shared_floats();  // [kSumWarps, kWarp]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int column = blockIdx.x * kWarp + lane;
  float sum = 0.0f;
  if (column < hidden) {
    for (int p = warp; p < count; p += kSumWarps) sum += partials[static_cast<int64_t>(p) * hidden + column];
  }
  sums[warp * kWarp + lane] = sum;
  __syncthreads();
  if (warp == 0 && column < hidden) {
    float total = 0.0f;
    for (int w = 0; w < kSumWarps; ++w) total += sums[w * kWarp + lane];
    store(dweight[column], total);
  }
}

template <bool kAdds>
int forward(int type, const void* x, const void* residual, const void* weight, void* y, void* total, float* rstd,
            int64_t rows, int64_t hidden, float eps, void* stream) {
  if (hidden > std::numeric_limits<int>::max() / 2) return cudaErrorInvalidValue;
  if (rows == 0 || hidden == 0) return cudaSuccess;
  return by_kind(type, hidden, aligned(x, residual, weight, y, total), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(forward_kernel<T, kWidth, kAdds>, dim3(at_most(rows, kMaxGridX)),
                  threads_for(hidden / kWidth, kRowThreads), kScratchBytes, stream, static_cast<const T*>(x),
                  static_cast<const T*>(residual), static_cast<const T*>(weight), static_cast<T*>(y),
                  static_cast<T*>(total), rstd, rows, static_cast<int>(hidden), eps);
  });
}

template <bool kAdds>
int backward(int type, const void* dy, const void* x, const void* weight, const float* rstd, const void* dtotal,
             void* dx, void* dweight, float* partials, int64_t count, int64_t rows, int64_t hidden, void* stream) {
  if (hidden > kAixmegMaxNormHidden || count > kMaxGridX || count > rows) return cudaErrorInvalidValue;
  if (hidden == 0) return cudaSuccess;
  return by_kind(type, hidden, aligned(dy, x, weight, dtotal, dx), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    if (rows > 0) {
      const cudaError_t error =
          launch(backward_kernel<T, kWidth, kAdds>, dim3(static_cast<unsigned>(count)),
                 threads_for(hidden / kWidth, kRowThreads), kScratchBytes + hidden * sizeof(float), stream,
                 static_cast<const T*>(dy), static_cast<const T*>(x), static_cast<const T*>(weight), rstd,
                 static_cast<const T*>(dtotal), static_cast<T*>(dx), partials, rows, static_cast<int>(hidden));
      if (error != cudaSuccess) return error;
    }
    const unsigned blocks = static_cast<unsigned>((hidden + kWarp - 1) / kWarp);
    return launch(sum_kernel<T>, dim3(blocks), unsigned{kRowThreads}, kRowThreads * sizeof(float), stream, partials,
                  static_cast<T*>(dweight), static_cast<int>(count), static_cast<int>(hidden));
  });
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_rms_norm_forward(int type, const void* x, const void* weight, void* y, float* rstd,
                                            int64_t rows, int64_t hidden, float eps, void* stream) {
  return forward<false>(type, x, nullptr, weight, y, nullptr, rstd, rows, hidden, eps, stream);
}

extern "C" int aixmeg_cuda_add_rms_norm_forward(int type, const void* x, const void* residual, const void* weight,
                                                void* y, void* total, float* rstd, int64_t rows, int64_t hidden,
                                                float eps, void* stream) {
  return forward<true>(type, x, residual, weight, y, total, rstd, rows, hidden, eps, stream);
}

extern "C" int aixmeg_cuda_rms_norm_backward(int type, const void* dy, const void* x, const void* weight,
                                             const float* rstd, void* dx, void* dweight, float* partials, int64_t count,
                                             int64_t rows, int64_t hidden, void* stream) {
  return backward<false>(type, dy, x, weight, rstd, nullptr, dx, dweight, partials, count, rows, hidden, stream);
}

extern "C" int aixmeg_cuda_add_rms_norm_backward(int type, const void* dy, const void* dtotal, const void* total,
                                                 const void* weight, const float* rstd, void* dx, void* dweight,
                                                 float* partials, int64_t count, int64_t rows, int64_t hidden,
                                                 void* stream) {
  return backward<true>(type, dy, total, weight, rstd, dtotal, dx, dweight, partials, count, rows, hidden, stream);
}
