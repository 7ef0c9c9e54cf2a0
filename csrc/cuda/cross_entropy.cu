// Cross-entropy over this rank's slice of the vocabulary, logits[rows, columns]: the statistics that ranks combine
// (one reading: maximum and sum of exponentials together; label smoothing needs another, from cache), then the gradient
// of options.h's loss, which may overwrite the logits.
// One block per row.
#include "device.h"

namespace aixmeg::cuda {
namespace {

constexpr size_t kScratchBytes = kWarp * sizeof(SoftmaxStatistics);
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    statistics_kernel(const T* __restrict__ logits, const int64_t* __restrict__ target, float* __restrict__ maximum,
                      float* __restrict__ total, float* __restrict__ picked, float* __restrict__ shifted, int64_t rows,
                      int64_t columns, int64_t first, int64_t vocabulary, int64_t ignore_index) {
  auto* scratch = reinterpret_cast<SoftmaxStatistics*>(shared_floats());
  const SoftmaxStatistics nothing = {-kInfinity, 0.0f};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* logits_row = logits + row * columns;
    SoftmaxStatistics seen = nothing;
    for (int64_t i = static_cast<int64_t>(threadIdx.x) * kWidth; i < columns;
         i += static_cast<int64_t>(blockDim.x) * kWidth) {
      const auto pack = load_pack<kWidth>(logits_row + i);
      float highest = seen.maximum;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float value = load(pack.values[j]);
        highest = value > highest ? value : highest;
      }
      const float origin = softmax_origin(highest);
      float sum = seen.total * exponential(seen.maximum - origin);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum += exponential(load(pack.values[j]) - origin);
      seen = {highest, sum};
    }
    seen = block_reduce(seen, nothing, scratch);
    if (threadIdx.x == 0) {
      maximum[row] = seen.maximum;
      total[row] = seen.total;
      const int64_t wanted = target[row], column = wanted - first;
      const bool here = column >= 0 && column < columns, valid = wanted >= 0 && wanted < vocabulary;
      picked[row] = !valid && wanted != ignore_index ? kNaN : here ? load(logits_row[column]) : 0.0f;
    }
    if (shifted == nullptr) continue;
    const float origin = softmax_origin(seen.maximum);
    float distance = 0.0f;
    for (int64_t i = static_cast<int64_t>(threadIdx.x) * kWidth; i < columns;
         i += static_cast<int64_t>(blockDim.x) * kWidth) {
      const auto pack = load_pack<kWidth>(logits_row + i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) distance += load(pack.values[j]) - origin;
    }
    distance = block_reduce(distance, 0.0f, reinterpret_cast<float*>(scratch));
    if (threadIdx.x == 0) shifted[row] = distance;
  }
}

// No __restrict__ on logits and dlogits, which may be the same memory: each thread writes what it alone has read.
template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    backward_kernel(const T* logits, const int64_t* __restrict__ target, const float* __restrict__ maximum,
                    const float* __restrict__ log_total, const float* __restrict__ grad, T* dlogits, int64_t rows,
                    int64_t columns, int64_t first, CrossEntropyOptions options) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const bool ignored = target[row] == options.ignore_index;
    const int64_t wanted = target[row] - first;
    const float highest = maximum[row], log_sum = log_total[row], g = grad[row];
    const CrossEntropyShares shares = cross_entropy_shares(options, highest, log_sum);
    for (int64_t i = static_cast<int64_t>(threadIdx.x) * kWidth; i < columns;
         i += static_cast<int64_t>(blockDim.x) * kWidth) {
      const auto pack = load_pack<kWidth>(logits + row * columns + i);
      Pack<T, kWidth> out;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float share = softmax_value(load(pack.values[j]), highest, log_sum) * shares.factor - shares.others;
        store(out.values[j], ignored ? 0.0f : g * (i + j == wanted ? share - shares.target : share));
      }
      store_pack(dlogits + row * columns + i, out);
    }
  }
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_cross_entropy_statistics(int type, const void* logits, const int64_t* target, float* maximum,
                                                    float* total, float* picked, float* shifted, int64_t rows,
                                                    int64_t columns, int64_t first, int64_t vocabulary,
                                                    int64_t ignore_index, void* stream) {
  if (rows == 0) return cudaSuccess;
  return by_kind(type, columns, aligned(logits), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(statistics_kernel<T, kWidth>, dim3(at_most(rows, kMaxGridX)),
                  threads_for(columns / kWidth, kRowThreads), kScratchBytes, stream, static_cast<const T*>(logits),
                  target, maximum, total, picked, shifted, rows, columns, first, vocabulary, ignore_index);
  });
}

extern "C" int aixmeg_cuda_cross_entropy_backward(int type, const void* logits, const int64_t* target,
                                                  const float* maximum, const float* log_total, const float* grad,
                                                  void* dlogits, int64_t rows, int64_t columns, int64_t first,
                                                  int64_t vocabulary, int64_t ignore_index, float smoothing,
                                                  float z_loss, void* stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  return by_kind(type, columns, aligned(logits, dlogits), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(backward_kernel<T, kWidth>, dim3(at_most(rows, kMaxGridX)),
                  threads_for(columns / kWidth, kRowThreads), 0, stream, static_cast<const T*>(logits), target, maximum,
                  log_total, grad, static_cast<T*>(dlogits), rows, columns, first,
                  aixmeg::CrossEntropyOptions{ignore_index, vocabulary, smoothing, z_loss});
  });
}
