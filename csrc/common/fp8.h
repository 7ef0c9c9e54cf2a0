// FP8: rounding of float to the two 8-bit formats, and power-of-two scales from the largest magnitude.
// e4m3 ("fn": no infinity, largest 448) and e5m2 (largest 57344) of arXiv:2209.05433 and the OCP 8-bit specification.
#pragma once
#include "formulas.h"

namespace aixmeg {

// One of the formats; numbers of the float32 representation that it is cut from.
struct Fp8Format {
  int shift;        // mantissa bits that are dropped
  uint32_t rebias;  // difference of the exponents' biases, in units of the format's lowest exponent bit
  float largest;    // finite
  float normal;     // smallest normal number
  float magic;      // adding it rounds a smaller number to whole steps of the format's subnormals
  int exponent;     // of `largest`, whose mantissa is 1.75 in both formats
};

AIXMEG_INLINE Fp8Format fp8_format(bool e5m2) {
  return e5m2 ? Fp8Format{21, (127 - 15) << 2, 57344.0f, 0x1p-14f, 128.0f, 15}
              : Fp8Format{20, (127 - 7) << 3, 448.0f, 0x1p-6f, 16384.0f, 8};
}

// Clamps to the largest finite value and rounds to nearest, ties to even; NaN stays a NaN of its sign.
AIXMEG_INLINE uint8_t fp8_from_float(float value, const Fp8Format& format) {
  const uint32_t bits = bits_from_float(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const float magnitude = float_from_bits(bits & 0x7fffffffu);
  const float clamped = magnitude > format.largest ? format.largest : magnitude;
  const uint32_t clamped_bits = bits_from_float(clamped);
  const uint32_t half = (1u << (format.shift - 1)) - 1u;
  const uint32_t normal =
      ((clamped_bits + half + ((clamped_bits >> format.shift) & 1u)) >> format.shift) - format.rebias;
  const uint32_t subnormal = bits_from_float(clamped + format.magic) - bits_from_float(format.magic);
  const uint32_t rounded = clamped < format.normal ? subnormal : normal;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint8_t>(sign | (is_nan ? 0x7fu : rounded));
}

// The bits of |value|. As unsigned numbers they order magnitudes, infinity above every number and NaN above infinity:
// a maximum of them is exact, needs no care for NaN and does not depend on the order.
AIXMEG_INLINE uint32_t magnitude_bits(float value) { return bits_from_float(value) & 0x7fffffffu; }

// The largest power of two that keeps amax * scale within the format, `margin` powers lower, and its reciprocal.
// Powers of two change no mantissa: quantisation rounds once, and the reciprocal is exact. 1 where amax is 0; NaN where
// amax is infinite or NaN, so that an overflow reaches the loss instead of being clamped away.
AIXMEG_INLINE void fp8_scale_from_amax(float amax, const Fp8Format& format, int margin, float& scale, float& inverse) {
  const uint32_t bits = bits_from_float(amax) & 0x7fffffffu;
  const int own = static_cast<int>(bits >> 23) - 127;
  const int fits = format.exponent - own - ((bits & 0x7fffffu) > 0x600000u ? 1 : 0) - margin;
  const int power = fits > 126 ? 126 : fits < -126 ? -126 : fits;
  const float nan = float_from_bits(0x7fc00000u);
  const bool finite = bits < 0x7f800000u, zero = bits == 0;
  scale = !finite ? nan : zero ? 1.0f : float_from_bits(static_cast<uint32_t>(127 + power) << 23);
  inverse = !finite ? nan : zero ? 1.0f : float_from_bits(static_cast<uint32_t>(127 - power) << 23);
}

}  // namespace aixmeg
