// The optimizer over lists of tensors: a step of AdamW, the L2 norm in two stages, scaling with a check.
// A block works on one chunk of one tensor (tensor_lists.h).
#include <vector>

#include "tensor_lists.h"

namespace aixmeg::cuda {
namespace {

constexpr size_t kScratchBytes = kWarp * sizeof(double);
constexpr int kAdamwBlocks = 3;  // of kElementThreads per multiprocessor: 80 registers a thread, enough for no spills

// Lists: parameters, gradients of T, first moments of M, second moments of V, copies.
template <class T, int kWidth, class M, class V>
__global__ void __launch_bounds__(kElementThreads, kAdamwBlocks)
    adamw_kernel(const __grid_constant__ Table<5> table, const AdamwOptions options) {
  const Share share = share_of_block(table);
  auto* param = static_cast<float*>(table.data[0][share.index]);
  const auto* grad = static_cast<const T*>(table.data[1][share.index]);
  auto* exp_avg = static_cast<M*>(table.data[2][share.index]);
  auto* exp_avg_sq = static_cast<V*>(table.data[3][share.index]);
  auto* copy = static_cast<bfloat16*>(table.data[4][share.index]);
#pragma unroll 1
  for (int64_t i = share.begin + threadIdx.x * kWidth; i < share.end; i += blockDim.x * kWidth) {
    auto values = load_wide<kWidth>(param + i);
    const auto grads = load_wide<kWidth>(grad + i);
    auto firsts = load_wide<kWidth>(exp_avg + i);
    auto seconds = load_wide<kWidth>(exp_avg_sq + i);
    Pack<bfloat16, kWidth> rounded;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      float first = load(firsts.values[j]), second = load(seconds.values[j]);
      adamw_update(load(grads.values[j]), values.values[j], first, second, options);
      store(firsts.values[j], first);
      store(seconds.values[j], second);
      store(rounded.values[j], values.values[j]);
    }
    store_wide<kWidth>(param + i, values);
    store_wide<kWidth>(exp_avg + i, firsts);
    store_wide<kWidth>(exp_avg_sq + i, seconds);
    if (copy != nullptr) store_wide<kWidth>(copy + i, rounded);
  }
}

// A thread adds its few squares in float, the block and everything after it in double.
template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    statistics_kernel(const __grid_constant__ Table<1> table, double* __restrict__ partials) {
  const Share share = share_of_block(table);
  const auto* x = static_cast<const T*>(table.data[0][share.index]);
  float sum = 0.0f;
  for (int64_t i = share.begin + threadIdx.x * kWidth; i < share.end; i += blockDim.x * kWidth) {
    const auto pack = load_wide<kWidth>(x + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += load(pack.values[j]) * load(pack.values[j]);
  }
  const double total = block_reduce(static_cast<double>(sum), 0.0, reinterpret_cast<double*>(shared_floats()));
  if (threadIdx.x == 0) partials[share.slot] = total;
}

// Where the partial sums of each tensor begin.
struct Ranges {
  static constexpr int kMost = 480;
  int first[kMost + 1];
};

// norms[block] = root of the sum of partials [first[block], first[block + 1]), added in a fixed order.
__global__ void __launch_bounds__(kElementThreads)
    finish_kernel(const double* __restrict__ partials, const __grid_constant__ Ranges ranges,
                  float* __restrict__ norms) {
  const int end = ranges.first[blockIdx.x + 1];
  double sum = 0.0;
  for (int i = ranges.first[blockIdx.x] + threadIdx.x; i < end; i += blockDim.x) sum += partials[i];
  sum = block_reduce(sum, 0.0, reinterpret_cast<double*>(shared_floats()));
  if (threadIdx.x == 0) norms[blockIdx.x] = static_cast<float>(sqrt(sum));
}

// Lists: sources of T, targets of U. Threads that set the flag all write the same number.
template <class T, int kWidth, class U>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    scale_kernel(const __grid_constant__ Table<2> table, float scale, int* __restrict__ found_inf) {
  const Share share = share_of_block(table);
  const auto* source = static_cast<const T*>(table.data[0][share.index]);
  auto* target = static_cast<U*>(table.data[1][share.index]);
  bool finite = true;
  for (int64_t i = share.begin + threadIdx.x * kWidth; i < share.end; i += blockDim.x * kWidth) {
    const auto pack = load_wide<kWidth>(source + i);
    Pack<U, kWidth> out;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      store(out.values[j], load(pack.values[j]) * scale);
      finite = finite && is_finite(load(out.values[j]));
    }
    store_wide<kWidth>(target + i, out);
  }
  if (!finite) *found_inf = 1;
}

// Calls f with a value of the element type.
template <class F>
cudaError_t by_type(int type, const F& f) {
  if (type == kAixmegFloat) return f(float{});
  if (type == kAixmegBfloat16) return f(bfloat16{});
  return cudaErrorInvalidValue;
}

// Elements of a pack in which the smallest of the types fills 16 bytes.
template <class... T>
constexpr int kPack = (sizeof(T) + ...) == 4 * sizeof...(T) ? 4 : 8;

template <int kLists>
unsigned blocks_of(const Table<kLists>& table) {
  return static_cast<unsigned>(table.first_block[table.count]);
}

// No more threads than the largest piece has packs: a list of small tensors wastes none. Only where the result does not
// depend on it, so not for sums.
template <int kWidth, int kLists>
unsigned threads_of(const Table<kLists>& table) {
  int64_t largest = 0;
  for (int i = 0; i < table.count; ++i) largest = table.size[i] > largest ? table.size[i] : largest;
  return threads_for((largest + kWidth - 1) / kWidth, kElementThreads);
}

cudaError_t finish(const double* partials, const int64_t* slots, int64_t count, float* norms, void* stream) {
  for (int64_t begin = 0; begin < count; begin += Ranges::kMost) {
    const int64_t these = count - begin < Ranges::kMost ? count - begin : Ranges::kMost;
    Ranges ranges = {};
    for (int64_t i = 0; i <= these; ++i) ranges.first[i] = static_cast<int>(slots[begin + i]);
    const cudaError_t error = launch(finish_kernel, dim3(static_cast<unsigned>(these)), unsigned{kElementThreads},
                                     kScratchBytes, stream, partials, ranges, norms + begin);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg;
using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_multi_tensor_adamw(int grad_type, int exp_avg_type, int exp_avg_sq_type, int64_t count,
                                              const int64_t* sizes, void* const* params, void* const* grads,
                                              void* const* exp_avgs, void* const* exp_avg_sqs, void* const* copies,
                                              const AdamwOptions* options, void* stream) {
  const List lists[] = {{params, 4},
                        {grads, bytes_of(grad_type)},
                        {exp_avgs, bytes_of(exp_avg_type)},
                        {exp_avg_sqs, bytes_of(exp_avg_sq_type)},
                        {copies, 2}};
  return by_type(grad_type, [&](auto grad) {
    return by_type(exp_avg_type, [&](auto first) {
      return by_type(exp_avg_sq_type, [&](auto second) {
        using T = decltype(grad);
        using M = decltype(first);
        using V = decltype(second);
        constexpr int kWide = kPack<T, M, V>;
        const auto start = [&](auto kernel, unsigned threads, const Table<5>& table) {
          return launch(kernel, dim3(blocks_of(table)), threads, 0, stream, table, *options);
        };
        return over_lists<kWide>(
            count, sizes, lists, nullptr,
            [&](const Table<5>& table) { return start(adamw_kernel<T, kWide, M, V>, threads_of<kWide>(table), table); },
            [&](const Table<5>& table) { return start(adamw_kernel<T, 1, M, V>, threads_of<1>(table), table); });
      });
    });
  });
}

extern "C" int aixmeg_cuda_multi_tensor_l2_norm(int type, int64_t count, const int64_t* sizes, void* const* tensors,
                                                double* partials, float* norm, float* norms, void* stream) {
  const List lists[] = {{tensors, bytes_of(type)}};
  std::vector<int64_t> slots(count + 1);
  cudaError_t error = by_type(type, [&](auto element) {
    using T = decltype(element);
    const auto start = [&](auto kernel, const Table<1>& table) {
      return launch(kernel, dim3(blocks_of(table)), unsigned{kElementThreads}, kScratchBytes, stream, table, partials);
    };
    return over_lists<kPack<T>>(
        count, sizes, lists, slots.data(),
        [&](const Table<1>& table) { return start(statistics_kernel<T, kPack<T>>, table); },
        [&](const Table<1>& table) { return start(statistics_kernel<T, 1>, table); });
  });
  const int64_t everything[] = {0, slots[count]};
  if (error == cudaSuccess) error = finish(partials, everything, 1, norm, stream);
  if (error == cudaSuccess && norms != nullptr) error = finish(partials, slots.data(), count, norms, stream);
  return error;
}

extern "C" int aixmeg_cuda_multi_tensor_scale(int source_type, int target_type, int64_t count, const int64_t* sizes,
                                              void* const* sources, void* const* targets, float scale, int* found_inf,
                                              void* stream) {
  const List lists[] = {{sources, bytes_of(source_type)}, {targets, bytes_of(target_type)}};
  return by_type(source_type, [&](auto source) {
    return by_type(target_type, [&](auto target) {
      using T = decltype(source);
      using U = decltype(target);
      constexpr int kWide = kPack<T, U>;
      const auto start = [&](auto kernel, unsigned threads, const Table<2>& table) {
        return launch(kernel, dim3(blocks_of(table)), threads, 0, stream, table, scale, found_inf);
      };
      return over_lists<kWide>(
          count, sizes, lists, nullptr,
          [&](const Table<2>& table) { return start(scale_kernel<T, kWide, U>, threads_of<kWide>(table), table); },
          [&](const Table<2>& table) { return start(scale_kernel<T, 1, U>, threads_of<1>(table), table); });
    });
  });
}
