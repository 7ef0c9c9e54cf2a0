// One element's step of Adam, for the CPU and the CUDA kernels.
#pragma once
#include "scalar.h"

namespace aixmeg {

// What a step needs, computed once in double precision. Adam with decoupled weight decay (arXiv:1711.05101):
//   m += (1 - beta1) (g - m),   v = beta2 v + (1 - beta2) g^2,
//   p = (1 - lr decay) p - lr / c1 * m / (sqrt(v / c2) + eps),   c_i = 1 - beta_i^step, or 1 without correction.
// With coupled decay, g is g + decay p and p is not shrunk.
struct AdamwOptions {
  float gain1;         // 1 - beta1
  float beta2, gain2;  // gain2 = 1 - beta2
  float step_size;     // lr / c1
  float root_factor;   // 1 / sqrt(c2)
  float eps;
  float decay;          // lr * decay; 0 when coupled
  float coupled_decay;  // 0 when decoupled
};

AIXMEG_INLINE float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return sqrtf(x);
#else
  return __builtin_sqrtf(x);
#endif
}

AIXMEG_INLINE void adamw_update(float grad, float& param, float& exp_avg, float& exp_avg_sq, const AdamwOptions& o) {
  const float g = grad + o.coupled_decay * param;
  exp_avg += o.gain1 * (g - exp_avg);
  exp_avg_sq = o.beta2 * exp_avg_sq + o.gain2 * g * g;
  // The change first: one rounding of the parameter's size, and none of a factor 1 - lr * decay, which would be the
  // same at every step and add up.
  param -= o.decay * param + o.step_size * exp_avg / (square_root(exp_avg_sq) * o.root_factor + o.eps);
}

// Neither infinite nor NaN.
AIXMEG_INLINE bool is_finite(float x) { return (bits_from_float(x) & 0x7f800000u) != 0x7f800000u; }

}  // namespace aixmeg
