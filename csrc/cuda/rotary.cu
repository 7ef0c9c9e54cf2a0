// Rotary embedding, halves paired:  (x_i, x_{i + hn/2}) turned by the angle of its position, over
// x[sequence, batch, heads, hn]. The gradient is the same rotation backwards.
// One block per token; a thread takes a pack of the first half and its partner in the second. The token's cosines are
// read once per head, from cache.
#include "device.h"

namespace aixmeg::cuda {
namespace {

struct Strides {
  int64_t sequence, batch, head;  // of x, in elements
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    rotary_kernel(const T* __restrict__ x, const float* __restrict__ cosine, const float* __restrict__ sine,
                  T* __restrict__ y, int64_t tokens, int64_t batch, int heads, int half, Strides strides, float sign) {
  const int packs = half / kWidth;  // per head
  for (int64_t token = blockIdx.x; token < tokens; token += gridDim.x) {
    const int64_t position = token / batch;
    const T* in = x + position * strides.sequence + (token - position * batch) * strides.batch;
    T* out = y + token * heads * 2 * half;
    for (int item = threadIdx.x; item < heads * packs; item += blockDim.x) {
      const int head = item / packs, i = (item - head * packs) * kWidth;
      const auto first = load_pack<kWidth>(in + head * strides.head + i);
      const auto second = load_pack<kWidth>(in + head * strides.head + half + i);
      const auto cosines = load_pack<kWidth>(cosine + position * half + i);
      const auto sines = load_pack<kWidth>(sine + position * half + i);
      Pack<T, kWidth> turned_first, turned_second;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float a = load(first.values[j]), b = load(second.values[j]);
        const float c = cosines.values[j], s = sign * sines.values[j];
        store(turned_first.values[j], rotary_first(a, b, c, s));
        store(turned_second.values[j], rotary_second(a, b, c, s));
      }
      store_pack(out + head * 2 * half + i, turned_first);
      store_pack(out + head * 2 * half + half + i, turned_second);
    }
  }
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_rotary(int type, const void* x, const float* cosine, const float* sine, void* y,
                                  int64_t sequence, int64_t batch, int64_t heads, int64_t head_size,
                                  const int64_t* strides, int inverse, void* stream) {
  const int64_t tokens = sequence * batch, half = head_size / 2;
  if (tokens == 0 || heads == 0 || half == 0) return cudaSuccess;
  if (heads > std::numeric_limits<int>::max() / 2 / half) return cudaErrorInvalidValue;
  const bool strides_aligned = strides[0] % 8 == 0 && strides[1] % 8 == 0 && strides[2] % 8 == 0;
  return by_kind(type, half, aligned(x, cosine, sine, y) && strides_aligned, [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(rotary_kernel<T, kWidth>, dim3(at_most(tokens, kMaxGridX)),
                  threads_for(heads * half / kWidth, kElementThreads), 0, stream, static_cast<const T*>(x), cosine,
                  sine, static_cast<T*>(y), tokens, batch, static_cast<int>(heads), static_cast<int>(half),
                  Strides{strides[0], strides[1], strides[2]}, inverse ? -1.0f : 1.0f);
  });
}
