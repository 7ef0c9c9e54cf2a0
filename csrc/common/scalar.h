// Scalars shared by the CPU and the CUDA kernels: bfloat16, conversions to and from float, the exponential.
// No torch and no CUDA header; a kernel computes in float whatever it loads and stores.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

// Internal linkage and always inlined: the CPU kernels include this once per instruction set, and a shared
// out-of-line copy would let AVX-512 code run on a machine without it.
#if defined(__CUDACC__)
#define AIXMEG_INLINE static __host__ __device__ __forceinline__
#else
#define AIXMEG_INLINE static inline __attribute__((always_inline))
#endif

namespace aixmeg {

struct bfloat16 {
  uint16_t bits;
};

AIXMEG_INLINE float float_from_bits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

AIXMEG_INLINE uint32_t bits_from_float(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

AIXMEG_INLINE float load(float value) { return value; }
AIXMEG_INLINE float load(bfloat16 value) { return float_from_bits(static_cast<uint32_t>(value.bits) << 16); }

AIXMEG_INLINE void store(float& target, float value) { target = value; }

// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
AIXMEG_INLINE void store(bfloat16& target, float value) {
  const uint32_t bits = bits_from_float(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = value != value;
  target.bits = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40u : rounded);
}

// e^x. On the CPU a branch-free polynomial that the compiler vectorises: relative error below 1e-7, results under
// 2^-126 are 0, x above 88.37 gives infinity, NaN stays NaN.
AIXMEG_INLINE float exponential(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  // x = n ln2 + r with n an integer: adding 1.5 * 2^23 rounds to an integer in the low bits of the mantissa.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0x1.62e4p-1f) - n * 1.428606765e-6f;  // ln2 in two parts: the first product is exact
  // e^r = 1 + r + r^2 q(r), q fitted for least maximal relative error (3e-9) on |r| <= ln2 / 2.
  float q = 0x1.6a2434p-10f;
  q = q * r + 0x1.1239e2p-7f;
  q = q * r + 0x1.5558f2p-5f;
  q = q * r + 0x1.555492p-3f;
  q = q * r + 0x1.fffffcp-2f;
  const float power = float_from_bits((bits_from_float(shifted) + 127u) << 23);  // 2^n
  const float result = (q * (r * r) + r + 1.0f) * power;
  const float not_too_small = x < -87.336f ? 0.0f : result;
  return x > 88.37f ? float_from_bits(0x7f800000u) : not_too_small;
#endif
}

}  // namespace aixmeg
