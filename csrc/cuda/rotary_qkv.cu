// Rotary embedding on megatron-core's packed projection mixed[tokens, groups, heads + 2, hn], of each group its query
// heads, its key and its value: q and k turned, v copied, each dense; and the gradient, the other way.
// One block per token; a thread takes a pack of a head's first half and its partner in the second.
#include "device.h"

namespace aixmeg::cuda {
namespace {

struct Qkv {
  int64_t tokens, batch, table_rows;
  int groups, heads, half;  // heads: queries per group
};

// Where a head of the packed projection belongs: 0 queries, 1 keys, 2 values, and its number among them.
struct Place {
  int part, head;
};

__device__ __forceinline__ Place place_of(int head, int heads) {
  const int group = head / (heads + 2), inside = head - group * (heads + 2);
  return inside < heads ? Place{0, group * heads + inside} : Place{inside - heads + 1, group};
}

// Cosines and sines of one token; null where its row is outside the tables.
struct Angles {
  const float *cosine, *sine;
};

__device__ __forceinline__ Angles angles_of(const Qkv& shape, const int64_t* positions, const float* cosine,
                                            const float* sine, int64_t token) {
  const int64_t row = positions != nullptr ? positions[token] : token / shape.batch;
  if (row < 0 || row >= shape.table_rows) return {nullptr, nullptr};
  return {cosine + row * shape.half, sine + row * shape.half};
}

// Turns the packs at `in` and `in + half`, which start `i` elements into their halves.
template <class T, int kWidth>
__device__ __forceinline__ void turn(const T* in, T* out, int half, int i, Angles angles, float sign) {
  const auto first = load_pack<kWidth>(in), second = load_pack<kWidth>(in + half);
  Pack<float, kWidth> cosines, sines;
  if (angles.cosine != nullptr) {
    cosines = load_pack<kWidth>(angles.cosine + i);
    sines = load_pack<kWidth>(angles.sine + i);
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) cosines.values[j] = sines.values[j] = float_from_bits(0x7fc00000u);  // NaN
  }
  Pack<T, kWidth> turned_first, turned_second;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    const float a = load(first.values[j]), b = load(second.values[j]);
    const float c = cosines.values[j], s = sign * sines.values[j];
    store(turned_first.values[j], rotary_first(a, b, c, s));
    store(turned_second.values[j], rotary_second(a, b, c, s));
  }
  store_pack(out, turned_first);
  store_pack(out + half, turned_second);
}

template <class T, int kWidth>
__device__ __forceinline__ void copy(const T* in, T* out, int half) {
  const auto first = load_pack<kWidth>(in), second = load_pack<kWidth>(in + half);
  store_pack(out, first);
  store_pack(out + half, second);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    split_kernel(const T* __restrict__ mixed, const float* __restrict__ cosine, const float* __restrict__ sine,
                 const int64_t* __restrict__ positions, T* __restrict__ q, T* __restrict__ k, T* __restrict__ v,
                 Qkv shape) {
  const int half = shape.half, packs = half / kWidth, all = shape.groups * (shape.heads + 2);
  for (int64_t token = blockIdx.x; token < shape.tokens; token += gridDim.x) {
    const Angles angles = angles_of(shape, positions, cosine, sine, token);
    const T* in = mixed + token * all * 2 * half;
#pragma unroll 1
    for (int item = threadIdx.x; item < all * packs; item += blockDim.x) {
      const int head = item / packs, i = (item - head * packs) * kWidth;
      const Place place = place_of(head, shape.heads);
      T* part = place.part == 0 ? q : place.part == 1 ? k : v;
      const int64_t count = place.part == 0 ? shape.groups * shape.heads : shape.groups;
      T* out = part + (token * count + place.head) * 2 * half + i;
      const T* source = in + head * 2 * half + i;
      if (place.part == 2)
        copy<T, kWidth>(source, out, half);
      else
        turn<T, kWidth>(source, out, half, i, angles, 1.0f);
    }
  }
}

// Of one gradient: sequence, batch, head, in elements.
struct Strides {
  int64_t s, b, head;
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kElementThreads, kElementBlocks)
    merge_kernel(const T* __restrict__ dq, const T* __restrict__ dk, const T* __restrict__ dv,
                 const float* __restrict__ cosine, const float* __restrict__ sine,
                 const int64_t* __restrict__ positions, T* __restrict__ dmixed, Qkv shape, Strides of_q, Strides of_k,
                 Strides of_v) {
  const int half = shape.half, packs = half / kWidth, all = shape.groups * (shape.heads + 2);
  for (int64_t token = blockIdx.x; token < shape.tokens; token += gridDim.x) {
    const Angles angles = angles_of(shape, positions, cosine, sine, token);
    const int64_t s = token / shape.batch, b = token - s * shape.batch;
    T* out = dmixed + token * all * 2 * half;
#pragma unroll 1
    for (int item = threadIdx.x; item < all * packs; item += blockDim.x) {
      const int head = item / packs, i = (item - head * packs) * kWidth;
      const Place place = place_of(head, shape.heads);
      const T* part = place.part == 0 ? dq : place.part == 1 ? dk : dv;
      const Strides stride = place.part == 0 ? of_q : place.part == 1 ? of_k : of_v;
      const T* source = part + s * stride.s + b * stride.b + place.head * stride.head + i;
      T* target = out + head * 2 * half + i;
      if (place.part == 2)
        copy<T, kWidth>(source, target, half);
      else
        turn<T, kWidth>(source, target, half, i, angles, -1.0f);
    }
  }
}

// False where a number does not fit what the kernels count with.
bool describe(int64_t sequence, int64_t batch, int64_t groups, int64_t heads, int64_t head_size, int64_t table_rows,
              Qkv& shape) {
  const int64_t half = head_size / 2;
  if (groups * (heads + 2) > std::numeric_limits<int>::max() / 4 / (half > 0 ? half : 1)) return false;
  shape = {sequence * batch,      batch, table_rows, static_cast<int>(groups), static_cast<int>(heads),
           static_cast<int>(half)};
  return true;
}

}  // namespace
}  // namespace aixmeg::cuda

using namespace aixmeg::cuda;

extern "C" int aixmeg_cuda_rotary_qkv(int type, const void* mixed, const float* cosine, const float* sine,
                                      const int64_t* positions, void* q, void* k, void* v, int64_t sequence,
                                      int64_t batch, int64_t groups, int64_t heads, int64_t head_size,
                                      int64_t table_rows, void* stream) {
  Qkv shape;
  if (!describe(sequence, batch, groups, heads, head_size, table_rows, shape)) return cudaErrorInvalidValue;
  if (shape.tokens == 0 || groups == 0 || shape.half == 0) return cudaSuccess;
  return by_kind(type, shape.half, aligned(mixed, cosine, sine, q, k, v), [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(split_kernel<T, kWidth>, dim3(at_most(shape.tokens, kMaxGridX)),
                  threads_for(groups * (heads + 2) * shape.half / kWidth, kElementThreads), 0, stream,
                  static_cast<const T*>(mixed), cosine, sine, positions, static_cast<T*>(q), static_cast<T*>(k),
                  static_cast<T*>(v), shape);
  });
}

extern "C" int aixmeg_cuda_rotary_qkv_backward(int type, const void* dq, const void* dk, const void* dv,
                                               const float* cosine, const float* sine, const int64_t* positions,
                                               void* dmixed, int64_t sequence, int64_t batch, int64_t groups,
                                               int64_t heads, int64_t head_size, int64_t table_rows,
                                               const int64_t* strides, void* stream) {
  Qkv shape;
  if (!describe(sequence, batch, groups, heads, head_size, table_rows, shape)) return cudaErrorInvalidValue;
  if (shape.tokens == 0 || groups == 0 || shape.half == 0) return cudaSuccess;
  bool whole_packs = true;
  for (int i = 0; i < 9; ++i) whole_packs = whole_packs && strides[i] % 8 == 0;
  const auto of = [strides](int part) {
    return Strides{strides[3 * part], strides[3 * part + 1], strides[3 * part + 2]};
  };
  return by_kind(type, shape.half, aligned(dq, dk, dv, cosine, sine, dmixed) && whole_packs, [&](auto kind) {
    using T = typename decltype(kind)::Type;
    constexpr int kWidth = decltype(kind)::kWidth;
    return launch(merge_kernel<T, kWidth>, dim3(at_most(shape.tokens, kMaxGridX)),
                  threads_for(groups * (heads + 2) * shape.half / kWidth, kElementThreads), 0, stream,
                  static_cast<const T*>(dq), static_cast<const T*>(dk), static_cast<const T*>(dv), cosine, sine,
                  positions, static_cast<T*>(dmixed), shape, of(0), of(1), of(2));
  });
}
