// Settings that kernels of both devices take; plain data.
#pragma once
#include <cstdint>

namespace aixmeg {

// Cross-entropy of a token whose target is not ignored, lse being log(sum(exp(logits))) = maximum + log_total:
//   loss = (1 - smoothing) * (lse - logit[target]) + smoothing * mean(lse - logit) + z_loss * lse^2
struct CrossEntropyOptions {
  int64_t ignore_index;  // tokens of this target have no loss and no gradient
  int64_t vocabulary;    // of all ranks together
  float smoothing, z_loss;
};

}  // namespace aixmeg
