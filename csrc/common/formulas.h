// The mathematics of every op on single elements, written once for the CPU and the CUDA kernels.
#pragma once
#include "options.h"
#include "scalar.h"

namespace aixmeg {

// RMSNorm   y_i = x_i * rstd * weight_i,   rstd = 1 / sqrt(mean(x^2) + eps)
AIXMEG_INLINE float rms_norm_value(float x, float rstd, float weight) { return x * rstd * weight; }

AIXMEG_INLINE float rms_norm_rstd(float sum_of_squares, int64_t hidden, float eps) {
#if defined(__CUDA_ARCH__)
  return 1.0f / sqrtf(sum_of_squares / static_cast<float>(hidden) + eps);
#else
  return 1.0f / __builtin_sqrtf(sum_of_squares / static_cast<float>(hidden) + eps);
#endif
}

// dL/dx_i, where projection = rstd^2 * mean_j(dy_j * weight_j * x_j)
AIXMEG_INLINE float rms_norm_input_gradient(float dy, float weight, float x, float rstd, float projection) {
  return rstd * (dy * weight - x * projection);
}

// One row's term of dL/dweight_i
AIXMEG_INLINE float rms_norm_weight_gradient(float dy, float x, float rstd) { return dy * x * rstd; }

AIXMEG_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// SwiGLU   y = silu(gate) * up = gate * sigmoid(gate) * up
AIXMEG_INLINE float swiglu_value(float gate, float up) { return gate * sigmoid(gate) * up; }

// d silu(gate) / d gate = s * (1 + gate * (1 - s)), s = sigmoid(gate)
AIXMEG_INLINE void swiglu_gradient(float dy, float gate, float up, float& dgate, float& dup) {
  const float s = sigmoid(gate);
  dgate = dy * up * s * (1.0f + gate * (1.0f - s));
  dup = dy * gate * s;
}

// Rotary embedding: the pair (first, second) = (x_i, x_{i + hn/2}) turned by the angle whose cosine and sine are given
AIXMEG_INLINE float rotary_first(float first, float second, float cosine, float sine) {
  return first * cosine - second * sine;
}
AIXMEG_INLINE float rotary_second(float first, float second, float cosine, float sine) {
  return second * cosine + first * sine;
}

// Cross-entropy over a vocabulary shard: maximum and sum of exponentials of the values seen so far.
struct SoftmaxStatistics {
  float maximum;  // -infinity before the first value
  float total;    // sum of exp(value - maximum)
};

// What exponents are measured from. A shard whose logits are all -infinity counts as total = 0, not as NaN.
AIXMEG_INLINE float softmax_origin(float maximum) { return maximum == float_from_bits(0xff800000u) ? 0.0f : maximum; }

AIXMEG_INLINE SoftmaxStatistics merge(SoftmaxStatistics a, SoftmaxStatistics b) {
  const float maximum = a.maximum > b.maximum ? a.maximum : b.maximum;
  const float origin = softmax_origin(maximum);
  return {maximum, a.total * exponential(a.maximum - origin) + b.total * exponential(b.maximum - origin)};
}

// Probability from the maximum and the logarithm of the sum of exponentials over the whole vocabulary. Two
// numbers rather than their sum: with a maximum of 1000 the sum would round by 6e-5.
AIXMEG_INLINE float softmax_value(float logit, float maximum, float log_total) {
  return exponential((logit - maximum) - log_total);
}

// The gradient of the loss of options.h in one logit, before grad multiplies it: probability * factor minus the wanted
// share, which is `others` and, for the target, `target` more.
struct CrossEntropyShares {
  float factor, others, target;
};

AIXMEG_INLINE CrossEntropyShares cross_entropy_shares(const CrossEntropyOptions& options, float maximum,
                                                      float log_total) {
  return {1.0f + 2.0f * options.z_loss * (maximum + log_total),
          options.smoothing / static_cast<float>(options.vocabulary), 1.0f - options.smoothing};
}

}  // namespace aixmeg
